"""Where a table's negative images come from, and how many of them show the concept after all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gair_search.benchmarks.datasets.base import Picture, photo
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.methods.concepts import Features, Study
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.generation.generator import Generator
from gair_search.images.folders import find_photos
from gair_search.learning.negatives import N_NEGATIVES, parent_images
from gair_search.tokens import facts

DRAWN, GALLERY = "drawn", "gallery"
"""From 'image of a c', as in section 4.2 of Perera et al.; out of the pictures that are searched, without labels."""


@dataclass(frozen=True)
class NegativePool:
    """What a concept's negatives are taken from.

    Attributes:
        features: of the pictures, `[N, embed_dim]`.
        as_they_are: whether all are negatives; else those are chosen that the library would choose of a gallery.
    """

    features: Features
    as_they_are: bool = False


class NegativeImages:
    """Negative images by the source that a run names, kept in its work folder."""

    def __init__(
        self, source: str, encoder: Encoder, generator: Generator | None, work: Work, why: str = ""
    ) -> None:
        """Open a source.

        Args:
            source: `DRAWN`, `GALLERY`, or a folder of photos.
            encoder: the model.
            generator: draws; None where there is none.
            work: keeps what was drawn, and depends on the generator.
            why: there is no generator.

        Raises:
            GairError: images are to be drawn, and nothing draws; a folder has no photo.
        """
        self.source, self._encoder, self._generator, self._work = source, encoder, generator, work
        self._pools: dict[str, NegativePool] = {}
        if source == DRAWN and generator is None:
            raise GairError(
                f"negative images are to be drawn from 'image of a c', and that takes a generator: {why}; say where "
                f"else they come from: --negatives gallery, or --negatives FOLDER"
            )
        if source not in (DRAWN, GALLERY):
            pictures = folder_pictures(Path(source))
            self._pools[source] = NegativePool(work.features(encoder, pictures), as_they_are=True)

    def pool(self, parent: str, gallery: Callable[[], Features]) -> NegativePool:
        """The pool for concepts of a parent; that of the pictures that `gallery` gives where they are the source."""
        if self.source == GALLERY:
            return NegativePool(gallery())
        key = parent if self.source == DRAWN else self.source
        if key not in self._pools:
            self._pools[key] = NegativePool(self._drawn(parent), as_they_are=True)
        return self._pools[key]

    def _drawn(self, parent: str) -> Features:
        """Features of images drawn from 'image of a c', kept."""
        generator = self._generator
        assert generator is not None

        def draw() -> str:
            images = parent_images(parent, self._encoder, generator, N_NEGATIVES)
            return facts.pack(self._encoder.encode_pixels(images).ravel())

        packed = self._work.cell(f"negatives/{parent}", draw)
        return facts.unpack(packed).reshape(-1, self._encoder.spec.embed_dim)


def folder_pictures(folder: Path) -> list[Picture]:
    """The photos of a folder. Raises GairError where it has none."""
    files, _ = find_photos([folder])
    if not files:
        raise GairError(f"--negatives {folder}: drawn, gallery, or a folder of photos; there is no photo")
    return [photo(file, str(file.relative_to(folder))) for file in files]


def count_mistakes(studies: Sequence[Study]) -> dict[str, Any]:
    """How many negatives show the concept itself, from the labels that no method sees.

    Returns:
        `images`: how many negatives there are, of all concepts together, `showing the concept` how many of these;
        `concepts`, and `concepts with any` how many have such a negative.
    """
    counts = [
        (len(study.negative_rows), int(study.shows_concept[study.negative_rows].sum())) for study in studies
    ]
    return {
        "images": sum(n for n, _ in counts),
        "showing the concept": sum(own for _, own in counts),
        "concepts": len(counts),
        "concepts with any": sum(own > 0 for _, own in counts),
    }
