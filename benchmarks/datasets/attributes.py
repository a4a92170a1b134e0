"""Pictures with attributes that are there or not: CelebA and CUB-200-2011."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import (
    Picture,
    absent_files_error,
    first_existing,
    photo,
)
from gair_search.errors import DatasetError

_CELEBA = (
    "get the aligned images, list_attr_celeba.txt and list_eval_partition.txt of CelebA "
    "(https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html) and unpack them into {folder}"
)
_CUB = (
    "get CUB_200_2011.tgz (https://data.caltech.edu/records/65de6-vp158) and unpack it: {folder} is to be "
    "CUB_200_2011/, with attributes.txt in it or beside it"
)


@dataclass(frozen=True)
class AttributeSet:
    """Pictures and what they show.

    Attributes:
        name: for tables and file names.
        pictures: `[N]`.
        labels: attribute -> whether each picture has it, bool `[N]`.
        test: which pictures are of the official test split, bool `[N]`.
    """

    name: str
    pictures: tuple[Picture, ...]
    labels: Mapping[str, NDArray[np.bool_]]
    test: NDArray[np.bool_]


def celeba(folder: Path) -> AttributeSet:
    """CelebA: 40 attributes, `Male`, `Blond_Hair`, ...

    Raises:
        DatasetError: a file or images are absent, or a table is not as it should be.
    """
    get = _CELEBA.format(folder=folder)
    table = first_existing([folder / "list_attr_celeba.txt", folder / "Anno/list_attr_celeba.txt"])
    split = first_existing([folder / "list_eval_partition.txt", folder / "Eval/list_eval_partition.txt"])
    images = first_existing([folder / "img_align_celeba", folder / "Img/img_align_celeba"])
    named = {"list_attr_celeba.txt": table, "list_eval_partition.txt": split, "img_align_celeba/": images}
    missing: list[Path | str] = [folder / name for name, path in named.items() if path is None]
    if table is None or split is None or images is None:
        raise absent_files_error("CelebA", missing, 3, get)
    lines = table.read_text("utf-8").splitlines()
    names = lines[1].split() if len(lines) > 2 else []
    files, values = [], []
    for number, line in enumerate(lines[2:], start=3):
        file, *flags = line.split()
        if len(flags) != len(names) or not set(flags) <= {"1", "-1"}:
            raise DatasetError(f"{table}:{number}: {len(names)} values of 1 or -1 are wanted\n{get}")
        files.append(file)
        values.append([flag == "1" for flag in flags])
    if not files or lines[0].strip() != str(len(files)):
        raise DatasetError(f"{table}: it announces {lines[:1]} images and lists {len(files)}\n{get}")
    splits = dict(line.split() for line in split.read_text("utf-8").splitlines() if line.strip())
    require_images("CelebA", [images / file for file in files], get)
    unknown = [file for file in files if file not in splits]
    if unknown:
        raise DatasetError(f"{split}: {len(unknown):,} images are in no split, as {unknown[0]}\n{get}")
    flags_of = np.array(values, bool)
    return AttributeSet(
        "celeba",
        tuple(photo(images / file) for file in files),
        {name: flags_of[:, i] for i, name in enumerate(names)},
        np.array([splits[file] == "2" for file in files]),
    )


def cub(folder: Path) -> AttributeSet:
    """CUB-200-2011: 312 attributes, `has_wing_color::yellow`, ..., as annotated image by image.

    Raises:
        DatasetError: a file or images are absent, or a table is not as it should be.
    """
    get = _CUB.format(folder=folder)
    names_file = first_existing(
        [folder / "attributes.txt", folder.parent / "attributes.txt", folder / "attributes/attributes.txt"]
    )
    needed = ["images.txt", "train_test_split.txt", "attributes/image_attribute_labels.txt"]
    missing: list[Path | str] = [folder / name for name in needed if not (folder / name).is_file()]
    if names_file is None or missing:
        missing += [] if names_file else [folder / "attributes.txt"]
        raise absent_files_error("CUB-200-2011", missing, len(needed) + 1, get)
    names = [line.split(maxsplit=1)[1] for line in names_file.read_text("utf-8").splitlines() if line.strip()]
    rows = [line.split() for line in (folder / "images.txt").read_text("utf-8").splitlines() if line.strip()]
    place = {row[0]: i for i, row in enumerate(rows)}
    labels = np.zeros((len(rows), len(names)), bool)
    filled = np.zeros_like(labels)
    table = folder / needed[2]
    with table.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            fields = line.split()
            # some lines of the official file carry a field too many after the third
            try:
                at = place[fields[0]], int(fields[1]) - 1
                labels[at], filled[at] = fields[2] == "1", True
            except (KeyError, IndexError, ValueError) as error:
                raise DatasetError(f"{table}:{number}: image, attribute, 0 or 1 are wanted\n{get}") from error
    if not filled.all():
        raise DatasetError(f"{table}: {int((~filled).sum()):,} of {filled.size:,} labels are absent\n{get}")
    split = dict(
        line.split() for line in (folder / needed[1]).read_text("utf-8").splitlines() if line.strip()
    )
    require_images("CUB-200-2011", [folder / "images" / row[1] for row in rows], get)
    return AttributeSet(
        "cub",
        tuple(photo(folder / "images" / row[1], row[1]) for row in rows),
        {name: labels[:, i] for i, name in enumerate(names)},
        np.array([split.get(row[0]) == "0" for row in rows]),
    )


def require_images(name: str, files: list[Path], get: str) -> None:
    """Raise DatasetError where images are absent; each folder is listed once."""
    there = {
        place: {path.name for path in place.iterdir()}
        for place in {f.parent for f in files}
        if place.is_dir()
    }
    missing = [file for file in files if file.name not in there.get(file.parent, ())]
    if missing:
        raise absent_files_error(name, missing, len(files), get)
