"""The six data sets of SToRI's tables 1, 2 and 8 in CoOp's layout, with CoOp's splits (Zhou et al. 2022).

    FOLDER/imagenet/images/{train,val}/, classnames.txt      FOLDER/dtd/images/, split_zhou_DescribableTextures.json
    FOLDER/oxford_flowers/jpg/, split_zhou_OxfordFlowers.json   FOLDER/sun397/SUN397/, split_zhou_SUN397.json
    FOLDER/caltech-101/101_ObjectCategories/, split_zhou_Caltech101.json
    FOLDER/food-101/images/, split_zhou_Food101.json

A split file lists (path, number of the class, name of the class) of each part. What is tested is its `test`, of
ImageNet the validation pictures; what is learned from is drawn out of `train`.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from gair_search.benchmarks.datasets.attributes import require_images
from gair_search.benchmarks.datasets.base import Picture, absent_files_error, photo
from gair_search.benchmarks.datasets.labelled import (
    TEMPLATE,
    ClassSet,
    class_named,
    class_set_of_parts,
    draw_pictures_of_class,
    tested_pictures,
)
from gair_search.benchmarks.datasets.labelled_folders import folder_classes
from gair_search.errors import DatasetError

LATE_SHOTS = 8
"""From so many on DTD and Flowers102 have a rate of their own."""

LAYOUT = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
"""Where CoOp's authors say what to get, and keep the split files."""


@dataclass(frozen=True)
class CoopSet:
    """A data set.

    Attributes:
        name: as the papers write it.
        folder: below that of all; where its pictures lie in it.
        split: its split file; "" where folders are the split.
        template: the base prompt, as CoOp and TaskRes have it.
        rate: of learning token weights with CLIP (Kim et al. 2024, appendix A.1); with 8 shots and more;
            and with MetaCLIP.
    """

    name: str
    folder: str
    pictures: str
    split: str
    template: str = TEMPLATE
    rate: float = 0.05
    late_rate: float | None = None
    metaclip_rate: float = 0.05

    def learning_rate(self, shots: int, metaclip: bool) -> float:
        """Of token weights, for so many pictures a class."""
        if metaclip:
            return self.metaclip_rate
        return self.late_rate if self.late_rate is not None and shots >= LATE_SHOTS else self.rate


COOP_SETS = {
    "imagenet": CoopSet("ImageNet", "imagenet", "images", "", rate=0.01, metaclip_rate=0.01),
    "dtd": CoopSet(
        "DTD", "dtd", "images", "split_zhou_DescribableTextures.json", "{} texture.", late_rate=0.1
    ),
    "flowers102": CoopSet(
        "Flowers102", "oxford_flowers", "jpg", "split_zhou_OxfordFlowers.json",
        "a photo of a {}, a type of flower.", late_rate=0.1, metaclip_rate=0.1,
    ),
    "sun397": CoopSet("SUN397", "sun397", "SUN397", "split_zhou_SUN397.json", rate=0.01, metaclip_rate=0.01),
    "caltech101": CoopSet("Caltech101", "caltech-101", "101_ObjectCategories", "split_zhou_Caltech101.json"),
    "food101": CoopSet(
        "Food101", "food-101", "images", "split_zhou_Food101.json", "a photo of {}, a type of food.", rate=0.1
    ),
}  # fmt: skip
"""By the name that `--dataset` takes, in the order of the paper's columns."""


def coop_classes(
    folder: Path,
    key: str,
    seed: int = 0,
    n: int | None = None,
    shots: int = 16,
    per_class: int | None = None,
) -> ClassSet:
    """One of `COOP_SETS`; arguments as for `folder_classes`.

    Args:
        folder: that of all data sets.
        key: which one.

    Raises:
        DatasetError: the split file or pictures are absent, or the file is none.
    """
    own = COOP_SETS[key]
    place = folder / own.folder
    if not own.split:
        found = folder_classes(place / own.pictures, seed, n, shots, per_class)
        return replace(found, name=own.name)
    parts = _read_split(place, own.pictures, own.split)
    numbers = sorted({number for number, _ in parts["train"]})[:n]
    names = dict(parts["train"].keys())
    classes, train, test = [], [], []
    for number in numbers:
        cell = number, names[number]
        if cell not in parts["test"]:
            raise DatasetError(f"{place / own.split}: no picture of {names[number]} is to be tested")
        classes.append(class_named(names[number], template=own.template))
        train.append(draw_pictures_of_class(parts["train"][cell], shots, seed, number))
        test.append(tested_pictures(parts["test"][cell], per_class, number))
    return class_set_of_parts(own.name, tuple(classes), train, test)


@cache
def _read_split(place: Path, pictures: str, split: str) -> dict[str, dict[tuple[int, str], list[Picture]]]:
    """Part -> (number, name) of a class -> its pictures; read once for all seeds.

    Raises:
        DatasetError: as `coop_classes`.
    """
    file, root = place / split, place / pictures
    get = f"get the pictures and {split} as {LAYOUT} says, into {place}"
    if not file.is_file():
        raise absent_files_error(place.name, [file], 1, get)
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        parts: dict[str, dict[tuple[int, str], list[Picture]]] = {}
        for part in ("train", "test"):
            for path, number, name in content[part]:
                cell = int(number), str(name).replace("_", " ")
                own = parts.setdefault(part, {}).setdefault(cell, [])
                own.append(photo(root / path, str(path)))
        parts["train"], parts["test"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{file} is no split file of CoOp ({error!r}); {get}") from error
    files = [picture.path for by in parts.values() for own in by.values() for picture in own]
    require_images(place.name, [path for path in files if path], get)
    return parts
