"""Sheets of images: how they are drawn, kept in one file, and shown with labels."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.harness.report import as_png
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig

SIDE = 96
"""Of a cell's image in pixels, unless told otherwise."""

SHOWN = 6
"""Concepts of the first seed that have their pictures drawn."""

_PAD, _LABEL, _LINE, _FRAME = 6, 150, 15, 4
_LETTER = 6.6
"""Mean width of a letter in pixels, and a little more."""


@dataclass(frozen=True)
class SheetCell:
    """One image of a sheet.

    Attributes:
        image: None leaves the place empty.
        caption: below it.
        frame: color of a frame around it; none where "".
    """

    image: Image.Image | None
    caption: str = ""
    frame: str = ""


def sheet(generator: Generator, conditioning: Tensor, images: int, sampling: SamplingConfig) -> bytes:
    """A PNG: a row for each conditioning of `[B, n_ctx, text_width]`, a column a seed."""
    n = len(conditioning)
    # rows of a seed beside each other, so that they share the first step without a prompt
    seeds = [seed for seed in range(images) for _ in range(n)]
    drawn = generator.sample(conditioning.repeat(images, 1, 1), seeds, sampling).cpu().numpy()
    height, width = drawn.shape[1:3]
    placed = drawn.reshape(images, n, height, width, 3).transpose(1, 2, 0, 3, 4)
    return as_png(Image.fromarray(np.ascontiguousarray(placed.reshape(n * height, images * width, 3))))


def tiles(file: Path, rows: int, columns: int) -> list[Picture]:
    """The images of a sheet, row by row."""

    def tile(i: int) -> Picture:
        def make(side: int | None) -> Image.Image:
            whole = _read_sheet(file)
            width, height = whole.width // columns, whole.height // rows
            left, top = i % columns * width, i // columns * height
            return whole.crop((left, top, left + width, top + height))

        return Picture(f"tile-{i}", make, file)

    return [tile(i) for i in range(rows * columns)]


@lru_cache(maxsize=1)  # tiles are asked for one after the other
def _read_sheet(file: Path) -> Image.Image:
    with Image.open(file) as opened:
        return opened.convert("RGB")


def block(images: Sequence[Image.Image], columns: int, gap: int = 1) -> Image.Image:
    """Images of one size as one, row by row, with white lines of `gap` pixels between them."""
    width, height = images[0].size
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        whole.paste(image, (i % columns * (width + gap), i // columns * (height + gap)))
    return whole


def grid(
    rows: Sequence[tuple[str, Sequence[SheetCell]]],
    columns: Sequence[str] = (),
    feet: Sequence[str] = (),
    title: str = "",
    side: int = SIDE,
) -> Image.Image:
    """Labelled rows of images, with labels above and below the columns; long labels are broken.

    Args:
        rows: label and images of each; what is not square has white beside it.
        columns, feet: labels of as many columns as there are, or fewer.
        title: above all.
        side: of an image in pixels.
    """
    font, bold, step = ImageFont.load_default(12), ImageFont.load_default(14), side + _PAD
    width = _LABEL + max([len(columns), len(feet), *(len(cells) for _, cells in rows)]) * step + _PAD
    heading = _wrap(title, (width - 2 * _PAD) * 0.85)
    heads, below = ([_wrap(text, side) for text in texts] for texts in (columns, feet))
    start = _PAD + 18 * len(heading) + (_PAD if heading else 0)
    top = start + _text_height(heads) + (_PAD // 2 if heads else 0)
    # a label may be as high as its row
    labels = [_wrap(name, _LABEL - 2 * _PAD, side // _LINE) for name, _ in rows]
    under = [_text_height([_wrap(cell.caption, side) for cell in cells]) for _, cells in rows]
    bottom = top + sum(step + extra for extra in under) + (_PAD if below else 0)
    canvas = Image.new("RGB", (width, bottom + _text_height(below) + _PAD), "white")
    draw = ImageDraw.Draw(canvas)
    if below:
        draw.line((_PAD, bottom - _PAD, width - _PAD, bottom - _PAD), "gray")
    draw.text((_PAD, _PAD), "\n".join(heading), "black", bold)
    for i, lines in enumerate(heads):  # the last line of each right above the images
        x = _LABEL + i * step
        draw.text((x, start + _text_height(heads) - _LINE * len(lines)), "\n".join(lines), "black", font)
    for i, lines in enumerate(below):
        draw.text((_LABEL + i * step, bottom), "\n".join(lines), "black", font)
    y = top
    for label, (_, cells), extra in zip(labels, rows, under, strict=True):
        draw.text((_PAD, y), "\n".join(label), "black", font)
        for i, cell in enumerate(cells):
            x = _LABEL + i * step
            if cell.image is not None:
                whole = ImageOps.pad(cell.image, (side, side), Image.Resampling.BICUBIC, "white")
                canvas.paste(whole, (x, y))
            if cell.frame:
                draw.rectangle((x, y, x + side - 1, y + side - 1), outline=cell.frame, width=_FRAME)
            draw.text((x, y + side), "\n".join(_wrap(cell.caption, side)), "black", font)
        y += step + extra
    return canvas


def _wrap(text: str, width: float, most: int | None = None) -> list[str]:
    """The lines of a text that may be so wide in pixels, and so many."""
    letters = max(int(width / _LETTER), 5)
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, letters)]
    return lines if most is None or len(lines) <= most else [*lines[: most - 1], lines[most - 1][:-3] + "..."]


def _text_height(texts: Sequence[Sequence[str]]) -> int:
    return _LINE * max(map(len, texts), default=0)
