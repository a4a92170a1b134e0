"""Classes of the fashion world: what is learned from and what is classified never meet."""

import pytest
from support.class_sets import check_class_set

from gair_search.benchmarks.datasets import labelled_fashion


@pytest.mark.parametrize("make", [labelled_fashion.fashion_colors, labelled_fashion.fashion_instances])
def test_the_fashion_world_has_one_test_set_and_other_pictures_to_learn_from_for_every_seed(make) -> None:
    first, second = (make(seed, 3, shots=2, test=4) for seed in (0, 1))
    check_class_set(first)
    assert first.parts[0] == second.parts[0]
    assert not set(first.parts[1]) & set(second.parts[1])
    assert [len(part) for part in first.parts] == [12, 6]
    assert (len(first.shots(1)), len(first.shots(2)), first.most_shots) == (3, 6, 2)
    assert set(first.shots(1)) < set(first.shots(2))
    # neither the number of classes nor that of pictures changes what a picture is
    more = make(0, 4, shots=3, test=5)
    assert set(first.pictures) < set(more.pictures)
    assert first.classes == more.classes[:3]


def test_colours_come_in_both_orders_and_are_what_is_drawn() -> None:
    data = labelled_fashion.fashion_colors(shots=1, test=1)
    assert [c.name for c in data.classes[:2]] == ["blue with purple stripes", "purple with blue stripes"]
    assert len({c.name for c in data.classes}) == len(data.classes) == 12
    for c, place in enumerate(data.test):
        first, second = data.pictures[place].id.split("/")[2].split("-")[:2]
        assert data.classes[c].name == f"{first} with {second} stripes"
        assert all(first in text and second in text for text in data.classes[c].descriptions)
    one, other = (data.pictures[place].image() for place in data.test[:2])
    assert one.size == (128, 128)
    assert one.tobytes() != other.tobytes()


def test_instances_of_one_look_are_drawn_apart() -> None:
    data = labelled_fashion.fashion_instances(0, 2, shots=1, test=2)
    assert len({data.pictures[place].image().tobytes() for place in data.test}) == 4
    assert {c.prompts for c in data.classes} == {("a photo of a mug.",)}
