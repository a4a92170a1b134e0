"""Cuts of garments: one function a kind, y from 0 (top) to about 1."""

from __future__ import annotations

import math

import numpy as np

from gair_search.benchmarks.fashion_world.curves import (
    Points,
    band,
    both,
    box,
    curve,
    disc,
    flip,
    path,
    points,
    ribbon,
    stroke,
)
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.parts import (
    Cut,
    Part,
    Spot,
    column,
    pair,
)


def _neckline(dice: Dice, width: float, depth: float) -> Points:
    """The right half of a neckline, from its lowest point to the shoulder."""
    shape = dice.integer(0, 2)
    if shape == 0:
        return curve((0, depth), (width * 0.62, depth * 0.8), (width, 0))
    if shape == 1:
        return points((0, depth * 1.3), (width, 0))
    return points((0, depth * 0.9), (width * 0.9, depth * 0.9), (width, 0))


def _hem(dice: Dice, half: float, y: float) -> Points:
    """The right half of a lower edge, from the side to the axis."""
    shape = dice.integer(0, 2)
    if shape == 0:
        return curve((half, y - 0.03), (half * 0.55, y - 0.006), (0, y))
    if shape == 1:
        return points((half, y), (0, y))
    n = dice.integer(3, 4)
    x = np.linspace(half, 0, 8 * n + 1)
    return np.stack([x, y - 0.035 + 0.035 * np.abs(np.sin(np.linspace(0, np.pi * n, 8 * n + 1)))], axis=1)


def dress(dice: Dice) -> Cut:
    """A fitted top with or without sleeves, and a skirt that flares from the waist."""
    shoulder, neck, depth = dice(0.14, 0.175), dice(0.06, 0.1), dice(0.07, 0.13)
    waist_y, waist, hem = dice(0.34, 0.44), dice(0.1, 0.13), dice(0.27, 0.42)
    bust = waist + 0.035
    flare = waist + (hem - waist) * dice(0.4, 0.72)
    neckline = _neckline(dice, neck, depth)
    right = path(
        neckline,
        curve((shoulder, 0.03), (shoulder - 0.028, 0.11), (bust, 0.19)),
        curve((bust, 0.2), (waist, waist_y), (flare, waist_y + 0.28), (hem, 0.97)),
        _hem(dice, hem, 1.0),
    )
    parts = []
    long, tip = dice(0.1, 0.16), shoulder + dice(0.05, 0.09)
    cuffs: list[Part] = []
    sleeves = dice.integer(0, 2)
    if sleeves:
        drop = long if sleeves == 1 else long + 0.22
        tip += 0.02 if sleeves == 2 else 0
        sleeve = points((neck + 0.03, 0.01), (shoulder, 0.03), (tip, drop), (tip - 0.09, drop + 0.02))
        parts += pair(path(sleeve, points((bust - 0.02, 0.2))), "shade", True)
        cuffs = pair(stroke(tip + 0.01, drop - 0.012, tip - 0.1, drop + 0.008, 0.03), "accent")
    parts.append(Part(both(right), "fabric", True))
    pleats = dice.integer(0, 3)
    for i in range(pleats):
        x = (i + 0.6) / (pleats + 0.4)
        parts += pair(stroke(waist * x, waist_y + 0.05, hem * x, 1.02, 0.009), "line")
    parts.append(Part(band(waist_y, 0.009, 0.012), "line"))
    pocket = dice(0.055, 0.075)
    return Cut(
        parts,
        {
            "hem": [Part(band(0.91, 0.05, 0.02), "accent")],
            "edge": [Part(ribbon(path(flip(neckline)[::-1], neckline), 0.05), "accent"), *cuffs],
            "belt": [
                Part(band(waist_y - 0.022, 0.048, 0.012), "accent"),
                Part(box(-0.03, waist_y - 0.022, 0.03, waist_y + 0.048), "metal"),
            ],
            "sash": [
                Part(band(waist_y - 0.02, 0.04, 0.012), "accent"),
                Part(stroke(0.05, waist_y, 0.1, waist_y + 0.26, 0.04), "accent"),
                Part(disc(0.05, waist_y + 0.01, 0.032), "accent"),
            ],
            "buttons": column(0, depth + 0.08, waist_y - 0.03, 3, 0.018)
            + column(0, waist_y + 0.06, 0.92, 6, 0.018),
            "pockets": pair(
                box(flare * 0.35, waist_y + 0.14, flare * 0.35 + pocket, waist_y + 0.22), "accent"
            ),
        },
        [
            Spot(0, 0.25, 0.07),
            Spot(0, 0.66, 0.1),
            Spot(hem * 0.48, 0.8, 0.085),
            Spot(-hem * 0.48, 0.8, 0.085),
        ],
        folds=dice.integer(4, 8),
    )


