"""`gair bench speed --parts indexing`: pictures into a gallery, against the image tower alone."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np

from gair_search.benchmarks.datasets.fashion import SEEDS
from gair_search.benchmarks.fashion_world import render, scene
from gair_search.benchmarks.harness.cells import BATCH
from gair_search.benchmarks.harness.timing import Task, TimedPart
from gair_search.encoder.clip import Encoder
from gair_search.gallery import Gallery, open_gallery
from gair_search.images.reading import load_pixels
from gair_search.indexer.index import index_folders


class IndexingCost(TimedPart):
    """Pictures into a gallery."""

    title = "Indexing against the image tower"
    baselines: ClassVar[Mapping[str, str]] = {"indexing": "image tower alone"}

    def __init__(self, encoder: Encoder, rounds: int, images: int) -> None:
        super().__init__(rounds)
        self.encoder, self.images = encoder, images

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        encoder, photos, numbers = self.encoder, draw_pictures(folder, seed, self.images), count()
        pixels = np.stack([load_pixels(file, encoder.preprocessing) for file in sorted(photos.iterdir())])
        batches = [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]
        return {
            "image tower alone": lambda _: [encoder.encode_pixels(batch) for batch in batches],
            "indexing": lambda _: index_pictures(
                encoder, photos, folder / f"gallery-{next(numbers)}"
            ).close(),
        }

    def note(self) -> str:
        return f"{self.images} pictures of 256 px. {super().note()}"


def draw_pictures(folder: Path, seed: int, n: int) -> Path:
    """A folder of `n` pictures of the fashion world in JPEG; drawn unless they are there."""
    photos = folder / "photos"
    if not photos.is_dir():
        photos.mkdir()
        for i in range(n):
            render(scene(seed * SEEDS + i, "test"), 256).save(photos / f"{i:05d}.jpg", quality=92)
    return photos


def index_pictures(encoder: Encoder, photos: Path, folder: Path) -> Gallery:
    """A new gallery of photos."""
    gallery = open_gallery(None, folder, None, None)
    index_folders([photos], encoder.spec, encoder.encode_pixels, gallery, workers=0)
    return gallery
