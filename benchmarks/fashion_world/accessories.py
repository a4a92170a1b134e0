"""Cuts of what is carried or worn besides: one function a kind, y from 0 (top) to about 1."""

from __future__ import annotations

import numpy as np

from gair_search.benchmarks.fashion_world.curves import (
    arc,
    band,
    both,
    box,
    curve,
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
    dots,
    pair,
)


def hat(dice: Dice) -> Cut:
    """A wide brim, a crown and the band around it. Long, since it is one drawing."""
    half, crown, top = dice(0.23, 0.29), dice(0.38, 0.5), dice(0.1, 0.22)
    base, drop = 0.56, dice(0.0, 0.07)
    ry = dice(0.1, 0.15)
    brim = path(
        curve(
            (-0.5, base + drop),
            (-0.3, base - ry * 0.7),
            (0, base - ry),
            (0.3, base - ry * 0.7),
            (0.5, base + drop),
        ),
        curve(
            (0.5, base + drop + 0.015),
            (0.3, base + ry * 0.75),
            (0, base + ry),
            (-0.3, base + ry * 0.75),
            (-0.5, base + drop + 0.015),
        ),
    )
    y0 = base + 0.02 - crown
    dent = dice.pick((0.0, 0.0, 0.05))
    side = path(curve((0, y0 + dent), (top, y0), (half * 0.93, y0 + crown * 0.35), (half, base + 0.02)))
    bottom = curve((half, base + 0.02), (half * 0.6, base + 0.055), (0, base + 0.065))
    body = both(path(side, bottom))
    rim = curve(
        (-0.5, base + drop + 0.015),
        (-0.3, base + ry * 0.75),
        (0, base + ry),
        (0.3, base + ry * 0.75),
        (0.5, base + drop + 0.015),
    )
    high = dice(0.05, 0.068)
    hatband = band(base - high - 0.02, high, 0.045, -half - 0.01, half + 0.01)
    parts = [
        Part(brim, "fabric", True),
        Part(both(path(side, bottom)) * (1.04, 1) + (0.0, 0.022), "line"),
        Part(body, "fabric", True),
        Part(hatband, "shade"),
        Part(band(base - high - 0.02, 0.01, 0.045, -half - 0.01, half + 0.01), "line"),
        Part(band(base - 0.025, 0.01, 0.045, -half - 0.01, half + 0.01), "line"),
    ]
    xs = np.linspace(-half * 0.75, half * 0.75, 6)
    ys = base - 0.02 - high / 2 + 0.045 * (1 - (xs / half) ** 2)
    fx = half * dice.pick((-0.6, 0.6))
    feather = curve((fx, base - 0.03), (fx * 1.5, base - 0.2), (fx * 1.45, base - 0.34), steps=5)
    quill = curve((fx, base - 0.03), (fx * 1.12, base - 0.2), (fx * 1.45, base - 0.34), steps=5)
    return Cut(
        parts,
        {
            "hem": [Part(ribbon(rim, 0.036), "accent")],
            "belt": [Part(hatband, "accent")],
            "bow": [
                Part(hatband, "accent"),
                Part(points((fx, base - 0.03), (fx + 0.1, base - 0.1), (fx + 0.1, base + 0.04)), "accent"),
                Part(points((fx, base - 0.03), (fx - 0.1, base - 0.1), (fx - 0.1, base + 0.04)), "accent"),
            ],
            "buttons": dots(xs.tolist(), ys.tolist(), 0.022),
            "feather": [Part(path(feather, quill[::-1]), "accent", True)],
        },
        [
            Spot(0, y0 + crown * 0.42, 0.085),
            Spot(half * 0.35, y0 + crown * 0.45, 0.08),
            Spot(-half * 0.35, y0 + crown * 0.45, 0.08),
        ],
    )


