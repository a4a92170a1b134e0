"""Photos to learn from: which files, and what can be read of them."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gair_search.errors import ConceptError, ImageError
from gair_search.images.decoding import SUFFIXES, decode

_SIDE = 512
"""Photos are decoded no larger than needed for this side."""


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the images in them, sorted. Raises ConceptError where one isn't there."""
    files = []
    for path in paths:
        if not path.exists():
            raise ConceptError(f"{path} is not there; expected a photo, or a folder of photos")
        inside = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
        files += inside
    return files


def load_images(paths: Sequence[Path]) -> tuple[list[Image.Image], list[tuple[Path, str]]]:
    """Photos in RGB, and (path, reason) of those that can't be read."""
    images, skipped = [], []
    for path in paths:
        try:
            images.append(decode(path.read_bytes(), _SIDE).image)
        except OSError as error:
            skipped.append((path, error.strerror or str(error)))
        except ImageError as error:
            skipped.append((path, str(error)))
    return images, skipped


def load_folders(
    folders: Sequence[Path],
) -> tuple[dict[str, list[Image.Image]], list[tuple[Path, str]]]:
    """Photos of folders, one a concept, by the folders' names; and as `load_images` what can't be read."""
    photos, skipped = {}, []
    for folder in folders:
        photos[folder.name], left = load_images(image_files([folder]))
        skipped += left
    return photos, skipped
