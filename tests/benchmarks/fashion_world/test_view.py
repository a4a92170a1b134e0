import numpy as np

from gair_search.benchmarks.fashion_world import scene
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.look import look_of
from gair_search.benchmarks.fashion_world.view import bend_points, view_of


def test_the_item_lies_within_the_frame() -> None:
    for seed in range(150):
        shown = scene(seed)
        look = look_of(shown.item)
        view = view_of(look, Dice(np.random.default_rng(shown.entropy)))
        outline = np.concatenate([part.points for part in look.parts if part.solid])
        placed = bend_points(outline, view.bend) @ view.matrix.T + view.shift
        assert placed.min() > -0.05
        assert placed.max() < 1.05
        assert 0.42 < np.ptp(placed, axis=0).max() < 1.0
