"""Colours and pixels as numbers, and what makes a colour lighter or darker."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.float32]
Rgb: TypeAlias = tuple[float, float, float]


def scale_color(color: Rgb, gain: float) -> Rgb:
    """A colour made lighter or darker, no channel above 255."""
    r, g, b = color
    return min(r * gain, 255), min(g * gain, 255), min(b * gain, 255)


def luma(color: Rgb) -> float:
    """How bright a colour looks, 0..255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
