"""Class sets: what is learned from and what is classified never meet, and classes are called rightly."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.photos import dreambooth, make_photos

from gair_search.benchmarks.datasets import labelled, labelled_attributes, labelled_fashion, labelled_folders
from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.base import photo
from gair_search.benchmarks.datasets.labelled import ClassSet
from gair_search.errors import DatasetError
from gair_search.learning.templates import PARAPHRASES


def check(data: ClassSet) -> None:
    """Places are of the classes that they say, and no picture is on both sides."""
    learned = [place for own in data.train for place in own]
    assert len(data.labels) == len(data.pictures) == len({p.id for p in data.pictures})
    assert not set(learned) & set(data.test)
    assert [data.labels[own].tolist() for own in map(list, data.train)] == [
        [c] * len(own) for c, own in enumerate(data.train)
    ]
    assert set(data.labels[list(data.test)]) == set(range(len(data.classes)))


@pytest.mark.parametrize("make", [labelled_fashion.fashion_colors, labelled_fashion.fashion_instances])
def test_the_fashion_world_has_one_test_set_and_other_pictures_to_learn_from_for_every_seed(make) -> None:
    first, second = (make(seed, 3, shots=2, test=4) for seed in (0, 1))
    check(first)
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


def test_class_folders_are_split_by_the_seed(tmp_path: Path) -> None:
    for name, n in (("red_fox", 5), ("owl", 2)):
        make_photos(tmp_path / name, n)
    data = labelled_folders.folder_classes(tmp_path, seed=0)
    check(data)
    assert [c.name for c in data.classes] == ["owl", "red fox"]
    assert data.classes[1].prompts == ("a photo of a red fox.",)
    assert data.classes[1].descriptions == tuple(text.format("red fox") for text in PARAPHRASES)
    assert [len(own) for own in data.train] == [1, 3]
    assert len(data.test) == 3
    assert data.most_shots == 3
    assert len(data.shots(16)) == 4
    assert any(labelled_folders.folder_classes(tmp_path, seed).train != data.train for seed in range(1, 5))
    assert len(labelled_folders.folder_classes(tmp_path, per_class=1).test) == 2


def test_imagenets_layout(tmp_path: Path) -> None:
    for part, n in (("train", 4), ("val", 2)):
        for place in ("n01440764", "n01443537"):
            make_photos(tmp_path / part / place, n, first=0 if part == "train" else 10)
    with pytest.raises(DatasetError, match=r"classnames\.txt"):
        labelled_folders.folder_classes(tmp_path)
    (tmp_path / "classnames.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    data = labelled_folders.folder_classes(tmp_path, shots=2)
    check(data)
    assert data.ids == ["tench", "goldfish"]
    assert [c.name for c in data.classes] == ["tench", "goldfish"]
    assert [len(part) for part in data.parts] == [4, 4]
    assert {data.pictures[place].path.parts[-3] for place in data.test} == {"val"}
    (tmp_path / "classnames.txt").write_text("n01440764 crane\nn01443537 crane\n")
    same = labelled_folders.folder_classes(tmp_path, shots=2)
    assert (same.ids, same.classes[0].prompts) == (["crane #0", "crane #1"], ("a photo of a crane.",))
    (tmp_path / "val/n01443537").rename(tmp_path / "val/.n01443537")
    with pytest.raises(DatasetError, match="n01443537"):
        labelled_folders.folder_classes(tmp_path)


def test_descriptions_from_a_file(tmp_path: Path) -> None:
    data = labelled_fashion.fashion_instances(0, 2, shots=1, test=1)
    path = tmp_path / "cupl.json"
    path.write_text(json.dumps({"Mug 0": ["a mug", "a cup"], "mug 1": ["another"]}))
    assert [c.descriptions for c in labelled.with_descriptions(data, path).classes] == [
        ("a mug", "a cup"),
        ("another",),
    ]
    path.write_text(json.dumps({"mug 0": ["a mug"]}))
    with pytest.raises(DatasetError, match="1 classes, as mug 1"):
        labelled.with_descriptions(data, path)
    for content in ("[]", "{", '{"mug 0": 3}'):
        path.write_text(content)
        with pytest.raises(DatasetError, match="list of texts"):
            labelled.with_descriptions(data, path)
    with pytest.raises(DatasetError, match="absent"):
        labelled.with_descriptions(data, tmp_path / "absent.json")


def test_real_dreambooth_photos_by_class_and_by_subject() -> None:
    folder = dreambooth()
    classes, subjects = (
        labelled_folders.dreambooth_classes(folder),
        labelled_folders.dreambooth_subjects(folder),
    )
    for data, n in ((classes, 15), (subjects, 30)):
        check(data)
        assert len(data.classes) == n
        assert len(data.pictures) == 158
        assert min(map(len, data.train)) >= 2
    assert set(labelled_folders.DREAMBOOTH_DESCRIPTIONS) == {c.name for c in classes.classes}
    few = labelled_folders.dreambooth_subjects(folder, n=3, per_class=1)
    assert (len(few.classes), len(few.test)) == (3, 3)


def test_an_incomplete_dreambooth_is_told(tmp_path: Path) -> None:
    make_photos(tmp_path / "dog", 2)
    (tmp_path / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\nvase,vase\n")
    with pytest.raises(DatasetError, match="vase"):
        labelled_folders.dreambooth_classes(tmp_path)


@pytest.mark.parametrize(
    ("attribute", "phrase"),
    [
        ("has_wing_color::yellow", "yellow wing"),
        ("has_bill_shape::hooked_seabird", "hooked seabird bill"),
        ("has_size::small_(5_-_9_in)", "small size"),
        ("has_bill_length::about_the_same_as_head", "about the same as head bill"),
        ("has_back_pattern::multi-colored", "multi-colored back"),
    ],
)
def test_cub_phrases(attribute: str, phrase: str) -> None:
    assert labelled_attributes.cub_phrase(attribute) == phrase


def test_species_are_described_by_what_most_of_their_training_pictures_have(tmp_path: Path) -> None:
    names = [f"00{s}.Grey_Gull{s}/{i}.jpg" for s in (1, 2) for i in range(4)]
    pictures = tuple(photo(tmp_path / name, name) for name in names)
    labels = {
        "has_wing_color::grey": np.array([1, 1, 0, 0, 0, 0, 1, 1], bool),  # the second's, in test alone
        "has_bill_shape::dagger": np.array([1, 0, 0, 0, 1, 1, 0, 0], bool),
    }
    data = labelled_attributes.cub_species(
        AttributeSet("cub", pictures, labels, np.array([0, 0, 1, 1] * 2, bool))
    )
    check(data)
    assert [c.name for c in data.classes] == ["Grey Gull1", "Grey Gull2"]
    assert data.classes[0].descriptions == ("Grey Gull1 has grey wing.", "Grey Gull1 has dagger bill.")
    assert data.classes[1].descriptions == ("Grey Gull2 has dagger bill.",)
    assert [data.pictures[place].id for place in data.test] == [names[i] for i in (2, 3, 6, 7)]


def test_hair_of_women_and_men(tmp_path: Path) -> None:
    combos = [(sex, hair) for hair in range(4) for sex in (False, True)] * 2
    flags = {"Male": np.array([sex for sex, _ in combos])}
    for number, name in enumerate(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")):
        flags[name] = np.array([hair == number for _, hair in combos])
    pictures = tuple(photo(tmp_path / f"{i}.jpg") for i in range(16))
    test = np.arange(16) >= 8
    data = labelled_attributes.celeba_hair(AttributeSet("celeba", pictures, flags, test))
    check(data)
    assert data.classes[0].name == "woman with black hair"
    assert data.classes[7].name == "man with gray hair"
    assert [data.pictures[own[0]].id for own in data.train] == [f"{i}.jpg" for i in range(8)]
    both = flags | {"Gray_Hair": np.ones(16, bool)}  # two colours, so none is left
    with pytest.raises(DatasetError, match="no woman with black hair"):
        labelled_attributes.celeba_hair(AttributeSet("celeba", pictures, both, test))
