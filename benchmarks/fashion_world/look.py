"""What an instance looks like: shapes, shades, fabric, trim and emblem, whatever the view."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image

from gair_search.benchmarks.fashion_world.colors import Pixels, Rgb, luma
from gair_search.benchmarks.fashion_world.cuts import CUTS
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.emblems import emblem
from gair_search.benchmarks.fashion_world.parts import Part
from gair_search.benchmarks.fashion_world.scene import Instance
from gair_search.benchmarks.fashion_world.vocabulary import COLORS

_ACCENTS: tuple[Rgb, ...] = (
    *COLORS.values(),
    (24, 34, 96),
    (250, 234, 196),
    (150, 232, 180),
    (216, 170, 50),
    (112, 16, 44),
    (150, 204, 248),
    (172, 222, 52),
    (196, 160, 238),
    (252, 108, 90),
    (16, 84, 56),
)
"""Colours of trims and emblems: the named ones and some that have no basic name."""

_WEAVES = ((40, 40), (64, 12), (12, 64), (20, 20))
"""Rows and columns of a fabric's threads: fine, lengthwise, crosswise, coarse."""

WEAVE_SIDE = 192
"""Side of the square of numbers that holds a fabric's weave."""


@dataclasses.dataclass(frozen=True)
class Look:
    """An instance ready to draw, centred on the origin, its longer side of length 1.

    Attributes:
        parts: in the order of drawing, emblem last.
        inks: red, green, blue and the share of fabric that each ink is made of.
        main, second: shades of the fabric's two colours; equal where it is plain.
        height: of the item; 1 or less.
        period, phase, thickness, stretch: of the pattern, the first two in the item's lengths.
        weave: brightness over the square from -0.7 to 0.7, [WEAVE_SIDE, WEAVE_SIDE].
        wash: how much lighter the fabric gets along x and y.
    """

    pattern: str
    parts: list[Part]
    inks: dict[str, tuple[int, int, int, int]]
    main: Rgb
    second: Rgb
    height: float
    period: float
    phase: tuple[float, float]
    thickness: float
    stretch: float
    weave: Pixels
    wash: tuple[float, float]
    folds: float


def look_of(item: Instance) -> Look:
    """All that the entropy of an instance decides."""
    rng = np.random.default_rng(item.entropy)
    dice = Dice(rng)
    main = _shade(item.color, dice)
    second = _shade(item.second_color or item.color, dice)
    second = _push_apart(second, main) if item.second_color else main
    accents = [_accent(dice, main, second) for _ in range(2)]
    period, phase = dice(), (dice(), dice())
    thickness, stretch = dice(), dice()
    threads = Image.fromarray(rng.integers(0, 256, dice.pick(_WEAVES), np.uint8))
    coarse = threads.resize((WEAVE_SIDE, WEAVE_SIDE), Image.Resampling.BILINEAR)
    weave = np.asarray(coarse, dtype=np.float32) - np.float32(127.5)
    weave *= np.float32(dice(0.0, 0.14) / 255)
    wash = (dice(-0.1, 0.1), dice(-0.12, 0.12))
    cut = CUTS[item.kind](dice)
    trim = dice.pick([*cut.trims, "none"])
    parts = [*cut.parts, *cut.trims.get(trim, []), *emblem(dice, cut.spots)]
    points = np.concatenate([part.points for part in parts if part.solid])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 1 / float((high - low).max())
    middle = (low + high) / 2
    height = float(high[1] - low[1]) * scale
    return Look(
        pattern=item.pattern,
        parts=[part._replace(points=(part.points - middle) * scale) for part in parts],
        inks=_inks(main, accents),
        main=main,
        second=second,
        height=height,
        period=_period(item.pattern, period) * (0.4 + 0.6 * height),
        phase=phase,
        thickness=thickness,
        stretch=stretch,
        weave=weave + 1,
        wash=wash,
        folds=cut.folds,
    )


def _shade(name: str, dice: Dice) -> Rgb:
    """A shade that still goes by the colour's name: white stays light, black stays dark."""
    color = COLORS[name]
    if name == "white":
        return dice.vary((238, 238, 236), 0.035, 8)
    if name == "black":
        return dice.vary((28, 28, 31), 0.35, 6)
    if name == "gray":
        return dice.vary(color, 0.12, 6)
    return dice.vary(color, 0.09, 13)


def _push_apart(second: Rgb, main: Rgb) -> Rgb:
    """The second shade, moved off the main one a little where the two are near each other."""
    gap = math.dist(second, main)
    push = 0.0 if gap > 150 else 0.22
    r, g, b = (min(max(s + push * (s - m), 0), 255) for s, m in zip(second, main, strict=True))
    return r, g, b


def _accent(dice: Dice, main: Rgb, second: Rgb) -> Rgb:
    """A colour that stands out on both colours of the fabric."""
    options = [c for c in _ACCENTS if math.dist(c, main) > 130 and math.dist(c, second) > 100]
    return dice.pick(options)


def _inks(main: Rgb, accents: list[Rgb]) -> dict[str, tuple[int, int, int, int]]:
    """Name -> red, green, blue and the share (0..255) of fabric that shows through."""

    def flat(color: Rgb) -> tuple[int, int, int, int]:
        return int(color[0]), int(color[1]), int(color[2]), 0

    dark = luma(main) < 60
    return {
        "fabric": (0, 0, 0, 255),
        "shade": (24, 24, 26, 255) if dark else (0, 0, 0, 208),
        "line": (52, 52, 56, 255) if dark else (0, 0, 0, 150),
        "inside": (74, 72, 76, 60) if dark else (0, 0, 0, 112),
        "main": flat(main),
        "accent": flat(accents[0]),
        "emblem": flat(accents[1]),
        "dark": (58, 50, 48, 0),
        "wood": (150, 104, 62, 0),
        "metal": (206, 198, 176, 0),
    }


def _period(pattern: str, draw: float) -> float:
    """How far apart a pattern repeats, for a draw in [0, 1)."""
    low, high = {
        "plain": (0.1, 0.1),
        "striped": (0.125, 0.17),
        "dotted": (0.125, 0.16),
        "checked": (0.115, 0.15),
        "zigzag": (0.15, 0.185),
    }[pattern]
    return low + (high - low) * draw
