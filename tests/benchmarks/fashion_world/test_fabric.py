from dataclasses import replace

import numpy as np
import pytest

from gair_search.benchmarks.fashion_world import PATTERNS, instance
from gair_search.benchmarks.fashion_world.fabric import fabric_color, pattern_share
from gair_search.benchmarks.fashion_world.look import look_of


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "plain"])
def test_the_second_color_covers_about_a_third(pattern: str) -> None:
    axis = np.linspace(-0.5, 0.5, 160, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    for seed in range(30):
        share = pattern_share(look_of(instance(seed, pattern=pattern)), u, v, 1 / 160)
        assert share is not None
        assert 0.28 < share.mean() < 0.42
        assert ((share > 0.02) & (share < 0.98)).mean() < 0.35  # edges are crisp


def test_the_cloth_belongs_to_the_instance_not_to_the_view() -> None:
    """One instance has one cloth and one cut; a twin, alike in all that words name, has others."""
    axis = np.linspace(-0.4, 0.4, 64, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    for seed in range(20):
        item = instance(seed)
        twin = replace(item, entropy=(0, 0, seed + 5000))
        cloths = [fabric_color(look_of(one), u, v, 1 / 64) for one in (item, item, twin)]
        assert np.array_equal(cloths[0], cloths[1])
        assert np.abs(cloths[0] - cloths[2]).mean() > 1
        shapes = [[part.points.tolist() for part in look_of(one).parts] for one in (item, twin)]
        assert shapes[0] != shapes[1]
