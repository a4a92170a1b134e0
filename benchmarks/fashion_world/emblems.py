"""Emblems: shapes in the unit disc, set on a patch; a part of ink `main` is a hole."""

from __future__ import annotations

import math

import numpy as np

from gair_search.benchmarks.fashion_world.curves import (
    both,
    box,
    curve,
    disc,
    ellipse,
    points,
    polar,
    stroke,
)
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.parts import Part, Spot


def _star(dice: Dice) -> list[Part]:
    """Four to eight points."""
    n = dice.integer(4, 8)
    inner = dice(0.38, 0.5) if n < 6 else dice(0.5, 0.62)
    return [Part(polar(np.tile([1.0, inner], n)), "emblem")]


def _ring(dice: Dice) -> list[Part]:
    """A ring, with or without a dot in it."""
    hole = dice(0.45, 0.62)
    parts = [Part(ellipse(0, 0, 0.95, 0.95), "emblem"), Part(ellipse(0, 0, hole, hole), "main")]
    return [*parts, Part(disc(0, 0, 0.26), "emblem")] if dice.chance(0.5) else parts


def _heart(dice: Dice) -> list[Part]:
    """A heart, slim or wide."""
    w = dice(0.85, 1.0)
    half = curve((0, -0.45), (0.25 * w, -0.8), (0.75 * w, -0.78), (w, -0.3), (0.7 * w, 0.3), (0, 1))
    return [Part(both(half), "emblem")]


def _triangle(dice: Dice) -> list[Part]:
    """A triangle, filled or framed."""
    parts = [Part(polar(np.ones(3)), "emblem")]
    return [*parts, Part(polar(np.full(3, 0.45)), "main")] if dice.chance(0.5) else parts


def _crescent(dice: Dice) -> list[Part]:
    """A disc with a smaller disc taken out."""
    shift = dice(0.35, 0.5)
    return [Part(ellipse(0, 0, 1, 1), "emblem"), Part(ellipse(shift, -0.1, 0.78, 0.78), "main")]


def _flower(dice: Dice) -> list[Part]:
    """Petals about a middle of another colour."""
    n = dice.integer(4, 7)
    petals = polar(0.72 + 0.28 * np.cos(n * np.linspace(0, 2 * np.pi, 8 * n, endpoint=False)))
    return [Part(petals, "emblem"), Part(disc(0, 0, 0.3), "accent")]


def _cross(dice: Dice) -> list[Part]:
    """Two bars of equal length, upright."""
    w = dice(0.24, 0.36)
    return [Part(box(-w, -1, w, 1), "emblem"), Part(box(-1, -w, 1, w), "emblem")]


def _bolt(dice: Dice) -> list[Part]:
    """A flash of lightning."""
    k = dice(0.0, 0.15)
    corners = ((0.35, -1), (-0.6, 0.2 - k), (-0.08, 0.2 - k), (-0.35, 1), (0.62, -0.25 + k), (0.1, -0.25 + k))
    return [Part(points(*corners), "emblem")]


def _glyph(dice: Dice) -> list[Part]:
    """Three or four strokes between places of a 3 x 3 grid: a letter of no alphabet."""
    places = [(x, y) for y in (-0.8, 0.0, 0.8) for x in (-0.65, 0.0, 0.65)]
    at = dice.pick(places)
    parts = []
    for _ in range(dice.integer(3, 4)):
        to = dice.pick([p for p in places if 0.6 < math.dist(p, at) < 1.7])
        parts += [Part(stroke(*at, *to, 0.34), "emblem"), Part(disc(*to, 0.17), "emblem")]
        at = to
    return parts


def _diamond(dice: Dice) -> list[Part]:
    """A square on its corner, with or without a dot in it."""
    w = dice(0.6, 0.95)
    parts = [Part(points((0, -1), (w, 0), (0, 1), (-w, 0)), "emblem")]
    return [*parts, Part(disc(0, 0, 0.3), "accent")] if dice.chance(0.6) else parts


def _leaf(dice: Dice) -> list[Part]:
    """A leaf and its stalk."""
    half = curve((0, -1), (dice(0.45, 0.7), -0.1), (0, 0.75))
    return [Part(both(half), "emblem"), Part(stroke(0, -0.5, 0, 1.05, 0.16), "accent")]


def _bars(dice: Dice) -> list[Part]:
    """Two or three bars, each with ends of its own."""
    n = dice.integer(2, 3)
    return [
        Part(box(-dice(0.5, 1), y - 0.2, dice(0.5, 1), y + 0.2), "emblem")
        for y in np.linspace(-0.3 * n + 0.1, 0.3 * n - 0.1, n)
    ]


_EMBLEMS = (
    _star, _ring, _heart, _triangle, _crescent, _flower,
    _cross, _bolt, _glyph, _glyph, _diamond, _leaf, _bars,
)  # fmt: skip


def emblem(dice: Dice, spots: list[Spot]) -> list[Part]:
    """An emblem on a patch of the main colour, at one of the spots."""
    spot = dice.pick(spots)
    angle = math.radians(dice(-28, 28))
    r = spot.r * dice(0.85, 1.1)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) * r
    at = (spot.x + dice(-0.15, 0.15) * spot.r, spot.y + dice(-0.15, 0.15) * spot.r)
    figure = dice.pick(_EMBLEMS)(dice)
    patch = Part(disc(*at, r * 1.22), "main")
    return [patch, *(part._replace(points=part.points @ turn + at) for part in figure)]
