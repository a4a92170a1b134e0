"""Scenes -> pixels: flat-shaded garments and things on painted backgrounds, all from two seeds.

An instance's entropy decides its cut, shade, fabric, trim and emblem: what makes it this one (`look`). A
scene's entropy decides pose, light and the background's details (`view`, `backdrops`). Geometry lives in
[0, 1] coordinates, so that a scene looks the same at every size. Imports Pillow and numpy alone.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from gair_search.benchmarks.fashion_world.backdrops import DARK_BACKGROUNDS, backdrop
from gair_search.benchmarks.fashion_world.colors import Pixels, luma
from gair_search.benchmarks.fashion_world.curves import Points
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.fabric import fabric_color
from gair_search.benchmarks.fashion_world.look import Look, look_of
from gair_search.benchmarks.fashion_world.scene import Scene
from gair_search.benchmarks.fashion_world.view import (
    View,
    bend_points,
    shading,
    view_of,
)

MIN_SIZE = 32
"""Below this side in pixels no pattern can be told from another."""


def render(scene: Scene, size: int = 128) -> Image.Image:
    """Draw a scene.

    Args:
        scene: what to draw; the same scene and size give the same pixels, in any process.
        size: side in pixels, at least `MIN_SIZE`.
    Returns:
        An RGB image of `size` x `size` pixels.
    Raises:
        ValueError: a size below `MIN_SIZE`.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size {size} is too small to show a scene: at least {MIN_SIZE} pixels")
    look = look_of(scene.item)
    rng = np.random.default_rng(scene.entropy)
    dice = Dice(rng)
    view = view_of(look, dice)
    picture = backdrop(scene.background, size, dice)
    picture *= view.ambient
    _place(picture, look, view, scene.background)
    picture += rng.standard_normal((size, size), np.float32) * np.float32(view.grain)
    np.maximum(picture, 0, out=picture)
    np.minimum(picture, 255, out=picture)
    return Image.fromarray(np.ascontiguousarray(picture.astype(np.uint8).transpose(1, 2, 0)))


@functools.lru_cache(maxsize=16)
def _axis(size: int) -> Pixels:
    """Centres of the pixels on a side, 0..1."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


def _place(picture: Pixels, look: Look, view: View, background: str) -> None:
    """Lay the item, its outline and its shadow over the picture [3, size, size] of the background."""
    size = picture.shape[1]
    points = np.concatenate([part.points for part in look.parts])
    placed = bend_points(points, view.bend) @ view.matrix.T + view.shift
    ends = np.cumsum([len(part.points) for part in look.parts])[:-1]
    shapes = np.split(placed, ends)
    solid = np.concatenate([s for s, part in zip(shapes, look.parts, strict=True) if part.solid])
    margin = 0.075
    low = np.maximum(np.floor((solid.min(axis=0) - margin) * size), 0).astype(int)
    high = np.minimum(np.ceil((solid.max(axis=0) + margin) * size), size).astype(int)
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    mask, inks = _rasters(shapes, look, (x0, y0, x1, y1), size)
    cover = np.asarray(mask, dtype=np.float32) * np.float32(1 / 255)
    layers = np.asarray(inks).transpose(2, 0, 1).astype(np.float32, order="C")

    x, y = _axis(size)[None, x0:x1], _axis(size)[y0:y1, None]
    (a, b), (c, d) = np.linalg.inv(view.matrix).tolist()
    tx, ty = view.shift.tolist()
    v = np.float32(c) * (x - np.float32(tx)) + np.float32(d) * (y - np.float32(ty))
    u = np.float32(a) * (x - np.float32(tx)) + np.float32(b) * (y - np.float32(ty))
    u -= np.float32(view.bend) * v * v
    pixel = math.sqrt(abs(a * d - b * c)) / size

    fabric = fabric_color(look, u, v, pixel)
    item = layers[:3] + fabric * (layers[3] * np.float32(1 / 255))
    glow = _blur(mask, 0.028 * size)
    item *= shading(look, view, u, v, glow, size) * view.gain

    region = picture[:, y0:y1, x0:x1]
    _darken(region, glow, round(view.shadow[0] * size), round(view.shadow[1] * size))
    rim = _rim(look, background)
    line = np.minimum(_blur(mask, 0.0075 * size) * np.float32(3.2), 1)
    region += line * (rim - region)
    region += cover * (item - region)


def _rasters(
    shapes: list[Points], look: Look, box: tuple[int, int, int, int], size: int
) -> tuple[Image.Image, Image.Image]:
    """The silhouette (L) and the inks (four bands) in a box of pixels.

    The inks fill the whole box, fabric where nothing else is; the silhouette then cuts the item out.
    """
    x0, y0, x1, y1 = box
    fine = 4 if size < 96 else 3 if size <= 160 else 2
    shape = ((x1 - x0) * fine, (y1 - y0) * fine)
    mask, inks = Image.new("L", shape), Image.new("CMYK", shape, look.inks["fabric"])
    on_mask, on_inks = ImageDraw.Draw(mask), ImageDraw.Draw(inks)
    for points, part in zip(shapes, look.parts, strict=True):
        flat = ((points * size - (x0, y0)) * fine - 0.5).ravel().tolist()
        if part.solid:
            on_mask.polygon(flat, fill=255)
        on_inks.polygon(flat, fill=look.inks[part.ink])
    return mask.reduce(fine), inks.reduce(fine)


def _darken(region: Pixels, glow: Pixels, dx: int, dy: int) -> None:
    """Cast the shadow of a soft mask, `dx` pixels to the right and `dy` down."""
    height, width = glow.shape
    to = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    of = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
    region[:, to[0], to[1]] *= 1 - np.float32(0.42) * glow[of]


def _blur(mask: Image.Image, radius: float) -> Pixels:
    """A softened mask, 0..1."""
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) * np.float32(1 / 255)


def _rim(look: Look, background: str) -> Pixels:
    """The outline's colour: darker than the item, or light where both item and background are dark."""
    main = np.array(look.main, dtype=np.float32).reshape(3, 1, 1)
    if luma(look.main) < 105 and background in DARK_BACKGROUNDS:
        return main * np.float32(0.35) + np.float32(150)
    return main * np.float32(0.32)
