"""One view of an instance: its pose in the frame and the light on it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gair_search.benchmarks.fashion_world.colors import Pixels
from gair_search.benchmarks.fashion_world.curves import Points
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.look import Look


@dataclasses.dataclass(frozen=True)
class View:
    """Pose and light.

    Attributes:
        matrix: item's coordinates -> the image's, [2, 2], after the bend.
        shift: where the item's origin lies in the image.
        bend: how far x moves with y squared.
        light: its direction, a unit vector towards the light.
        gain: brightness of the item, per channel [3, 1, 1].
        slope: how fast the brightness changes along the light.
        ambient: brightness of the background, per channel [3, 1, 1].
        fold_phase, fold_depth: of the folds.
        shadow: offset of the shadow.
        grain: standard deviation of the sensor's noise, in grey levels.
    """

    matrix: Points
    shift: Points
    bend: float
    light: tuple[float, float]
    gain: Pixels
    slope: float
    ambient: Pixels
    fold_phase: float
    fold_depth: float
    shadow: tuple[float, float]
    grain: float


def view_of(look: Look, dice: Dice) -> View:
    """A pose that keeps the item inside the frame, and a light that keeps its colours' names."""
    points = np.concatenate([part.points for part in look.parts if part.solid])
    slim = 1.24 - 0.24 * min(1.0, float(np.ptp(points, axis=0).min()) / 0.75)
    scale, angle, shear = dice(0.66, 0.8) * slim, math.radians(dice(-15, 15)), dice(-0.07, 0.07)
    squeeze, mirror, bend = dice(0.93, 1.04), -1 if dice.chance(0.5) else 1, dice(-0.16, 0.16)
    cos, sin = math.cos(angle), math.sin(angle)
    pose = np.array([[mirror * squeeze, shear], [0, 1]])
    matrix = np.array([[cos, -sin], [sin, cos]]) @ pose * scale
    placed = bend_points(points, bend) @ matrix.T
    low, high = placed.min(axis=0), placed.max(axis=0)
    room = np.maximum(1 - (high - low), 0) / 2
    middle = 0.5 + room * (0.75 * dice(-1, 1), 0.75 * dice(-1, 1))
    toward, tint = dice(math.pi * 1.1, math.pi * 1.9), dice(-0.025, 0.025)
    warm = np.array([1 + tint, 1, 1 - tint], dtype=np.float32).reshape(3, 1, 1)
    gain = dice(0.92, 1.08)
    return View(
        matrix=matrix,
        shift=middle - (low + high) / 2,
        bend=bend,
        light=(math.cos(toward), math.sin(toward)),
        gain=warm * np.float32(gain),
        slope=dice(0.04, 0.15),
        ambient=warm * np.float32(gain * dice(0.92, 1.06)),
        fold_phase=dice(0, 2 * math.pi),
        fold_depth=dice(0.02, 0.06),
        shadow=(dice(-0.03, 0.03), dice(0.015, 0.04)),
        grain=dice(1.0, 3.5),
    )


def bend_points(points: Points, bend: float) -> Points:
    """The points, each moved sideways by its height squared."""
    moved = points.copy()
    moved[:, 0] += bend * points[:, 1] ** 2
    return moved


def shading(look: Look, view: View, u: Pixels, v: Pixels, glow: Pixels, size: int) -> Pixels:
    """Brightness [h, w] about 1: roundness at the edges, light across the item, folds of cloth."""
    lx, ly = (np.float32(c) for c in view.light)
    shade = 1 + np.float32(view.slope) * (lx * u * (1 if view.matrix[0, 0] > 0 else -1) + ly * v)
    bevel = np.zeros_like(glow)
    bevel[1:-1, 1:-1] = lx * (glow[1:-1, :-2] - glow[1:-1, 2:]) + ly * (glow[:-2, 1:-1] - glow[2:, 1:-1])
    shade -= np.minimum(np.maximum(bevel * np.float32(0.014 * size), -0.14), 0.14)
    shade -= np.float32(0.1) * (1 - glow)
    if look.folds:
        fan = u / (np.float32(0.75) + np.float32(0.5) * v)
        wave = np.sin(fan * np.float32(look.folds * 6.2) + np.float32(view.fold_phase) + 2 * v)
        shade += np.float32(view.fold_depth) * wave * np.minimum(np.maximum(v + np.float32(0.6), 0.2), 1)
    return shade
