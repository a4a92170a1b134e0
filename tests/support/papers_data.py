"""The papers' data sets in small: made pictures in the official layouts."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gair_search.benchmarks.datasets.combinations import CELEBA_PHRASES, CUB_PHRASES
from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.datasets.folders import CALTECH_CLASSES
from gair_search.benchmarks.reproduction import sources
from support.pervl import make_pervl
from support.photos import encoded, picture

CALTECH = {41: "coffee-mug", 64: "elephant-101", 212: "teapot", 257: "clutter"}
"""Number -> name of those classes that tests ask for."""


SYNSETS = {"n01440764": "tench", "n01443537": "goldfish"}
"""ImageNet's first two."""


def write_pictures(files: Iterable[Path], first: int = 0) -> None:
    """A small JPEG file each, all different."""
    for seed, path in enumerate(files, first):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(seed, (24, 24))))


def make_textual_inversion(folder: Path) -> None:
    """Six concepts of five photos."""
    write_pictures(folder / name / f"{i}.jpeg" for name in sources.DRAWN for i in range(5))


def make_caltech256(folder: Path) -> None:
    """All 257 classes; four pictures of each that a test asks for, and one of the others."""
    names = {i: f"{i:03d}.{CALTECH.get(i, f'thing{i}')}" for i in range(1, CALTECH_CLASSES + 1)}
    write_pictures(
        folder / name / f"{i:03d}_{n:04d}.jpg"
        for i, name in names.items()
        for n in range(1, 5 if i in CALTECH else 2)
    )


def make_celeba(folder: Path, n: int = 320) -> None:
    """Faces' tables with attributes drawn at random; half of the pictures are the test split's."""
    names = ("Male", *CELEBA_PHRASES)
    files = [f"{i:06d}.jpg" for i in range(1, n + 1)]
    write_pictures(folder / "img_align_celeba" / file for file in files)
    flags = np.where(np.random.default_rng(0).integers(0, 2, (n, len(names))), "1", "-1")
    rows = [f"{file} {' '.join(row)}" for file, row in zip(files, flags, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(n), " ".join(names), *rows, ""]))
    parts = [f"{file} {0 if i % 2 else 2}\n" for i, file in enumerate(files)]
    (folder / "list_eval_partition.txt").write_text("".join(parts))


def make_cub(folder: Path, n: int = 12) -> None:
    """One species with attributes drawn at random."""
    files = [f"001.Bird/{i:03d}.jpg" for i in range(n)]
    write_pictures(folder / "images" / file for file in files)
    (folder / "attributes").mkdir()
    names, rng = list(CUB_PHRASES), np.random.default_rng(0)
    (folder / "attributes.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names, 1)))
    (folder / "images.txt").write_text("".join(f"{i} {file}\n" for i, file in enumerate(files, 1)))
    (folder / "train_test_split.txt").write_text("".join(f"{i} {i % 2}\n" for i in range(1, n + 1)))
    flags = rng.integers(0, 2, (n, len(names)))
    rows = [f"{i + 1} {a + 1} {flags[i, a]} 3 1.0" for i in range(n) for a in range(len(names))]
    (folder / "attributes/image_attribute_labels.txt").write_text("\n".join(rows))


def make_coop(folder: Path) -> None:
    """Two classes of each data set, two pictures of each to learn from and two to classify."""
    for name, own in COOP_SETS.items():
        place = folder / own.folder
        root = place / own.pictures
        if not own.split:
            parts = [(part, synset) for part in ("train", "val") for synset in SYNSETS]
            write_pictures(
                root / part / synset / f"{part}_{i}.JPEG" for part, synset in parts for i in range(2)
            )
            (place / "classnames.txt").write_text("".join(f"{k} {v}\n" for k, v in SYNSETS.items()))
            continue
        rows = [[f"{name}_{c}/{i:04d}.jpg", c, f"{name}_class {c}"] for c in (0, 1) for i in range(4)]
        write_pictures(root / str(row[0]) for row in rows)
        split = {"train": rows[::2], "val": [], "test": rows[1::2]}
        (place / own.split).write_text(json.dumps(split))


def make_cupl(folder: Path) -> None:
    """Two descriptions of each of these classes."""
    folder.mkdir(parents=True)
    for name, own in COOP_SETS.items():
        names = [f"{name} class {c}" for c in (0, 1)] if own.split else list(SYNSETS.values())
        texts = {one: [f"a {one} has a tail.", f"a {one} is small."] for one in names}
        (folder / f"{name}.json").write_text(json.dumps(texts))


def make_papers_data(folder: Path) -> Path:
    """All of them below one folder, each in a folder of its official name; returns the folder."""
    make_textual_inversion(folder / sources.TEXTUAL_INVERSION)
    make_caltech256(folder / sources.CALTECH)
    make_pervl(folder / sources.PERVL)
    make_celeba(folder / sources.CELEBA)
    make_cub(folder / sources.CUB)
    make_coop(folder / sources.COOP)
    make_cupl(folder / sources.CUPL)
    return folder
