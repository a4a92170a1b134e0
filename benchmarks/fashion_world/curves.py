"""Lines and outlines: arrays [n, 2] of x and y, y downwards."""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]


def points(*pairs: tuple[float, float]) -> Points:
    """A line or an outline through these points."""
    return np.array(pairs, dtype=np.float64)


def path(*pieces: Points) -> Points:
    """The pieces joined, one after another."""
    return np.concatenate(pieces)


@functools.lru_cache(maxsize=8)
def _catmull_rom(steps: int) -> Points:
    """Weights [steps, 4] of four neighbours along the stretch between the middle two."""
    t = np.arange(steps)[:, None] / steps
    powers = np.concatenate([t**0, t, t**2, t**3], axis=1)
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return np.asarray(powers @ basis)


def curve(*pairs: tuple[float, float], steps: int = 6) -> Points:
    """A smooth line through the points, from the first to the last."""
    p = np.array((pairs[0], *pairs, pairs[-1]), dtype=np.float64)
    windows = np.stack([p[i : len(p) - 3 + i] for i in range(4)], axis=1)
    return np.concatenate([(_catmull_rom(steps) @ windows).reshape(-1, 2), p[-1:]])


_FLIP = np.array([-1.0, 1.0])


def flip(line: Points) -> Points:
    """Its mirror image in the axis x = 0."""
    return np.asarray(line * _FLIP)


def both(right: Points) -> Points:
    """The closed outline whose right half, from the axis to the axis, is given."""
    return np.concatenate([right, right[::-1] * _FLIP])


@functools.lru_cache(maxsize=256)
def _circle(start: float, end: float, steps: int) -> Points:
    """Points of the unit circle between two angles in degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, end, steps))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, steps: int = 18) -> Points:
    """A stretch of an ellipse between two angles in degrees, clockwise from the right."""
    return _circle(start, end, steps) * (rx, ry) + (x, y)


def ellipse(x: float, y: float, rx: float, ry: float, steps: int = 28) -> Points:
    """A closed ellipse with these half axes."""
    return arc(x, y, rx, ry, 0, 360, steps)


def disc(x: float, y: float, r: float) -> Points:
    """A small filled circle: few points are enough."""
    return arc(x, y, r, r, 0, 345, 14)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The outline of an upright rectangle."""
    return points((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def polar(radii: NDArray[np.float64]) -> Points:
    """The closed outline with these distances from the origin, the first straight up."""
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, len(radii), endpoint=False)
    return np.stack([radii * np.cos(angle), radii * np.sin(angle)], axis=1)


def ribbon(line: Points, width: float) -> Points:
    """The outline of a stroke along a line."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along *= width / 2 / np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    normal = along[:, ::-1] * (-1.0, 1.0)
    return np.concatenate([line + normal, (line - normal)[::-1]])


def stroke(x0: float, y0: float, x1: float, y1: float, width: float) -> Points:
    """The outline of a straight stroke."""
    return ribbon(points((x0, y0), (x1, y1)), width)


def band(y: float, thickness: float, sag: float = 0.0, x0: float = -0.7, x1: float = 0.7) -> Points:
    """A horizontal band whose middle hangs `sag` lower than its ends."""
    x = np.linspace(x0, x1, 13)
    top = np.stack([x, y + sag * (1 - np.linspace(-1, 1, 13) ** 2)], axis=1)
    return np.concatenate([top, top[::-1] + np.array((0.0, thickness))])
