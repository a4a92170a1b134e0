"""Generated images and their features on disk, under the hash of all that determines them."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from gair_search import paths
from gair_search.tokens.facts import pack, unpack

LIMIT = 512 * 2**20
"""Bytes that the images may take; those that were not looked at for the longest time go first."""

_FEATURES = "features"


@dataclass(frozen=True)
class GeneratedImage:
    """A generated image, uint8 `[height, width, 3]`, and its image features, float32 `[embed_dim]`."""

    image: NDArray[np.uint8]
    features: NDArray[np.float32]


class ImageCache:
    """A folder of PNG files named by key, each with its features in a text field; time of change is time of use."""

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        """By default under `GAIR_HOME`; nothing is made before something is put."""
        self.folder = folder or paths.home() / "cache" / "generated"
        self.limit = limit

    def get(self, key: str) -> GeneratedImage | None:
        """What was put under a key; None where there is nothing, or it is damaged."""
        path = self._path(key)
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                image = np.asarray(opened.convert("RGB"), dtype=np.uint8)
                generated = GeneratedImage(image, unpack(opened.info[_FEATURES]))
        except Exception:  # Pillow raises almost anything on damaged files
            return None
        with contextlib.suppress(OSError):
            path.touch()
        return generated

    def put(self, key: str, generated: GeneratedImage) -> None:
        """Keep an image. Atomic.

        Raises:
            OSError: it can't be written.
        """
        facts = PngImagePlugin.PngInfo()
        facts.add_text(_FEATURES, pack(generated.features))
        buffer = io.BytesIO()
        Image.fromarray(generated.image).save(buffer, "PNG", pnginfo=facts)
        paths.write_atomically(self._path(key), buffer.getvalue())

    def trim(self) -> None:
        """Remove what was not used for the longest time, until the rest is within the limit."""
        files: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*.png"):
            with contextlib.suppress(OSError):  # another process was quicker
                stat = path.stat()
                files.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.png"