def tshirt(dice: Dice) -> Cut:
    """A body with a collar and two short sleeves."""
    half, neck, depth = dice(0.27, 0.32), dice(0.1, 0.14), dice(0.08, 0.12)
    long, open_ = dice(0.13, 0.22), dice(0.13, 0.17)
    angle = math.radians(dice(32, 55))
    hem = half + dice(-0.03, 0.05)
    neckline = _neckline(dice, neck, depth)
    ax, ay = half - 0.01, 0.06
    bx, by = ax + long * math.cos(angle) + 0.03, ay + long * math.sin(angle) + 0.06
    cx, cy = bx - open_ * math.sin(angle), by + open_ * math.cos(angle)
    right = path(
        neckline,
        curve((neck, 0), (ax, ay), (bx, by)),
        points((cx, cy), (half - 0.015, 0.32)),
        curve((half - 0.015, 0.33), (half - 0.02, 0.58), (hem, 0.86)),
        curve((hem, 0.86), (hem * 0.55, 0.875), (0, dice(0.87, 0.91))),
    )
    parts = [Part(both(right), "fabric", True)]
    parts += pair(ribbon(curve((ax - 0.015, ay), (ax - 0.045, 0.18), (half - 0.01, 0.32)), 0.011), "line")
    collar = ribbon(path(flip(neckline)[::-1], neckline), dice(0.05, 0.065))
    parts.append(Part(collar, "shade"))
    cuff = ribbon(points((bx, by), (cx, cy)), 0.085)
    return Cut(
        parts,
        {
            "hem": [Part(band(0.81, 0.12), "accent")],
            "edge": [Part(collar, "accent"), *pair(cuff, "accent")],
            "buttons": [
                Part(box(-0.035, depth, 0.035, 0.38), "shade"),
                *column(0, depth + 0.08, 0.35, 3, 0.024),
            ],
            "pockets": [
                Part(points((0.07, 0.32), (0.21, 0.32), (0.21, 0.46), (0.14, 0.5), (0.07, 0.46)), "accent")
            ],
            "yoke": pair(ribbon(curve((neck, 0.03), (ax, ay + 0.03), (bx, by + 0.03)), 0.04), "accent"),
        },
        [
            Spot(0, 0.55, 0.12),
            Spot(-0.13, 0.4, 0.085),
            Spot(0, 0.45, 0.1),
            Spot(0.14, 0.71, 0.09),
            Spot(-0.14, 0.7, 0.09),
        ],
        folds=1.5,
    )


