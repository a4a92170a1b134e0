"""The random numbers that everything here is drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from gair_search.benchmarks.fashion_world.colors import Rgb, scale_color

_T = TypeVar("_T")


class Dice:
    """Random numbers drawn in blocks: a single draw from a numpy generator is ten times slower."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left: list[float] = []

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._left:
            self._left = self._rng.random(128).tolist()
        return low + (high - low) * self._left.pop()

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """True in this share of the draws."""
        return self() < share

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[int(self() * len(choices))]

    def vary(self, color: Rgb, value: float, channel: float = 0.0) -> Rgb:
        """A colour lighter or darker by up to the share `value`, each channel by up to `channel`."""
        gain = self(1 - value, 1 + value)
        if not channel:
            return scale_color(color, gain)
        r, g, b = (c * gain + self(-channel, channel) for c in color)
        return max(min(r, 255), 0), max(min(g, 255), 0), max(min(b, 255), 0)
