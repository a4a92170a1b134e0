"""What backgrounds are painted with: shapes and gradients in coordinates 0..1."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from gair_search.benchmarks.fashion_world.colors import Rgb
from gair_search.benchmarks.fashion_world.curves import Points, path, points
from gair_search.benchmarks.fashion_world.dice import Dice


class Brush:
    """Draws shapes with coordinates 0..1 onto an image of twice the final size."""

    def __init__(self, image: Image.Image) -> None:
        self.side = image.width
        self._draw = ImageDraw.Draw(image)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Rgb) -> None:
        """Fill an upright rectangle."""
        s = self.side
        left, top = round(x0 * s), round(y0 * s)
        corner = (max(round(x1 * s) - 1, left), max(round(y1 * s) - 1, top))
        self._draw.rectangle(((left, top), corner), fill=ink(color))

    def disc(self, x: float, y: float, r: float, color: Rgb, ry: float | None = None) -> None:
        """Fill a circle, or an ellipse where `ry` is given."""
        s, ry = self.side, r if ry is None else ry
        self._draw.ellipse(((x - r) * s, (y - ry) * s, (x + r) * s, (y + ry) * s), fill=ink(color))

    def ring(self, x: float, y: float, r: float, color: Rgb, width: float) -> None:
        """Draw the outline of a circle."""
        s = self.side
        w = max(1, round(width * s))
        self._draw.ellipse(((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s), outline=ink(color), width=w)

    def shape(self, outline: Points, color: Rgb) -> None:
        """Fill an outline."""
        self._draw.polygon((outline * self.side).ravel().tolist(), fill=ink(color))

    def hill(self, y: float, dice: Dice, height: float, color: Rgb, waves: float = 1.0) -> None:
        """Everything below a rolling line at about y."""
        x = np.linspace(0, 1, 25)
        one, two = dice(0, 6.3), dice(0, 6.3)
        line = y + height * (0.7 * np.sin(waves * 4.2 * x + one) + 0.3 * np.sin(waves * 9.7 * x + two))
        self.shape(path(np.stack([x, line], axis=1), points((1.01, 1.01), (-0.01, 1.01))), color)


def ink(color: Rgb) -> tuple[int, int, int]:
    """The colour as Pillow wants it."""
    return int(color[0]), int(color[1]), int(color[2])


def gradient(side: int, *stops: tuple[float, Rgb]) -> Image.Image:
    """An image whose rows run through the colours at the given heights."""
    at = [stop[0] for stop in stops]
    rows = np.linspace(0, 1, side)
    column = np.stack([np.interp(rows, at, [stop[1][c] for stop in stops]) for c in range(3)], axis=1)
    return Image.fromarray(column.astype(np.uint8)[:, None, :]).resize((side, side), Image.Resampling.NEAREST)