def bag(dice: Dice) -> Cut:
    """A body with a flap, a clasp and a round handle."""
    top, bottom, y0 = dice(0.3, 0.4), dice(0.36, 0.46), dice(0.34, 0.42)
    round_ = dice(0.04, 0.12)
    right = path(
        points((0, y0), (top - 0.03, y0)),
        curve((top - 0.03, y0), (top, y0 + 0.03), (bottom, 0.99 - round_), (bottom - round_, 0.99), steps=9),
        points((0, 1.0)),
    )
    rx, ry, width = dice(0.15, 0.25), dice(0.26, 0.34), dice(0.045, 0.06)
    ink = dice.pick(("shade", "wood", "dark", "shade"))
    ink = "line" if ink == "shade" else ink
    loop = arc(0, y0 + 0.03, rx, ry, 180, 360, 20)
    parts = [Part(ribbon(loop, width), ink, True), Part(both(right), "fabric", True)]
    style, deep = dice.integer(0, 2), dice(0.16, 0.25)
    flap = {
        0: both(curve((0, y0 + deep), (top * 0.7, y0 + deep * 0.8), (top + 0.02, y0))),
        1: both(points((0, y0 + deep), (top * 0.9, y0 + 0.02), (top, y0 - 0.01))),
        2: box(-0.6, y0 - 0.02, 0.6, y0 + deep * 0.3),
    }[style]
    parts += [Part(flap + np.array((0.0, 0.016)), "line"), Part(flap, "shade")]
    clasp = y0 + (deep if style < 2 else deep * 0.3)
    parts.append(Part(box(-0.035, clasp - 0.03, 0.035, clasp + 0.03), "metal"))
    x = dice(0.16, 0.24)
    return Cut(
        parts,
        {
            "hem": [Part(band(0.945, 0.1), "accent")],
            "edge": [Part(box(-0.6, y0 - 0.01, 0.6, y0 + 0.042), "accent")],
            "belt": pair(box(x, y0, x + 0.04, 1.01), "accent"),
            "buttons": dots(np.linspace(-0.3, 0.3, 6).tolist(), [0.93] * 6, 0.024),
            "corners": pair(
                points((bottom - 0.15, 1.01), (bottom + 0.02, 0.84), (bottom + 0.03, 1.01)), "accent"
            ),
        },
        [Spot(0, 0.79, 0.105), Spot(0.2, 0.78, 0.09), Spot(-0.2, 0.78, 0.09)],
    )


def boot(dice: Dice) -> Cut:
    """A shaft, a toe to the right and a heeled sole, with laces, elastic or a zip. Long, since it is one drawing."""
    back, front, top = -0.24, dice(0.08, 0.14), dice(0.0, 0.18)
    ankle, toe = dice(0.05, 0.09), dice(0.42, 0.5)
    toe_y = dice(0.7, 0.75)
    heel = dice(0.04, 0.12)
    outline = path(
        points((back - 0.01, top + 0.02), (front, top)),
        curve(
            (front, top),
            (ankle + 0.02, 0.42),
            (ankle + 0.08, 0.58),
            (0.3, 0.68),
            (toe - 0.03, toe_y),
            (toe, 0.86),
            (toe - 0.01, 0.92),
        ),
        curve(
            (back + 0.01, 0.92),
            (back - 0.01, 0.78),
            (back + 0.035, 0.55),
            (back, 0.3),
            (back - 0.01, top + 0.02),
        ),
    )
    sole = path(
        points((back - 0.015, 0.9), (toe + 0.02, 0.9), (toe - 0.01, 0.965), (0.03, 0.965)),
        points((-0.04, 0.965 + heel), (back - 0.01, 0.965 + heel)),
    )
    parts = [Part(outline, "fabric", True), Part(sole, "dark", True)]
    style = dice.integer(0, 2)
    if style == 0:
        for y in np.linspace(top + 0.12, 0.58, 4):
            parts.append(Part(stroke(front - 0.1, y, front + 0.05, y + 0.02, 0.022), "dark"))
    elif style == 1:
        parts.append(Part(points((-0.1, top), (0.02, top), (-0.03, 0.6)), "inside"))
    else:
        parts.append(Part(ribbon(curve((-0.06, top), (-0.05, 0.5), (-0.02, 0.82)), 0.014), "line"))
    parts.append(Part(ribbon(curve((back, 0.62), (-0.05, 0.66), (ankle + 0.1, 0.6)), 0.01), "line"))
    cuff = dice(0.07, 0.1)
    cap = curve((toe - 0.17, 0.95), (toe - 0.19, 0.8), (toe - 0.12, 0.66))
    return Cut(
        parts,
        {
            "edge": [
                Part(
                    points(
                        (-0.4, top - 0.02), (0.3, top - 0.02), (0.3, top + cuff), (-0.4, top + cuff + 0.015)
                    ),
                    "accent",
                )
            ],
            "hem": [Part(box(-0.4, 0.85, 0.6, 0.902), "accent")],
            "belt": [
                Part(ribbon(curve((back - 0.03, 0.64), (-0.05, 0.63), (ankle + 0.14, 0.56)), 0.06), "accent"),
                Part(box(-0.08, 0.595, -0.01, 0.665), "metal"),
            ],
            "buttons": column(-0.16, top + 0.12, 0.58, 4, 0.022),
            "cap": [Part(path(cap, points((0.6, 0.66), (0.6, 0.9), (toe - 0.17, 0.9))), "accent")],
        },
        [Spot(-0.08, top + 0.24, 0.085), Spot(-0.07, 0.76, 0.075), Spot(0.12, 0.77, 0.07)],
    )
