"""Hidden files are left out alike, wherever folders of images are read: a Mac's `._photo.jpg` is no broken photo."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import Gair
from support.photos import make_photos

from gair_search.benchmarks.datasets.folders import complete_classes

Reading = Callable[[Gair, Path], int]
"""Reads a folder of class folders by one way in; returns how many images it took."""


def report_of(gair: Gair, *args: object) -> dict:
    """A command's report, which says that nothing was skipped."""
    code, out, err = gair(*args, "--json", "--model", "gair-mini")
    assert code == 0, err + out
    report = json.loads(out)
    assert report["skipped"] == []
    return report


def read_by_index(gair: Gair, folder: Path) -> int:
    return report_of(gair, "index", folder, "--workers", "0")["found"]


def read_by_learn(gair: Gair, folder: Path) -> int:
    tuning = ("--method", "prompt-tuning", "--steps", "1", "--vectors", "1")
    negatives = ("--parent", "thing", "--negatives", folder / "others")
    return sum(
        len(list(own.glob("[!.]*")))
        for own in (folder / "cup", folder / "hat", folder / "others")
        if report_of(gair, "learn", own.name, own, *negatives, *tuning)
    )


def read_by_learn_multi(gair: Gair, folder: Path) -> int:
    tuning = ("--method", "prompt-tuning", "--steps", "1", "--vectors", "1")
    report = report_of(gair, "learn", "--multi", folder, *tuning)
    return sum(len(list((folder / name).glob("[!.]*"))) for name in report["concepts"])


def read_by_explain(gair: Gair, folder: Path) -> int:
    report = report_of(gair, "explain", "--learn", folder, "--epochs", "1", "--workers", "0")
    return sum(report["images"].values())


def read_by_benchmarks(_: Gair, folder: Path) -> int:
    return sum(len(images) for images in complete_classes(folder).values())


@pytest.mark.parametrize(
    "read",
    [
        read_by_index,
        pytest.param(read_by_learn, marks=pytest.mark.slow),
        read_by_learn_multi,
        read_by_explain,
        read_by_benchmarks,
    ],
)
def test_hidden_files_and_folders_are_left_out(read: Reading, gair: Gair, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name, n in (("cup", 3), ("hat", 3), ("others", 10)):
        make_photos(folder / name, n)
        (folder / name / "._000.jpg").write_bytes(b"\0\x05\x16\x07 what a Mac keeps beside a photo")
    make_photos(folder / "._cup", 2)
    (folder / "._loose.jpg").write_bytes(b"\0\x05\x16\x07")
    (folder / ".DS_Store").touch()
    assert read(gair, folder) == 16
