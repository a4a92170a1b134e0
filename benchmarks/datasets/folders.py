"""Data sets that are one folder a class: ImageNet's layout, Caltech-256, Textual Inversion's concepts."""

import re
from collections.abc import Mapping
from pathlib import Path

from gair_search.benchmarks.datasets.base import (
    Concept,
    Picture,
    absent_files_error,
    choose_pictures,
    photo,
)
from gair_search.errors import DatasetError
from gair_search.images.folders import class_folders

_CALTECH = (
    "get https://data.caltech.edu/records/nyy15-4j048 and unpack it: {folder} is to be 256_ObjectCategories/"
)
_INVERSION = (
    "get the concepts of https://github.com/rinongal/textual_inversion: {folder} is to hold one folder of photos "
    "a concept"
)
_CALTECH_CLASS = re.compile(r"(\d{3})\.(.+?)(?:-101)?")
CALTECH_CLASSES = 257
"""With the last one, clutter."""


def pictures_by_class(folder: Path) -> dict[str, tuple[Picture, ...]]:
    """Class -> the pictures right in its folder, ids `class/file`; none where that is empty."""
    found, _ = class_folders(folder)
    return {
        name: tuple(photo(path, f"{name}/{path.name}") for path in (Path(file.path) for file in files))
        for name, files in found.items()
    }


def complete_classes(folder: Path, name: str = "data set", get: str = "") -> dict[str, tuple[Picture, ...]]:
    """Class -> its pictures, ids `class/file`, as in `train/n01440764/*.JPEG`.

    Raises:
        DatasetError: no folder, no class in it, or a class without images.
    """
    advice = get or f"{folder} is to hold one folder of images a class"
    if not folder.is_dir():
        raise absent_files_error(name, [folder], 1, advice)
    found = pictures_by_class(folder)
    empty = [f"{folder / place}/*" for place, images in found.items() if not images]
    if empty or not found:
        raise absent_files_error(name, empty or [f"{folder}/CLASS/*"], max(len(found), 1), advice)
    return found


def caltech256(folder: Path) -> dict[str, tuple[Picture, ...]]:
    """Caltech-256: class name (`teapot`, `american-flag` as `american flag`) -> pictures.

    Raises:
        DatasetError: the folder is absent, lacks classes, or has other names.
    """
    get = _CALTECH.format(folder=folder)
    found = complete_classes(folder, "Caltech-256", get)
    named = {place: _CALTECH_CLASS.fullmatch(place) for place in found}
    strange = [place for place, match in named.items() if match is None]
    if strange:
        raise DatasetError(f"Caltech-256: {folder / strange[0]} is not named like 212.teapot-101\n{get}")
    if len(found) != CALTECH_CLASSES:
        there = {int(match[1]) for match in named.values() if match}
        missing = [f"{folder}/{i:03d}.*" for i in range(1, CALTECH_CLASSES + 1) if i not in there]
        raise absent_files_error("Caltech-256", missing, CALTECH_CLASSES, get)
    return {match[2].replace("-", " "): found[place] for place, match in named.items() if match}


def named_classes(folder: Path) -> dict[str, tuple[Picture, ...]]:
    """Class name as text -> pictures: of Caltech-256, without its clutter, or of any folder of class folders.

    Raises:
        DatasetError: as `caltech256` and `complete_classes`.
    """
    places = folder.iterdir() if folder.is_dir() else ()
    if any(_CALTECH_CLASS.fullmatch(place.name) for place in places):
        return {name: found for name, found in caltech256(folder).items() if name != "clutter"}
    return {re.sub(r"[_-]+", " ", name): found for name, found in complete_classes(folder).items()}


def textual_inversion(
    folder: Path, parents: Mapping[str, str], shots: int = 3, seed: int = 0
) -> list[tuple[Concept, tuple[Picture, ...]]]:
    """Concepts to learn from `shots` photos, each with its other photos.

    Args:
        folder: one folder a concept.
        parents: folder name -> parent, for those concepts that are wanted.

    Raises:
        DatasetError: a concept is absent, or has too few photos to keep one aside.
    """
    get = _INVERSION.format(folder=folder)
    found = complete_classes(folder, "Textual Inversion", get)
    missing = [f"{folder / name}/*" for name in parents if len(found.get(name, ())) <= shots]
    if missing:
        raise absent_files_error(
            "Textual Inversion", missing, len(parents), f"more than {shots} photos a concept; {get}"
        )
    rows = []
    for number, (name, parent) in enumerate(parents.items()):
        concept = Concept(name, parent, choose_pictures(found[name], shots, seed, number))
        rows.append((concept, tuple(image for image in found[name] if image not in concept.images)))
    return rows
