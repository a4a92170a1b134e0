import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    Scene,
    instance,
    render,
    scene,
)
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.look import look_of
from gair_search.benchmarks.fashion_world.view import bend_points, view_of


def digest(shown: Scene, size: int = 128) -> str:
    return hashlib.sha256(render(shown, size).tobytes()).hexdigest()


def on_the_item(shown: Scene, size: int, where: NDArray[np.float64]) -> NDArray[np.intp]:
    """Pixel (column, row) [n, 2] of points [n, 2] given in the item's own coordinates."""
    look = look_of(shown.item)
    view = view_of(look, Dice(np.random.default_rng(shown.entropy)))
    at = (bend_points(where, view.bend) @ view.matrix.T + view.shift) * size
    return np.clip(at.astype(int), 0, size - 1)


def test_a_scene_is_the_same_whatever_was_drawn_before() -> None:
    shown = [scene(seed, "test") for seed in range(6)]
    forwards = [digest(s) for s in shown]
    assert [digest(s) for s in reversed(shown)] == forwards[::-1]
    assert len(set(forwards)) == 6
    program = (
        "import hashlib; from gair_search.benchmarks.fashion_world import render, scene\n"
        "for s in (5, 2): print(hashlib.sha256(render(scene(s, 'test')).tobytes()).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [forwards[5], forwards[2]]


def test_views_instances_and_splits_differ() -> None:
    item = instance(3)
    views = {digest(scene(seed, item=item, background="tiles")) for seed in range(8)}
    assert len(views) == 8
    first = scene(0, item=item)
    twin = replace(item, entropy=(0, 0, 999))
    assert digest(replace(first, item=twin)) != digest(first)
    assert len({digest(scene(0, split)) for split in ("train", "val", "test")}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_color_pattern_and_background(kind: str) -> None:
    for i, (color, background) in enumerate(zip(COLORS, BACKGROUNDS, strict=True)):
        pattern = list(PATTERNS)[i % len(PATTERNS)]
        shown = scene(i, item=instance(i, kind=kind, color=color, pattern=pattern), background=background)
        size = (32, 47, 64, 96)[i % 4]
        image = render(shown, size)
        assert (image.mode, image.size) == ("RGB", (size, size))
        assert np.asarray(image).std() > 8


def test_it_is_one_scene_at_every_size() -> None:
    for seed in range(6):
        large, small = render(scene(seed), 256), render(scene(seed), 64)
        shrunk = np.asarray(large.resize((64, 64), Image.Resampling.BOX), dtype=float)
        assert np.abs(shrunk - np.asarray(small, dtype=float)).mean() < 8


def test_too_small_a_size_is_refused() -> None:
    assert render(scene(0), 32).size == (32, 32)
    with pytest.raises(ValueError, match="31 is too small"):
        render(scene(0), 31)


def test_the_main_color_covers_the_picture_of_a_plain_item(nearest_color: Callable[[NDArray], str]) -> None:
    """The median colour over its middle goes by the name of its main colour, in any light."""
    axis = np.linspace(-0.15, 0.15, 24)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    middles = {"umbrella": (0.0, -0.27), "boot": (-0.12, 0.0)}
    seen = []
    for seed in range(72):
        kind, color = list(KINDS)[seed % 12], list(COLORS)[seed // 6]
        shown = scene(seed, item=instance(seed, kind=kind, color=color, pattern="plain"))
        at = on_the_item(shown, 96, grid + np.array(middles.get(kind, (0.0, 0.0))))
        pixels = np.asarray(render(shown, 96))[at[:, 1], at[:, 0]]
        seen.append(nearest_color(np.median(pixels, axis=0)) == color)
    assert sum(seen) >= 70


def test_twins_in_the_same_view_differ_plainly() -> None:
    """Pose, light and background are equal: what differs is what words do not name."""
    for seed in range(12):
        shown = scene(seed, background="tiles")
        one, two = (
            np.asarray(render(replace(shown, item=replace(shown.item, entropy=(0, 0, k))), 64), dtype=float)
            for k in (seed + 100, seed + 200)
        )
        assert (np.abs(one - two).max(axis=2) > 40).mean() > 0.05
