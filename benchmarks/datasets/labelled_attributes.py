"""Classes of data sets with attributes: CUB's species, and CelebA by the colour of hair."""

import re

import numpy as np

from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.combinations import CELEBA_PHRASES
from gair_search.benchmarks.datasets.labelled import (
    ClassSet,
    class_named,
    class_set_of_parts,
    draw_pictures_of_class,
    tested_pictures,
)
from gair_search.errors import DatasetError

DESCRIBING = 6
"""Attributes that a species is described with."""


def cub_species(
    data: AttributeSet, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """CUB's species, each described by the attributes that most of its training pictures have (figure 3).

    `Blue headed Vireo has white belly.`; arguments as for `folder_classes`.
    """
    folders = np.array([picture.id.split("/")[0] for picture in data.pictures])
    flags = np.stack(list(data.labels.values()), axis=1)
    classes, train, test = [], [], []
    for c, folder in enumerate(sorted(set(folders.tolist()))[:n]):
        species = folder.split(".", 1)[-1].replace("_", " ")
        learned, tested = (
            np.flatnonzero((folders == folder) & (data.test == side)) for side in (False, True)
        )
        if not len(learned) or not len(tested):
            raise DatasetError(f"CUB-200-2011: {folder} has no picture in one of the two parts of the split")
        shares = flags[learned].mean(axis=0)
        best = [i for i in np.argsort(-shares, kind="stable")[:DESCRIBING] if shares[i] >= 0.5]
        phrases = [cub_phrase(list(data.labels)[i]) for i in best]
        classes.append(
            class_named(
                species,
                [f"{species} has {phrase}." for phrase in phrases],
                "a photo of a {}, a type of bird.",
            )
        )
        train.append(draw_pictures_of_class([data.pictures[i] for i in learned], shots, seed, c))
        test.append(tested_pictures([data.pictures[i] for i in tested], per_class, c))
    return class_set_of_parts("CUB-200-2011", tuple(classes), train, test)


def cub_phrase(attribute: str) -> str:
    """`has_wing_color::yellow` as `yellow wing`, `has_size::small_(5_-_9_in)` as `small size`."""
    part, _, value = attribute.removeprefix("has_").partition("::")
    part = re.sub(r"_(color|shape|pattern|length)$", "", part)
    return re.sub(r"_?\(.*\)", "", value).replace("_", " ") + " " + part.replace("_", " ")


_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


def celeba_hair(
    data: AttributeSet, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """CelebA's women and men by the colour of their hair, those with one of four: 8 classes.

    CelebA has no classes of its own but persons; arguments as for `folder_classes`.

    Raises:
        DatasetError: a class without pictures.
    """
    one = sum(data.labels[name].astype(int) for name in _HAIR) == 1
    classes, train, test = [], [], []
    pairs = [(sex, name) for name in _HAIR for sex in ("woman", "man")][:n]
    for c, (sex, name) in enumerate(pairs):
        member = one & data.labels[name] & (data.labels["Male"] == (sex == "man"))
        learned, tested = (np.flatnonzero(member & (data.test == side)) for side in (False, True))
        if not len(learned) or not len(tested):
            raise DatasetError(
                f"CelebA: no {sex} {CELEBA_PHRASES[name]} in one of the two parts of the split"
            )
        classes.append(class_named(f"{sex} {CELEBA_PHRASES[name]}"))
        train.append(draw_pictures_of_class([data.pictures[i] for i in learned], shots, seed, c))
        test.append(tested_pictures([data.pictures[i] for i in tested], per_class, c))
    return class_set_of_parts("CelebA, hair", tuple(classes), train, test)
