"""Cuts of things that nobody wears: one function a kind, y from 0 (top) to about 1."""

from __future__ import annotations

import itertools
import math

import numpy as np

from gair_search.benchmarks.fashion_world.curves import (
    arc,
    band,
    both,
    box,
    curve,
    ellipse,
    path,
    points,
    ribbon,
)
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.parts import (
    Cut,
    Part,
    Spot,
    dots,
    pair,
)


def mug(dice: Dice) -> Cut:
    """A body with an open top and a handle on the right."""
    top, bottom = dice(0.3, 0.37), dice(0.24, 0.36)
    y0, ry = dice(0.08, 0.2), dice(0.055, 0.075)
    belly = (top + bottom) / 2 + dice(-0.03, 0.05)
    body = both(
        path(
            points((0, y0), (top, y0)),
            curve((top, y0), (belly, 0.55), (bottom, 0.9)),
            curve((bottom, 0.91), (bottom * 0.8, 0.945), (0, 0.965)),
        )
    )
    hx, hy = dice(0.17, 0.23), dice(0.2, 0.26)
    mid = (y0 + 0.92) / 2
    square = dice.chance(0.3)
    grip = (
        curve(
            (belly - 0.04, mid - hy),
            (belly + hx * 0.9, mid - hy),
            (belly + hx, mid),
            (belly + hx * 0.9, mid + hy),
            (belly - 0.06, mid + hy),
        )
        if square
        else arc(belly - 0.03, mid, hx, hy, -95, 95, 20)
    )
    width = dice(0.06, 0.08)
    parts = [
        Part(ribbon(grip, width), "main", True),
        Part(body, "fabric", True),
        Part(ellipse(0, y0, top, ry), "main", True),
        Part(ellipse(0, y0 + 0.008, top - 0.03, ry - 0.02), "inside"),
    ]
    low = dice(0.6, 0.72)
    return Cut(
        parts,
        {
            "edge": [
                Part(ellipse(0, y0, top + 0.01, ry), "accent"),
                Part(ellipse(0, y0 + 0.008, top - 0.03, ry - 0.02), "inside"),
            ],
            "hem": [Part(band(0.835, 0.06, 0.05, -bottom - 0.02, bottom + 0.02), "accent")],
            "belt": [Part(band(low, 0.055, 0.05, -belly, belly), "accent")],
            "grip": [Part(ribbon(grip[2:], width + 0.01), "accent"), Part(body, "fabric")],
            "studs": dots(np.linspace(-0.2, 0.2, 5).tolist(), [0.84, 0.862, 0.87, 0.862, 0.84], 0.024),
        },
        [Spot(0, 0.52, 0.12), Spot(0.11, 0.5, 0.11), Spot(-0.11, 0.55, 0.11)],
    )


