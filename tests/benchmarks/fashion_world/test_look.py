from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.fashion_world import instance
from gair_search.benchmarks.fashion_world.look import look_of


def test_a_shade_never_goes_by_another_name(nearest_color: Callable[[NDArray], str]) -> None:
    for seed in range(400):
        item = instance(seed)
        look = look_of(item)
        assert nearest_color(look.main) == item.color
        if item.second_color:
            assert np.linalg.norm(np.subtract(look.main, look.second)) > 45
