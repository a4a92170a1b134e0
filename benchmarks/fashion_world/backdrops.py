"""Painted backgrounds: one function each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops

from gair_search.benchmarks.fashion_world.brush import Brush, gradient, ink
from gair_search.benchmarks.fashion_world.colors import Pixels, scale_color
from gair_search.benchmarks.fashion_world.curves import (
    curve,
    path,
    points,
    polar,
    ribbon,
)
from gair_search.benchmarks.fashion_world.dice import Dice

DARK_BACKGROUNDS = frozenset({"night sky", "forest", "bookshelf"})
"""Backgrounds on which a dark item needs a light outline."""


def backdrop(name: str, size: int, dice: Dice) -> Pixels:
    """A painted background [3, size, size], softly mottled, its contrast a little reduced."""
    patches = (np.array([dice() for _ in range(25)]).reshape(5, 5) * 255).astype(np.uint8)
    image = _BACKDROPS[name](2 * size, dice).reduce(2)
    pixels = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")
    mottle = np.asarray(Image.fromarray(patches).resize((size, size), Image.Resampling.BICUBIC), np.float32)
    gain = np.float32(0.86 * 0.95) + mottle * np.float32(0.86 * 0.1 / 255)
    pixels *= gain
    pixels += np.float32(0.14) * pixels.mean(axis=(1, 2), keepdims=True)
    return pixels


def _beach(side: int, dice: Dice) -> Image.Image:
    """Sky, sea, a wave and sand."""
    horizon, shore = dice(0.26, 0.38), dice(0.54, 0.64)
    sky, sand = dice.vary((150, 200, 236), 0.06, 8), dice.vary((226, 202, 152), 0.05, 6)
    sea = dice.vary((52, 140, 178), 0.1, 10)
    deep = (sea[0] * 0.72, sea[1] * 0.8, sea[2] * 0.9)
    pale = (226.0, 236.0, 240.0)
    image = gradient(side, (0, sky), (horizon, pale), (horizon + 0.002, deep), (shore, sea), (1, sea))
    brush = Brush(image)
    if dice.chance(0.6):
        brush.disc(dice(0.08, 0.92), dice(0.06, horizon - 0.1), dice(0.04, 0.065), (255, 240, 190))
    for _ in range(6):
        x, y, w = dice(-0.1, 1), dice(horizon + 0.03, shore - 0.03), dice(0.06, 0.2)
        brush.box(x, y, x + w, y + 0.008, (142, 196, 212))
    along = np.linspace(0, 1, 25)
    phase, waves = dice(0, 6.3), dice(5, 11)
    wave = shore + 0.022 * np.sin(waves * along + phase) + dice(-0.03, 0.03) * along
    for lift, color in ((0.0, (238, 244, 242)), (0.028, (196, 170, 122)), (0.05, sand)):
        edge = np.stack([along, wave + lift], axis=1)
        brush.shape(path(edge, points((1.01, 1.01), (-0.01, 1.01))), color)
    for _ in range(34):
        y = dice(shore + 0.1, 1)
        brush.disc(dice(), y, dice(0.003, 0.007), dice.pick(((198, 172, 122), (244, 226, 184))))
    if dice.chance(0.5):
        brush.shape(
            polar(np.tile([1.0, 0.42], 5)) * 0.035 + (dice(0.05, 0.95), dice(0.86, 0.95)), (222, 128, 88)
        )
    return image


def _brick_wall(side: int, dice: Dice) -> Image.Image:
    """Courses of bricks, each its own shade, in pale mortar."""
    base = dice.vary(dice.pick(((164, 84, 66), (176, 102, 78), (146, 72, 60))), 0.08, 8)
    mortar = dice.vary((196, 186, 174), 0.08, 5)
    image = Image.new("RGB", (side, side), ink(mortar))
    brush = Brush(image)
    rows, wide = dice.integer(8, 11), dice(2.2, 2.7)
    high = 1 / rows
    joint, x0, y0 = 0.013, dice(), dice()
    for row in range(-1, rows + 1):
        y = (row + y0) * high
        start = -wide * high * (x0 + 0.5 * (row % 2))
        for column in range(int(1 / (wide * high)) + 3):
            x = start + column * wide * high
            brush.box(x, y, x + wide * high - joint, y + high - joint, dice.vary(base, 0.14, 5))
    return image


def _snow(side: int, dice: Dice) -> Image.Image:
    """White hills, firs far away and falling flakes."""
    sky = dice.vary((186, 204, 224), 0.06, 5)
    image = gradient(side, (0, sky), (0.5, (222, 230, 240)), (1, (222, 230, 240)))
    brush = Brush(image)
    line = dice(0.3, 0.42)
    for _ in range(dice.integer(2, 5)):
        x, high = dice(0, 1), dice(0.12, 0.2)
        for k in range(3):
            w, y = 0.05 - 0.011 * k, line + 0.03 - high * 0.28 * k
            brush.shape(points((x - w, y), (x, y - high * 0.45), (x + w, y)), (128, 152, 164))
    for y, color in ((line, (206, 218, 234)), (line + 0.2, (224, 232, 242)), (line + 0.42, (236, 241, 247))):
        brush.hill(y, dice, 0.04, dice.vary(color, 0.02), dice(0.6, 1.4))
    for _ in range(dice.integer(34, 60)):
        brush.disc(dice(), dice(), dice(0.006, 0.016), (252, 253, 255))
    for _ in range(8):
        x, y = dice(), dice(line + 0.1, 1)
        brush.disc(x, y, dice(0.04, 0.09), (210, 222, 238), 0.007)
    return image


def _forest(side: int, dice: Dice) -> Image.Image:
    """Two rows of trunks between leaves and undergrowth."""
    dark, mid = dice.vary((24, 50, 34), 0.15, 5), dice.vary((52, 88, 52), 0.1, 6)
    image = gradient(side, (0, mid), (0.45, (88, 118, 76)), (0.72, dark), (1, dark))
    brush = Brush(image)
    for far in (0, 1):
        color = (92, 84, 62) if far == 0 else (66, 48, 34)
        for _ in range(dice.integer(4, 6) if far == 0 else dice.integer(3, 4)):
            x, w = dice(-0.02, 1.02), dice(0.018, 0.03) if far == 0 else dice(0.035, 0.06)
            foot = 0.74 if far == 0 else dice(0.8, 0.9)
            trunk = points(
                (x - w * 0.8, 0),
                (x + w * 0.8, 0),
                (x + w, foot - 0.05),
                (x + w * 1.5, foot),
                (x - w * 1.5, foot),
                (x - w, foot - 0.05),
            )
            brush.shape(trunk, dice.vary(color, 0.12, 3))
            brush.box(
                x - w,
                0.05,
                x - w * 0.4,
                foot - 0.05,
                dice.vary(scale_color(color, 1.3), 0.05),
            )
    for _ in range(30):
        x, y, r = dice(-0.05, 1.05), dice(-0.06, 0.2), dice(0.05, 0.1)
        shade = dice.pick(((36, 76, 42), (50, 96, 50), (28, 60, 36), (72, 112, 56)))
        brush.disc(x, y, r, shade, r * 0.75)
    for _ in range(26):
        x, y, r = dice(-0.05, 1.05), dice(0.8, 1.02), dice(0.03, 0.07)
        brush.disc(x, y, r, dice.pick(((38, 70, 38), (54, 90, 46), (28, 52, 32))), r * 0.6)
    return image


def _grass(side: int, dice: Dice) -> Image.Image:
    """Blades of grass, with or without a sky above and flowers among them."""
    line = dice(0.1, 0.3) if dice.chance(0.7) else -0.1
    light, deep = dice.vary((142, 188, 92), 0.07, 8), dice.vary((96, 152, 62), 0.08, 8)
    sky = dice.vary((176, 212, 238), 0.04, 5)
    stops = [(0.0, sky), (line, (222, 234, 240)), (line + 0.004, light), (1.0, deep)]
    image = gradient(side, *(stops if line > 0 else stops[2:]))
    brush = Brush(image)
    for _ in range(110):
        y = dice(max(line, 0), 1.08)
        near = 0.35 + 0.65 * (y - line) / (1 - line)
        x, h, lean = dice(), dice(0.05, 0.1) * near, dice(-0.02, 0.02)
        w = 0.007 * near + 0.002
        color = dice.vary((98, 158, 62), 0.25, 8)
        brush.shape(points((x - w, y), (x + w, y), (x + lean, y - h)), color)
    bloom = dice.pick(((250, 250, 240), (250, 224, 110), (236, 170, 200)))
    for _ in range(dice.integer(0, 12)):
        x, y = dice(), dice(max(line, 0) + 0.1, 1)
        brush.disc(x, y, 0.013, bloom)
        brush.disc(x, y, 0.005, (226, 170, 60))
    return image


def _city_street(side: int, dice: Dice) -> Image.Image:
    """Houses with lit windows along a road."""
    sky = dice.pick(((168, 186, 206), (206, 178, 168), (112, 122, 150)))
    image = gradient(side, (0, dice.vary(sky, 0.06, 6)), (0.6, (214, 206, 202)), (1, (214, 206, 202)))
    brush = Brush(image)
    road = dice(0.72, 0.8)
    x = -dice(0, 0.1)
    while x < 1:
        w, top = dice(0.13, 0.22), dice(0.02, 0.32)
        tone = dice.vary(
            dice.pick(((104, 112, 128), (126, 112, 108), (88, 96, 112), (140, 132, 124))), 0.1, 5
        )
        brush.box(x, top, x + w, road, tone)
        brush.box(x, top, x + 0.012, road, scale_color(tone, 0.8))
        columns, step = dice.integer(3, 4), dice(0.06, 0.075)
        cell = (w - 0.02) / columns
        y = top + 0.03
        while y < road - 0.05:
            for column in range(columns):
                lit = dice.chance(0.55)
                left = x + 0.016 + column * cell
                brush.box(
                    left, y, left + cell * 0.62, y + step * 0.6, (246, 216, 132) if lit else (62, 70, 86)
                )
            y += step
        x += w + dice(0.0, 0.015)
    brush.box(0, road, 1, road + 0.05, (168, 164, 158))
    brush.box(0, road + 0.05, 1, 1, dice.vary((82, 84, 90), 0.1))
    y, x = road + 0.05 + (0.95 - road) * 0.5, -dice(0, 0.2)
    while x < 1:
        brush.box(x, y, x + 0.13, y + 0.018, (224, 220, 204))
        x += 0.22
    return image


def _desert(side: int, dice: Dice) -> Image.Image:
    """Dunes under a pale sky, a sun and a cactus or two."""
    sky = dice.vary((188, 214, 226), 0.05, 6)
    image = gradient(side, (0, sky), (0.45, (250, 232, 200)), (1, (250, 232, 200)))
    brush = Brush(image)
    line = dice(0.3, 0.42)
    if dice.chance(0.7):
        brush.disc(dice(0.1, 0.9), dice(0.08, 0.2), dice(0.05, 0.075), (255, 246, 214))
    sand = dice.vary((218, 152, 88), 0.05, 8)
    for k in range(4):
        f = 1.08 - 0.07 * k
        brush.hill(line + 0.16 * k, dice, 0.05, scale_color(sand, f), dice(0.5, 1.2))
        lift = f * 0.88
        if k < 3:
            brush.hill(
                line + 0.16 * k + 0.07,
                dice,
                0.045,
                scale_color(sand, lift),
                dice(0.5, 1.2),
            )
    for _ in range(dice.integer(0, 2)):
        x, y, h = dice(0.05, 0.95), dice(0.5, 0.9), dice(0.13, 0.2)
        w, green = h * 0.09, (104, 132, 82)
        brush.box(x - w, y - h, x + w, y, green)
        brush.disc(x, y - h, w, green)
        for sign, at in ((-1, 0.45), (1, 0.6)):
            brush.box(
                min(x, x + sign * 4 * w), y - h * at, max(x, x + sign * 4 * w), y - h * at + 1.5 * w, green
            )
            brush.box(
                x + sign * 4 * w - w * 0.8,
                y - h * at - h * 0.28,
                x + sign * 4 * w + w * 0.8,
                y - h * at + 1.5 * w,
                green,
            )
    return image


def _night_sky(side: int, dice: Dice) -> Image.Image:
    """Stars and a moon, crescent or full."""
    top, low = dice.vary((14, 20, 54), 0.2, 5), dice.vary((44, 52, 108), 0.15, 8)
    image = gradient(side, (0, top), (1, low))
    brush = Brush(image)
    for _ in range(dice.integer(40, 70)):
        brush.disc(dice(), dice(0, 0.97), dice(0.003, 0.008), dice.vary((228, 228, 216), 0.12))
    for _ in range(dice.integer(3, 6)):
        brush.shape(
            polar(np.tile([1.0, 0.25], 4)) * dice(0.02, 0.032) + (dice(), dice(0, 0.85)), (244, 240, 214)
        )
    x, y, r = dice.pick((dice(0.06, 0.3), dice(0.7, 0.94))), dice(0.08, 0.24), dice(0.06, 0.095)
    brush.disc(x, y, r, (240, 234, 204))
    if dice.chance(0.6):
        brush.disc(x + r * 0.45, y - r * 0.15, r * 0.85, (top[0] + 6, top[1] + 7, top[2] + 12))
    else:
        brush.disc(x - r * 0.3, y - r * 0.2, r * 0.2, (214, 208, 180))
        brush.disc(x + r * 0.3, y + r * 0.3, r * 0.26, (214, 208, 180))
    if dice.chance(0.6):
        brush.hill(dice(0.86, 0.94), dice, 0.03, (12, 16, 34), dice(0.8, 2))
    return image


def _wooden_floor(side: int, dice: Dice) -> Image.Image:
    """Planks with their grain, lying or standing."""
    base = dice.vary(dice.pick(((178, 128, 82), (158, 108, 66), (196, 152, 104))), 0.05, 6)
    gap = (base[0] * 0.5, base[1] * 0.48, base[2] * 0.46)
    image = Image.new("RGB", (side, side), ink(gap))
    brush = Brush(image)
    n = dice.integer(5, 7)
    high, y0, upright = 1 / n, dice(), dice.chance(0.5)
    for row in range(-1, n + 1):
        y = (row + y0) * high
        x = -dice(0, 0.7)
        while x < 1:
            w = dice(0.55, 0.9)
            tone = dice.vary(base, 0.1, 4)
            grain = (tone[0] * 0.86, tone[1] * 0.84, tone[2] * 0.82)
            brush.box(x, y, x + w - 0.007, y + high - 0.008, tone)
            for _ in range(4):
                gx, gy = x + dice(0, w * 0.5), y + dice(0.1, 0.85) * high
                brush.box(gx, gy, gx + min(dice(0.15, 0.4), x + w - gx - 0.02), gy + 0.006, grain)
            if dice.chance(0.3):
                brush.disc(x + dice(0.1, w - 0.1), y + dice(0.3, 0.7) * high, 0.018, grain, 0.01)
            x += w
    return image.transpose(Image.Transpose.ROTATE_90) if upright else image


def _tiles(side: int, dice: Dice) -> Image.Image:
    """Square tiles with a shine, some of another colour."""
    base = dice.vary(dice.pick(((206, 222, 226), (216, 222, 212), (226, 220, 208), (200, 214, 228))), 0.03, 4)
    grout = (base[0] * 0.7, base[1] * 0.72, base[2] * 0.74)
    spare = dice.pick(((128, 174, 190), (150, 182, 168), (164, 168, 190)))
    image = Image.new("RGB", (side, side), ink(grout))
    brush = Brush(image)
    n = dice.integer(5, 7)
    step, x0, y0, marked = 1 / n, dice(), dice(), dice.pick((0.0, 0.08, 0.15))
    for row in range(-1, n + 1):
        for column in range(-1, n + 1):
            x, y = (column + x0) * step, (row + y0) * step
            tone = dice.vary(spare if dice.chance(marked) else base, 0.035)
            brush.box(x, y, x + step - 0.014, y + step - 0.014, tone)
            shine = (tone[0] * 0.4 + 153, tone[1] * 0.4 + 153, tone[2] * 0.4 + 153)
            k = step * 0.3
            brush.shape(points((x + 0.012, y + 0.012), (x + k, y + 0.012), (x + 0.012, y + k)), shine)
    return image


def _bookshelf(side: int, dice: Dice) -> Image.Image:
    """Shelves of spines with labels, some books missing."""
    wood = dice.vary(dice.pick(((122, 86, 56), (96, 68, 48), (150, 112, 76))), 0.06, 4)
    back = scale_color(wood, 0.42)
    image = Image.new("RGB", (side, side), ink(back))
    brush = Brush(image)
    n = dice.integer(3, 4)
    high, y0, board = 1 / n, dice(-0.5, 0), 0.03
    spines = (
        (150, 62, 56),
        (64, 88, 120),
        (78, 112, 84),
        (186, 158, 98),
        (112, 78, 112),
        (196, 186, 166),
        (82, 82, 88),
        (176, 112, 70),
    )
    for row in range(n + 1):
        floor = (row + 1 + y0) * high
        x = -dice(0, 0.05)
        while x < 1:
            w, h = dice(0.03, 0.07), (high - board) * dice(0.68, 0.95)
            if dice.chance(0.06):
                x += w
                continue
            tone = dice.vary(dice.pick(spines), 0.12, 6)
            brush.box(x, floor - h, x + w - 0.005, floor, tone)
            label = (tone[0] * 0.5 + 100, tone[1] * 0.5 + 98, tone[2] * 0.5 + 84)
            at = floor - h * dice(0.6, 0.85)
            brush.box(x + 0.006, at, x + w - 0.011, at + 0.02, label)
            x += w
        brush.box(0, floor, 1, floor + board, wood)
        brush.box(0, floor + board * 0.75, 1, floor + board, scale_color(wood, 0.7))
    return image


def _underwater(side: int, dice: Dice) -> Image.Image:
    """Rays from above, weeds and bubbles."""
    top, low = dice.vary((104, 196, 208), 0.06, 8), dice.vary((16, 70, 120), 0.12, 8)
    image = gradient(side, (0, top), (1, low))
    brush = Brush(image)
    rays = Image.new("RGB", (side // 4, side // 4))
    beam = Brush(rays)
    for _ in range(dice.integer(3, 5)):
        x, lean, w = dice(0, 1), dice(-0.25, 0.25), dice(0.03, 0.08)
        tone = dice(24, 44)
        beam.shape(points((x, 0), (x + w, 0), (x + lean + 2.2 * w, 1), (x + lean - w, 1)), (tone, tone, tone))
    image.paste(ImageChops.add(image, rays.resize((side, side), Image.Resampling.BILINEAR)))
    brush.hill(dice(0.86, 0.92), dice, 0.025, dice.vary((96, 132, 128), 0.1, 6), dice(0.8, 1.6))
    for _ in range(dice.integer(2, 5)):
        x, h, sway = dice(), dice(0.15, 0.32), dice(-0.04, 0.04)
        weed = curve((x, 1.0), (x + sway, 1 - h * 0.4), (x - sway, 1 - h * 0.7), (x + sway, 1 - h))
        brush.shape(ribbon(weed, 0.025), dice.vary((38, 112, 88), 0.15, 6))
    for _ in range(dice.integer(12, 22)):
        x, y, r = dice(), dice(0, 0.9), dice(0.008, 0.028)
        brush.ring(x, y, r, (206, 236, 240), 0.005)
        brush.disc(x - r * 0.35, y - r * 0.35, r * 0.22, (236, 250, 250))
    return image


_BACKDROPS: dict[str, Callable[[int, Dice], Image.Image]] = {
    "beach": _beach,
    "brick wall": _brick_wall,
    "snow": _snow,
    "forest": _forest,
    "grass": _grass,
    "city street": _city_street,
    "desert": _desert,
    "night sky": _night_sky,
    "wooden floor": _wooden_floor,
    "tiles": _tiles,
    "bookshelf": _bookshelf,
    "underwater": _underwater,
}