def umbrella(dice: Dice) -> Cut:
    """An open dome with ribs, seen from the side, on a hooked handle."""
    base, ry, n = 0.52, dice(0.38, 0.47), dice.integer(5, 8)
    lift = dice(0.03, 0.06)
    angles = np.linspace(0, np.pi, n + 1)
    joints = -0.5 * np.cos(angles)
    edge = np.concatenate(
        [
            np.stack([np.linspace(a, b, 8), base - lift * np.sin(np.linspace(0, np.pi, 8))], axis=1)
            for a, b in itertools.pairwise(joints)
        ]
    )
    dome = path(arc(0, base, 0.5, ry, 180, 360, 30), edge[::-1])
    low, hook, side = dice(0.9, 0.97), dice(0.055, 0.08), dice.pick((-1, 1))
    handle = dice.pick(("wood", "dark", "wood"))
    crook = arc(side * hook, low, hook, hook * 1.1, 180 if side > 0 else 0, 0 if side > 0 else 180, 12)
    parts = [
        Part(ribbon(path(points((0, base - 0.1), (0, low)), crook), 0.034), handle, True),
        Part(box(-0.014, base - ry - 0.06, 0.014, base - ry + 0.03), handle, True),
        Part(dome, "fabric", True),
    ]
    theta = np.linspace(0.05, np.pi / 2, 9)
    for x in joints[1:-1]:
        rib = np.stack([x * np.sin(theta), base - ry * np.cos(theta)], axis=1)
        parts.append(Part(ribbon(rib, 0.011), "line"))
    ring = dice(0.4, 0.62)
    half = math.sqrt(1 - ring**2) * 0.5
    cap = path(
        arc(0, base, 0.5, ry, 245, 295, 9), points((0.12, base - ry * 0.78), (-0.12, base - ry * 0.78))
    )
    return Cut(
        parts,
        {
            "edge": [Part(ribbon(edge, 0.044), "accent")],
            "belt": [Part(band(base - ry * ring - 0.02, 0.05, 0.03, -half, half), "accent")],
            "cap": [Part(cap, "accent")],
            "studs": dots(joints[1:-1].tolist(), [base - 0.035] * (n - 1), 0.024),
        },
        [
            Spot(0, base - ry * 0.5, 0.09),
            Spot(0.19, base - ry * 0.4, 0.085),
            Spot(-0.19, base - ry * 0.4, 0.085),
        ],
    )


def vase(dice: Dice) -> Cut:
    """A lip, a neck, a belly and a foot, with or without ears. Long, since it is one drawing."""
    lip, neck, belly, foot = dice(0.12, 0.2), dice(0.07, 0.12), dice(0.26, 0.36), dice(0.12, 0.2)
    neck_y, belly_y = dice(0.16, 0.28), dice(0.5, 0.7)
    shoulder_y = (neck_y + belly_y) / 2
    shoulder = neck + (belly - neck) * dice(0.55, 0.85)
    y0, ry = 0.04, 0.036
    right = path(
        points((0, y0), (lip, y0)),
        curve(
            (lip, y0),
            (neck, neck_y),
            (shoulder, shoulder_y),
            (belly, belly_y),
            (foot + 0.02, 0.93),
            (foot, 0.98),
            steps=8,
        ),
        curve((foot, 0.98), (foot * 0.7, 0.995), (0, 1.0)),
    )
    parts: list[Part] = []
    ears = pair(
        ribbon(
            curve(
                (neck * 0.9, neck_y),
                (neck + 0.16, neck_y - 0.02),
                (neck + 0.17, shoulder_y - 0.06),
                (shoulder - 0.02, shoulder_y),
            ),
            0.042,
        ),
        "main",
        True,
    )
    if dice.chance(0.35):
        parts += ears
    parts += [
        Part(both(right), "fabric", True),
        Part(ellipse(0, y0, lip, ry), "main", True),
        Part(ellipse(0, y0 + 0.005, lip - 0.022, ry - 0.014), "inside"),
    ]
    low = belly_y + dice(-0.02, 0.06)
    xs = np.linspace(-belly * 0.7, belly * 0.7, 5)
    return Cut(
        parts,
        {
            "edge": [
                Part(ellipse(0, y0, lip + 0.01, ry), "accent"),
                Part(ellipse(0, y0 + 0.005, lip - 0.022, ry - 0.014), "inside"),
            ],
            "hem": [Part(band(0.915, 0.1, 0.012), "accent")],
            "belt": [Part(band(low + 0.1, 0.045, 0.025), "accent")],
            "collar": [Part(band(neck_y - 0.025, 0.05, 0.012, -neck - 0.03, neck + 0.03), "accent")],
            "studs": dots(xs.tolist(), (low + 0.14 + 0.02 * (1 - (xs / belly) ** 2)).tolist(), 0.022),
        },
        [
            Spot(0, belly_y - 0.02, 0.1),
            Spot(belly * 0.38, belly_y - 0.02, 0.085),
            Spot(-belly * 0.38, belly_y, 0.085),
        ],
    )
