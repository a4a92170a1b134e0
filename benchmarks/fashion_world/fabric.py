"""The cloth in the item's own coordinates: colour, weave, wash and pattern."""

from __future__ import annotations

import math

import numpy as np

from gair_search.benchmarks.fashion_world.colors import Pixels
from gair_search.benchmarks.fashion_world.look import WEAVE_SIDE, Look


def fabric_color(look: Look, u: Pixels, v: Pixels, pixel: float) -> Pixels:
    """Colour [3, h, w] of the cloth at the item's coordinates u and v; `pixel` is a pixel's width there."""
    main = np.array(look.main, dtype=np.float32).reshape(3, 1, 1)
    second = np.array(look.second, dtype=np.float32).reshape(3, 1, 1)
    cell, last = np.float32(WEAVE_SIDE / 1.4), np.float32(WEAVE_SIDE - 1)
    rows = np.minimum(np.maximum((v + np.float32(0.7)) * cell, 0), last).astype(np.intp)
    columns = np.minimum(np.maximum((u + np.float32(0.7)) * cell, 0), last).astype(np.intp)
    brightness = look.weave.ravel()[rows * WEAVE_SIDE + columns]
    brightness += np.float32(look.wash[0]) * u + np.float32(look.wash[1]) * v
    share = pattern_share(look, u, v, pixel)
    color = main if share is None else main + share * (second - main)
    return np.asarray(color * brightness, dtype=np.float32)


def pattern_share(look: Look, u: Pixels, v: Pixels, pixel: float) -> Pixels | None:
    """Share 0..1 of the second colour, its edges one pixel soft; None where the fabric is plain."""
    p, soft = look.period, np.float32(1 / pixel)
    i, j = (
        np.float32(1 / p) * u + np.float32(look.phase[0]),
        np.float32(1 / p) * v + np.float32(look.phase[1]),
    )
    if look.pattern == "striped":
        half = 0.16 + 0.03 * look.thickness
        edge = (half - np.abs(j - np.floor(j) - np.float32(0.5))) * np.float32(p)
    elif look.pattern == "dotted":
        j = j * np.float32(1.12)
        row = np.floor(j)
        i = i + np.float32(0.5) * (row % 2)
        i, j = i - np.floor(i) - np.float32(0.5), (j - row - np.float32(0.5)) * np.float32(1 / 1.12)
        edge = (0.3 + 0.03 * look.thickness - np.sqrt(i * i + j * j)) * np.float32(p)
    elif look.pattern == "checked":
        column, row = np.floor(i), np.floor(j)
        half = 0.41 + 0.03 * look.thickness
        far = np.maximum(np.abs(i - column - np.float32(0.5)), np.abs(j - row - np.float32(0.5)))
        edge = (half - far - ((column + row) % 2)) * np.float32(p)
    elif look.pattern == "zigzag":
        wide, high = 1.35 + 0.45 * look.stretch, 0.85
        slope = 2 * high / wide
        i = i * np.float32(1 / wide)
        j = j + np.float32(high * 2) * np.abs(i - np.floor(i) - np.float32(0.5))
        half = 0.17 + 0.025 * look.thickness
        edge = (half - np.abs(j - np.floor(j) - np.float32(0.5))) * np.float32(p / math.hypot(1, slope))
    else:
        return None
    return np.asarray(np.minimum(np.maximum(edge * soft + np.float32(0.5), 0), 1), dtype=np.float32)
