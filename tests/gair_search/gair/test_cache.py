import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.gair import PROMPT, QUICK

from gair_search.engine import Engine
from gair_search.errors import GairWarning
from gair_search.gair.cache import GeneratedImage, ImageCache
from gair_search.generation.sampling import SamplingConfig


def test_what_is_on_disk_is_not_drawn_again(engine: Engine) -> None:
    first = engine.gair(PROMPT, QUICK)
    assert (first.cached, first.denoiser_rows > 0) == (0, True)
    again = engine.gair(PROMPT, QUICK)
    assert (again.cached, again.denoiser_rows) == (len(first.candidates), 0)
    assert again.to_json()["candidates"] == first.to_json()["candidates"]
    assert np.array_equal(again.query.vector, first.query.vector)
    for one, other in zip(first.candidates, again.candidates, strict=True):
        assert np.array_equal(one.images, other.images)
    changes = [
        replace(QUICK, seeds=(1,)),
        replace(QUICK, sampling=SamplingConfig("ddim", 3)),
        replace(QUICK, sampling=SamplingConfig("dpm++", 2)),
        replace(QUICK, sampling=SamplingConfig("ddim", 2, guidance=3.0)),
        replace(QUICK, sampling=SamplingConfig("ddim", 2, height=24)),
        replace(QUICK, attributes=("green",)),
    ]
    for options in changes:
        # at w = 1 the attributes have no part
        assert engine.gair(PROMPT, replace(options, candidates=(0.0, 0.5))).cached == 0


def test_damaged_files_are_drawn_again(engine: Engine, home: Path) -> None:
    first = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5))
    files = sorted((home / "cache" / "generated").glob("*.png"))
    assert len(files) == 2  # w = 0 and 0.5
    files[0].write_bytes(b"nonsense")
    Image.new("RGB", (16, 16)).save(files[1])  # an image, but without features
    again = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5))
    assert again.cached == 0
    assert again.to_json()["candidates"] == first.to_json()["candidates"]
    assert engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5)).cached == 2


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = GeneratedImage(
        rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), rng.normal(size=4).astype(np.float32)
    )
    cache = ImageCache(tmp_path / "cache", limit=10**6)
    for i, key in enumerate("abc"):
        cache.put(key, drawn)
        os.utime(tmp_path / "cache" / f"{key}.png", (i, i))
    found = cache.get("a")  # the oldest, now used
    assert found is not None
    assert np.array_equal(found.image, drawn.image)
    assert np.array_equal(found.features, drawn.features)
    cache.trim()
    assert len(list(cache.folder.iterdir())) == 3
    cache.limit = 2 * (tmp_path / "cache" / "a.png").stat().st_size
    cache.trim()
    assert sorted(path.stem for path in cache.folder.iterdir()) == ["a", "c"]
    assert cache.get("b") is None


def test_a_full_disk_is_said_and_the_answer_is_given(engine: Engine, home: Path) -> None:
    expected = engine.gair(PROMPT, replace(QUICK, cache=False))
    home.joinpath("cache").mkdir(parents=True, exist_ok=True)
    home.joinpath("cache", "generated").write_text("a file is in the way")
    result = engine.gair(PROMPT, QUICK)
    assert np.array_equal(result.query.vector, expected.query.vector)
    (warning,) = result.warnings
    assert "the images can't be kept in" in warning
    with pytest.warns(GairWarning, match="can't be kept"):
        assert len(engine.search(PROMPT, 3, gair=True, config=QUICK)) == 3
