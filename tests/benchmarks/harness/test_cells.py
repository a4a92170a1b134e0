"""Finished parts of a run, and features of pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

from gair_search.benchmarks.datasets.base import photo
from gair_search.benchmarks.datasets.fashion import picture_of
from gair_search.benchmarks.fashion_world import scene
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.run import ProgressCounter
from gair_search.encoder.clip import Encoder
from gair_search.errors import ImageError


def counted(values: list[int]) -> tuple[list[int], Callable[[], list[int]]]:
    calls: list[int] = []

    def make() -> list[int]:
        calls.append(1)
        return values

    return calls, make


def test_a_finished_cell_is_kept_and_other_settings_have_their_own(tmp_path: Path) -> None:
    calls, make = counted([1, 2])
    for _ in range(2):
        assert Work("t", {"limit": 1}, tmp_path).cell("m-seed0", make) == [1, 2]
    assert len(calls) == 1
    Work("t", {"limit": 1}, tmp_path).cell("m-seed1", make)
    Work("t", {"limit": 2}, tmp_path).cell("m-seed0", make)
    assert len(calls) == 3
    Work("t", {"limit": 1}, tmp_path).cell("m-seed0", make, again=True)
    assert len(calls) == 4


def test_a_cell_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> list[int]:
        raise KeyboardInterrupt

    work = Work("t", {}, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work.cell("m", broken)
    assert work.cell("m", lambda: [3]) == [3]


def test_work_lies_under_gair_home(home: Path) -> None:
    Work("preference", {}).cell("m", lambda: 1)
    assert len(list(home.glob("bench/preference/*/m.json"))) == 1


def test_features_are_kept_by_content(encoder: Encoder, tmp_path: Path) -> None:
    drawn = [picture_of(scene(i, "test"), f"s{i}", 64) for i in range(3)]
    work, steps = Work("t", {}, tmp_path), []
    first = work.features(encoder, drawn, ProgressCounter(lambda done, total: steps.append((done, total)), 3))
    assert first.shape == (3, encoder.embedder_id.dim)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert steps[-1] == (3, 3)
    alone = encoder.encode_pixels(encoder.preprocessing.pixels(drawn[1].image())[None])
    assert np.allclose(first[1], alone, atol=1e-5)
    files = len(list((tmp_path / "features").iterdir()))
    assert np.array_equal(Work("u", {"x": 1}, tmp_path).features(encoder, drawn), first)
    assert len(list((tmp_path / "features").iterdir())) == files
    redrawn = [picture_of(scene(i + 9, "test"), f"s{i}", 64) for i in range(3)]
    assert not np.allclose(work.features(encoder, redrawn), first)


def test_features_of_a_changed_photo_are_made_anew(encoder: Encoder, tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "photos", 2)
    work = Work("t", {}, tmp_path / "work")
    before = work.features(encoder, [photo(path) for path in paths])
    paths[1].write_bytes(make_photos(tmp_path / "other", 1, first=7)[0].read_bytes())
    after = work.features(encoder, [photo(path) for path in paths])
    assert np.array_equal(before[0], after[0])
    assert not np.allclose(before[1], after[1])
    paths[1].write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"001\.jpg"):
        work.features(encoder, [photo(path) for path in paths])