def skirt(dice: Dice) -> Cut:
    """A waistband and a flaring skirt, pleated or not."""
    waist, hem, length = dice(0.17, 0.24), dice(0.36, 0.5), dice(0.62, 0.95)
    bow = waist + (hem - waist) * dice(0.42, 0.68)
    right = path(
        points((0, 0), (waist, 0)),
        curve((waist, 0.06), (bow, length * 0.45), (hem, length - 0.02)),
        _hem(dice, hem, length),
    )
    waistband = dice(0.05, 0.066)
    parts = [Part(both(right), "fabric", True)]
    pleats = dice.integer(0, 5)
    for i in range(pleats):
        x = (i + 0.5) / (pleats + 0.3)
        parts += pair(stroke(waist * x, waistband, hem * x, length, 0.011), "line")
    parts.append(Part(box(-0.5, 0, 0.5, waistband), "shade"))
    parts.append(Part(box(-0.5, waistband, 0.5, waistband + 0.012), "line"))
    side = dice.pick((-1, 1)) * dice(0.0, 0.1)
    return Cut(
        parts,
        {
            "hem": [Part(band(length - 0.11, 0.042, 0.025), "accent")],
            "belt": [
                Part(box(-0.5, 0, 0.5, waistband), "accent"),
                Part(box(-0.045, -0.01, 0.045, waistband + 0.01), "metal"),
            ],
            "sash": [
                Part(box(-0.5, 0, 0.5, waistband), "accent"),
                Part(stroke(waist * 0.5, waistband / 2, waist * 0.8, 0.34, 0.05), "accent"),
                Part(stroke(waist * 0.5, waistband / 2, waist * 0.35, 0.28, 0.05), "accent"),
            ],
            "buttons": column(side, waistband + 0.07, length - 0.09, 5, 0.024),
            "pockets": pair(
                points(
                    (waist * 0.5, 0.17),
                    (waist * 0.5 + 0.11, 0.17),
                    (waist * 0.5 + 0.11, 0.28),
                    (waist * 0.5 + 0.055, 0.31),
                    (waist * 0.5, 0.28),
                ),
                "accent",
            ),
        },
        [
            Spot(0, length * 0.55, 0.1),
            Spot(hem * 0.45, length * 0.7, 0.09),
            Spot(-hem * 0.45, length * 0.7, 0.09),
        ],
        folds=dice.integer(4, 9),
    )


def coat(dice: Dice) -> Cut:
    """A long body, lapels, long sleeves, one or two rows of buttons."""
    shoulder, waist, hem = dice(0.18, 0.21), dice(0.15, 0.19), dice(0.22, 0.32)
    spread, wrist, deep = dice(0.07, 0.14), dice(0.56, 0.64), dice(0.2, 0.32)
    lapel = dice(0.1, 0.14)
    side = curve((shoulder - 0.015, 0.2), (waist, 0.44), (waist + (hem - waist) * 0.6, 0.72), (hem, 0.98))
    right = path(points((0, 0), (0.08, 0), (shoulder, 0.05)), side, points((0, 1.0)))
    x = shoulder + spread
    sleeve = path(
        points((0.1, 0.01)),
        curve((shoulder, 0.045), (shoulder + 0.045, 0.12), (x, wrist)),
        points((x - 0.105, wrist + 0.02), (shoulder - 0.03, 0.25)),
    )
    parts = [*pair(sleeve, "fabric", True), Part(both(right), "fabric", True)]
    parts += pair(ribbon(curve((shoulder - 0.03, 0.14), *map(tuple, side[4:14:3].tolist())), 0.016), "line")
    slit = dice(0.02, 0.05)
    parts.append(Part(points((0, 0.62), (slit, 1.02), (-slit, 1.02)), "inside"))
    parts.append(Part(stroke(0, deep, 0, 1.02, 0.016), "line"))
    parts.append(Part(points((-0.075, -0.01), (0.075, -0.01), (0, deep)), "inside"))
    flap = points(
        (0.06, -0.01), (lapel, 0.07), (lapel + 0.015, 0.115), (lapel - 0.025, 0.135), (0.0, deep + 0.01)
    )
    parts += pair(path(flap, points((0.045, 0.06))), "shade")
    parts += pair(ribbon(flap[1:], 0.011), "line")
    rows = dice.integer(1, 2)
    n, at = dice.integer(2, 4), 0.035 if rows == 1 else 0.06
    buttons = [
        p
        for sign in ((1,) if rows == 1 else (1, -1))
        for p in column(sign * at, deep + 0.05, 0.58, n, 0.019, "line")
    ]
    parts += buttons
    cuff = stroke(x + 0.02, wrist - 0.035, x - 0.13, wrist - 0.012, 0.05)
    return Cut(
        parts,
        {
            "hem": [Part(band(0.925, 0.05, 0.0, -hem - 0.05, hem + 0.05), "accent")],
            "edge": [*pair(path(flap, points((0.045, 0.06))), "accent"), *pair(cuff, "accent")],
            "belt": [
                Part(band(0.43, 0.05, 0.01, -waist - 0.005, waist + 0.005), "accent"),
                Part(box(-0.035, 0.43, 0.035, 0.49), "metal"),
            ],
            "buttons": [part._replace(ink="accent") for part in buttons],
            "pockets": pair(box(waist * 0.4, 0.58, waist * 0.4 + 0.09, 0.625), "accent"),
        },
        [
            Spot(0.115, 0.32, 0.052),
            Spot(-0.115, 0.32, 0.052),
            Spot(hem * 0.5, 0.8, 0.07),
            Spot(-hem * 0.5, 0.8, 0.07),
        ],
        folds=dice.integer(2, 4),
    )


