from dataclasses import replace

import pytest

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    instance,
    scene,
)


def test_a_seed_decides_and_what_is_given_is_kept() -> None:
    for seed in range(100):
        assert instance(seed) == instance(seed)
        assert scene(seed, "val") == scene(seed, "val")
        fixed = instance(seed, kind="hat", color="pink", pattern="striped")
        assert (fixed.kind, fixed.color, fixed.pattern) == ("hat", "pink", "striped")
        assert fixed.entropy == instance(seed).entropy
        shown = scene(seed, item=fixed, background="snow")
        assert (shown.item, shown.background) == (fixed, "snow")
        assert shown.entropy == scene(seed).entropy


def test_fixing_one_attribute_leaves_the_others() -> None:
    for seed in range(60):
        free = instance(seed)
        assert replace(instance(seed, kind="vase"), kind=free.kind) == free


def test_only_patterns_have_a_second_color_and_it_is_another_one() -> None:
    for seed in range(300):
        item = instance(seed, "test")
        assert (item.second_color is None) == (item.pattern == "plain")
        assert item.second_color != item.color


def test_all_names_come_up() -> None:
    scenes = [scene(seed) for seed in range(600)]
    assert {s.item.kind for s in scenes} == set(KINDS)
    assert {s.item.color for s in scenes} == set(COLORS)
    assert {s.item.second_color for s in scenes} == {None, *COLORS}
    assert {s.item.pattern for s in scenes} == set(PATTERNS)
    assert {s.background for s in scenes} == set(BACKGROUNDS)


def test_splits_and_the_two_sorts_of_seed_never_meet() -> None:
    entropies = [
        made.entropy
        for split in ("train", "val", "test")
        for seed in range(40)
        for made in (instance(seed, split), scene(seed, split))
    ]
    assert len(set(entropies)) == len(entropies)


@pytest.mark.parametrize("named", [{"kind": "sock"}, {"color": "beige"}, {"pattern": "paisley"}])
def test_an_instance_of_unknown_names_is_refused(named: dict[str, str]) -> None:
    with pytest.raises(KeyError, match=next(iter(named.values()))):
        instance(0, **named)


def test_an_unknown_background_is_refused() -> None:
    with pytest.raises(KeyError, match=r"kitchen.*beach"):
        scene(0, background="kitchen")
