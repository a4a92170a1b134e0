"""Candidates as one picture: a column each, a row a seed, their scores below, the selected one framed."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from gair_search.errors import GairError
from gair_search.paths import write_atomically

if TYPE_CHECKING:
    from gair_search.gair.result import GairResult
from gair_search.gair.scores import Candidate

SIDE = 192
"""Pixels to the shorter side of an image; smaller ones are enlarged."""

_PAD, _TEXT, _TITLE = 14, 15, 18
_PAPER, _INK, _FAINT, _MARK = "#faf9f7", "#1c1b1a", "#78736c", "#d65c24"


def picture_format(file: Path) -> str:
    """Pillow's name of a file's format, by its suffix. Raises GairError where it is none of a picture."""
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if (kind := kinds.get(file.suffix.lower())) is None:
        raise GairError(f'{file}: "{file.suffix}" is no suffix of a picture; expected {", ".join(kinds)}')
    return kind


def write_grid(file: Path, result: "GairResult") -> None:
    """Write the picture in the format of the file's suffix. Raises GairError where it can't be written."""
    kind, buffer = picture_format(file), io.BytesIO()
    draw_grid(result).save(buffer, kind)
    try:
        write_atomically(file, buffer.getvalue())
    except OSError as error:
        raise GairError(f"the grid can't be written to {file}: {error.strerror or error}") from error


def draw_grid(result: "GairResult") -> Image.Image:
    """The picture itself."""
    font, bold = ImageFont.load_default(_TEXT), ImageFont.load_default(_TITLE)
    height, width = result.candidates[0].images.shape[1:3]
    factor = max(1.0, SIDE / min(height, width))
    cell = round(width * factor), round(height * factor)
    rows = len(result.candidates[0].images)
    top = 2 * _PAD + _TITLE
    lines = max(len(_caption(one, result)) for one in result.candidates)
    canvas = Image.new(
        "RGB",
        (
            _PAD + len(result.candidates) * (cell[0] + _PAD),
            round(top + rows * (cell[1] + _PAD) + lines * _TEXT * 1.35 + _PAD),
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((_PAD, _PAD), _shorten(result.query.prompt, bold, canvas.width - 2 * _PAD), _INK, bold)
    for column, one in enumerate(result.candidates):
        left = _PAD + column * (cell[0] + _PAD)
        selected = one.mixing_weight == result.selected_weight and len(result.candidates) > 1
        for row, pixels in enumerate(one.images):
            image = Image.fromarray(pixels).resize(cell, Image.Resampling.BICUBIC)
            canvas.paste(image, (left, top + row * (cell[1] + _PAD)))
        bottom = top + rows * (cell[1] + _PAD) - _PAD
        if selected:
            draw.rectangle((left - 5, top - 5, left + cell[0] + 4, bottom + 4), outline=_MARK, width=4)
        for i, line in enumerate(_caption(one, result)):
            color = _MARK if selected and i == 0 else _INK if i == 0 else _FAINT
            draw.text((left, bottom + _PAD * 0.7 + i * _TEXT * 1.35), line, color, font)
    return canvas


def _caption(one: "Candidate", result: "GairResult") -> list[str]:
    """What stands below a candidate."""
    word = "by hand" if result.by_hand else "selected"
    mark = f", {word}" if one.mixing_weight == result.selected_weight and len(result.candidates) > 1 else ""
    mark = ", context" if one.context_only else mark
    lines = [f"w = {one.mixing_weight:.3g}{mark}"]
    if one.score is not None:
        lines += [f"object {one.object_score:.3f}", f"context {one.context_score:.3f}"]
    if one.excluded:
        lines.append(f"{one.excluded} blank, not counted")
    return lines


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """A text cut to a width in pixels, with dots where something is left out."""
    text = " ".join(text.split())
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}...") > room:
        text = text[:-1]
    return f"{text}..."
