"""Image files -> images, pixels and thumbnails; what can't be read has a reason."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.errors import ImageError
from gair_search.images.decoding import DecodedImage, decode
from gair_search.images.folders import ScannedFile, Skipped
from gair_search.images.preprocessing import Preprocessing

PHOTO_SIDE = 512
"""Photos to learn from are decoded no larger than needed for this side."""


def read_file(path: str | os.PathLike[str]) -> tuple[bytes, os.stat_result]:
    """A file's bytes, and its facts from just before: a change in between then shows as one later.

    Raises:
        ImageError: it can't be read, with the path and the reason.
    """
    try:
        with Path(path).open("rb") as opened:
            facts = os.fstat(opened.fileno())
            return opened.read(), facts
    except OSError as error:
        raise ImageError(f"can't be read: {error.strerror or error}", path) from error
    except MemoryError:
        raise ImageError("not enough memory to read it", path) from None


def read_image(path: str | os.PathLike[str], target: int | None = None) -> DecodedImage:
    """Read and decode one file; `target` as for `decode`.

    Raises:
        ImageError: with the path and the reason.
    """
    data, _ = read_file(path)
    try:
        return decode(data, target)
    except ImageError as error:
        raise ImageError(error.reason, path) from error


def read_images(
    paths: Sequence[Path], target: int | None = PHOTO_SIDE
) -> tuple[list[Image.Image], list[Skipped]]:
    """The images that can be read, RGB and upright, in order; and the files that can't."""
    images: list[Image.Image] = []
    skipped: list[Skipped] = []
    for path in paths:
        try:
            images.append(read_image(path, target).image)
        except ImageError as error:
            skipped.append(Skipped(str(path), error.reason))
    return images, skipped


def read_folders(
    files: Mapping[str, Sequence[ScannedFile]],
) -> tuple[dict[str, list[Image.Image]], list[Skipped]]:
    """As `read_images` for the files of several folders, by the folders' names, as `class_folders` gives them."""
    images: dict[str, list[Image.Image]] = {}
    skipped: list[Skipped] = []
    for name, own in files.items():
        images[name], unreadable = read_images([Path(file.path) for file in own])
        skipped += unreadable
    return images, skipped


def load_pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Read, decode and preprocess one file: uint8 `[height, width, 3]`.

    Raises:
        ImageError: with the path and the reason.
    """
    return preprocessing.pixels(read_image(path, preprocessing.decoded_side).image)


def make_thumbnails(paths: Sequence[Path], side: int) -> Iterator[bytes | None]:
    """JPEG bytes of each image fitted into `side` x `side` pixels; None where it can't be read (any more)."""
    for path in paths:
        try:
            image = read_image(path, side).image
        except ImageError:
            yield None
            continue
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=82)
        yield buffer.getvalue()
