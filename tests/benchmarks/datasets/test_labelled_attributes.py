"""Classes out of attributes: species as they are described, women and men by their hair."""

from pathlib import Path

import numpy as np
import pytest
from support.class_sets import check_class_set

from gair_search.benchmarks.datasets import labelled_attributes
from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.base import photo
from gair_search.errors import DatasetError


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
    check_class_set(data)
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
    check_class_set(data)
    assert data.classes[0].name == "woman with black hair"
    assert data.classes[7].name == "man with gray hair"
    assert [data.pictures[own[0]].id for own in data.train] == [f"{i}.jpg" for i in range(8)]
    both = flags | {"Gray_Hair": np.ones(16, bool)}  # two colours, so none is left
    with pytest.raises(DatasetError, match="no woman with black hair"):
        labelled_attributes.celeba_hair(AttributeSet("celeba", pictures, both, test))
