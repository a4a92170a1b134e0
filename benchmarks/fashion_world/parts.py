"""What the cut of an item is made of: its parts, its trims and the places for an emblem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gair_search.benchmarks.fashion_world.curves import Points, disc, flip


class Part(NamedTuple):
    """A shape of an item.

    Attributes:
        points: its outline [n, 2].
        ink: which of the look's inks fills it.
        solid: whether it belongs to the silhouette; other parts show inside the silhouette only.
    """

    points: Points
    ink: str
    solid: bool = False


class Spot(NamedTuple):
    """A place for an emblem: its centre and the radius that fits."""

    x: float
    y: float
    r: float


class Cut(NamedTuple):
    """The shapes of one instance of a kind, before any colour.

    Attributes:
        parts: in the order of drawing.
        trims: the trims that the kind can have; one of them is used.
        spots: where an emblem can sit.
        folds: how many folds fall from the top of the cloth; 0 for hard things.
    """

    parts: list[Part]
    trims: dict[str, list[Part]]
    spots: list[Spot]
    folds: float = 0.0


def pair(points: Points, ink: str, solid: bool = False) -> list[Part]:
    """A part and its mirror image."""
    return [Part(points, ink, solid), Part(flip(points), ink, solid)]


def dots(xs: Sequence[float], ys: Sequence[float], r: float, ink: str = "accent") -> list[Part]:
    """Equal discs at the given places."""
    return [Part(disc(x, y, r), ink) for x, y in zip(xs, ys, strict=True)]


def column(x: float, y0: float, y1: float, n: int, r: float, ink: str = "accent") -> list[Part]:
    """Equal discs below one another, evenly spaced."""
    return dots([x] * n, np.linspace(y0, y1, n).tolist(), r, ink)
