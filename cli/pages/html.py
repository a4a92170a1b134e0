"""Self-contained HTML pages: from a template and its values to a file, pictures included."""

import base64
import io
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import GairError
from gair_search.images.reading import make_thumbnails
from gair_search.paths import write_atomically

THUMBNAIL_SIDE = 360
"""Pixels to the longer side of a picture on a page."""


def write_page(file: Path, template: str, **values: Any) -> None:
    """Fill a template of this folder, and write the page. Raises GairError where that can't be."""
    page = _render(template, **values).encode()
    if not file.absolute().parent.is_dir():
        raise GairError(f"the page can't be written to {file}: there is no folder {file.absolute().parent}")
    target = file.resolve()  # what a link points to is written, not the link
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(page)  # a pipe or a terminal can't be replaced
        else:
            write_atomically(target, page)
    except OSError as error:
        raise GairError(f"the page can't be written to {file}: {error.strerror or error}") from error


def photo_urls(files: Iterable[str | Path | None], side: int = THUMBNAIL_SIDE) -> list[str | None]:
    """Thumbnails of image files as data URLs; None for none and for a file that can't be read."""
    given = list(files)
    made = make_thumbnails([Path(file) for file in given if file is not None], side)
    jpegs = (None if file is None else next(made) for file in given)
    return [_data_url(jpeg) if jpeg else None for jpeg in jpegs]


def pixel_urls(images: Iterable[NDArray[np.uint8]]) -> list[str]:
    """Generated images, uint8 `[height, width, 3]` each, as data URLs."""
    from PIL import Image

    urls = []
    for pixels in images:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=92)
        urls.append(_data_url(buffer.getvalue()))
    return urls


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _render(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gair_search.cli.pages", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = datetime.now().strftime("%Y-%m-%d %H:%M")
    return environment.get_template(template).render(written=written, **values)
