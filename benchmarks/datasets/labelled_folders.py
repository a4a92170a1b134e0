"""Classes of data sets that are folders of pictures: DreamBooth, ImageNet's layout, Caltech-256."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gair_search.benchmarks.datasets.base import Picture, absent_files_error, first_existing
from gair_search.benchmarks.datasets.dreambooth import subject_classes
from gair_search.benchmarks.datasets.folders import complete_classes
from gair_search.benchmarks.datasets.labelled import (
    ClassSet,
    class_named,
    class_set_by_halves,
    class_set_of_parts,
    draw_pictures_of_class,
    tested_pictures,
)
from gair_search.errors import DatasetError

DREAMBOOTH_DESCRIPTIONS = {
    "backpack": ("a bag with two shoulder straps and zips.", "a backpack of cloth with pockets in front."),
    "stuffed animal": ("a soft plush toy in the shape of an animal.", "a stuffed animal with fluffy fur."),
    "bowl": ("a round open bowl of ceramic with food in it.", "a bowl seen from above on a table."),
    "can": ("a metal can of a drink with a printed label.", "an aluminium can with a ring to open it."),
    "candle": ("a candle of wax in a glass jar with a wick.", "a candle with a label, to be lit."),
    "cat": ("a cat with pointed ears, whiskers and fur.", "a small furry cat with a long tail."),
    "clock": ("a clock with a round dial, numbers and hands.", "an alarm clock that shows the time."),
    "sneaker": ("a sneaker with laces and a rubber sole.", "a sports shoe with bright colors."),
    "dog": ("a dog with a wet nose, floppy ears and fur.", "a dog that sits and looks at the camera."),
    "toy": ("a small toy of plastic or rubber for children.", "a bright toy figure on a table."),
    "boot": ("a high boot of leather.", "a boot with a shaft, a heel and a sole."),
    "glasses": ("a pair of glasses with two lenses and a frame.", "sunglasses with colored lenses."),
    "cartoon": ("a drawn cartoon figure with outlines and flat colors.", "a drawing of a cartoon character."),
    "teapot": ("a teapot with a spout, a handle and a lid.", "a pot to pour tea from."),
    "vase": ("a tall vase for flowers with a narrow neck.", "a vase of glazed ceramic."),
}
"""Two sentences a class, written for this table."""


def dreambooth_classes(
    folder: Path, seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """The 158 DreamBooth photos in their 15 classes, half of each to learn from.

    A subject may have photos on both sides.

    Raises:
        DatasetError: the table or photos are absent.
    """
    photos = _dreambooth_photos(folder)
    parents = subject_classes(folder)
    names = list(dict.fromkeys(parents.values()))[:n]
    classes = tuple(class_named(name, DREAMBOOTH_DESCRIPTIONS.get(name, ())) for name in names)
    groups = [
        [p for subject, own in photos.items() if parents[subject] == name for p in own] for name in names
    ]
    return class_set_by_halves("DreamBooth, classes", classes, groups, seed, per_class)


def dreambooth_subjects(
    folder: Path, seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """Each of the 30 subjects a class of its own, half of its 4 to 6 photos to learn from.

    Raises:
        DatasetError: the table or photos are absent.
    """
    photos = dict(list(_dreambooth_photos(folder).items())[:n])
    return class_set_by_halves(
        "DreamBooth, subjects",
        tuple(class_named(name) for name in photos),
        list(photos.values()),
        seed,
        per_class,
    )


def _dreambooth_photos(folder: Path) -> dict[str, list[Picture]]:
    """Subject -> photos. Raises DatasetError where they are absent."""
    parents = subject_classes(folder)
    found = complete_classes(folder, "DreamBooth")
    missing = [f"{folder / subject}/*.jpg" for subject in parents if subject not in found]
    if missing:
        raise absent_files_error(
            "DreamBooth", missing, len(parents), f"{folder} is to be dataset/ of google/dreambooth"
        )
    return {subject: list(found[subject]) for subject in parents}


_SYNSET = re.compile(r"n\d{8}")
_NAMES = ("classnames.txt", "LOC_synset_mapping.txt")


def folder_classes(
    folder: Path, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """A folder a class: `train/CLASS/` and `val/CLASS/` (or `test/`) as ImageNet has them, or `CLASS/` alone.

    A class is called as its folder, `_` read as a blank; folders called as ImageNet's synsets need
    `classnames.txt` (of CoOp) or `LOC_synset_mapping.txt` (of Kaggle) in the folder or beside it.

    Args:
        folder: the data set.
        seed: draws the pictures to learn from; and, without `val/` or `test/`, which half they are drawn from.
        n: the first so many classes.
        shots: pictures to learn from, where there is `train/`.
        per_class: at most so many pictures of a class are classified.

    Raises:
        DatasetError: folders are absent, empty, differ between the parts, or have no names.
    """
    tests = first_existing([folder / "val", folder / "test"])
    if tests is None:
        found = dict(list(complete_classes(folder).items())[:n])
        classes = tuple(class_named(text) for text in _class_names(folder, list(found)))
        return class_set_by_halves(folder.name, classes, list(found.values()), seed, per_class)
    train = dict(list(complete_classes(folder / "train").items())[:n])
    test = complete_classes(tests)
    if missing := [f"{tests / name}/*" for name in train if name not in test]:
        raise absent_files_error(
            folder.name, missing, len(train), f"{tests} is to hold the classes of {folder / 'train'}"
        )
    classes = tuple(class_named(text) for text in _class_names(folder, list(train)))
    learned = [draw_pictures_of_class(own, shots, seed, c) for c, own in enumerate(train.values())]
    return class_set_of_parts(
        folder.name,
        classes,
        learned,
        [tested_pictures(test[name], per_class, c) for c, name in enumerate(train)],
    )


def _class_names(folder: Path, places: Sequence[str]) -> list[str]:
    """What folders' classes are called. Raises DatasetError where ImageNet's are not told."""
    file = first_existing([place / name for place in (folder, folder.parent) for name in _NAMES])
    names: dict[str, str] = {}
    if file is not None:
        rows = [line.split(maxsplit=1) for line in file.read_text("utf-8").splitlines() if line.strip()]
        names = {row[0]: row[-1].split(",")[0].strip() for row in rows}
    if unnamed := [place for place in places if _SYNSET.fullmatch(place) and place not in names]:
        raise DatasetError(
            f"{folder}: {unnamed[0]} says no class name; put classnames.txt (lines as: n01440764 tench) into it"
        )
    return [names.get(place, place.replace("_", " ")) for place in places]


def caltech_classes(
    found: Mapping[str, Sequence[Picture]], seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """Caltech-256 as `folders.caltech256` reads it, but for its clutter; half of each class to learn from."""
    kept = {name: own for name, own in found.items() if name != "clutter"}
    kept = dict(list(kept.items())[:n])
    return class_set_by_halves(
        "Caltech-256", tuple(map(class_named, kept)), list(kept.values()), seed, per_class
    )