def _legs(dice: Dice, length: float, waist: float, hip: float, outer: float, gap: float) -> Cut:
    """Trousers or shorts.

    Args:
        length: of the whole; the other widths are half widths in the same unit.
        gap: half the distance between the legs at their lower end.
    """
    crotch = dice(0.34, 0.38)
    knee = hip + (outer - hip) * dice(0.3, 0.6)
    right = path(
        points((0, 0), (waist, 0)),
        curve((waist, 0.03), (hip, 0.2), (knee, 0.2 + (length - 0.2) * 0.5), (outer, length)),
        points((gap, length + 0.01)),
        curve((gap, length), (gap * 0.8, (length + crotch) / 2), (0, crotch)),
    )
    waistband = dice(0.045, 0.065)
    parts = [Part(both(right), "fabric", True)]
    parts.append(Part(box(-0.5, 0, 0.5, waistband), "shade"))
    parts.append(Part(box(-0.5, waistband, 0.5, waistband + 0.011), "line"))
    parts.append(Part(stroke(0, waistband, 0, crotch, 0.012), "line"))
    pocket_line = ribbon(curve((waist * 0.55, waistband), (waist * 0.62, 0.12), (hip + 0.02, 0.17)), 0.011)
    parts += pair(pocket_line, "line")
    if dice.chance(0.5):
        parts += pair(stroke(hip * 0.55, 0.2, (outer + gap) / 2, length, 0.009), "line")
    edge = dice(0.04, 0.06)
    middle = (knee + gap) / 2
    deep = crotch + (length - crotch) * 0.3
    return Cut(
        parts,
        {
            "hem": [Part(band(length - edge, edge + 0.03), "accent")],
            "belt": [
                Part(box(-0.5, 0, 0.5, waistband), "accent"),
                Part(box(-0.035, -0.01, 0.035, waistband + 0.008), "metal"),
            ],
            "edge": pair(
                ribbon(
                    curve((waist, 0.03), (hip, 0.2), (knee, 0.2 + (length - 0.2) * 0.5), (outer, length)),
                    0.038,
                ),
                "accent",
            ),
            "pockets": pair(box(middle - 0.005, deep - 0.05, middle + 0.075, deep + 0.05), "accent"),
            "patches": pair(
                points((waist * 0.5, waistband), (hip * 0.75, 0.17), (hip + 0.05, 0.17), (waist, 0)), "accent"
            ),
        },
        [
            Spot(middle, deep + 0.02, 0.062),
            Spot(-middle, deep + 0.02, 0.062),
            Spot(-waist * 0.55, 0.23, 0.058),
            Spot(waist * 0.55, 0.25, 0.058),
        ],
        folds=1.5,
    )


def trousers(dice: Dice) -> Cut:
    """Long legs, from narrow to wide."""
    waist = dice(0.15, 0.18)
    gap = dice(0.025, 0.06)
    return _legs(dice, 0.99, waist, waist + dice(0.025, 0.045), gap + dice(0.13, 0.24), gap)


def shorts(dice: Dice) -> Cut:
    """Wide legs that end above the knee."""
    waist = dice(0.21, 0.25)
    gap = dice(0.03, 0.06)
    return _legs(dice, dice(0.52, 0.66), waist, waist + dice(0.03, 0.05), gap + dice(0.26, 0.32), gap)
