"""What the tests of the fashion world share: the name of a colour."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gair_search.benchmarks.fashion_world import COLORS


def lab(rgb: NDArray) -> NDArray[np.float64]:
    """sRGB 0..255 [..., 3] -> CIE L*a*b* under D65."""
    c = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = xyz / (0.9505, 1, 1.089)
    f = np.where(f > 0.008856, np.cbrt(f), 7.787 * f + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.fixture(scope="session")
def nearest_color() -> Callable[[NDArray], str]:
    """The name of the colour that looks most like an sRGB triple."""
    names, known = list(COLORS), lab(np.array(list(COLORS.values())))
    return lambda rgb: names[int(((known - lab(rgb)) ** 2).sum(axis=-1).argmin())]
