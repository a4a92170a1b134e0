"""Was it this model that made a collection's vectors? A few images are embedded anew and compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gair_search.encoder.clip import Encoder
from gair_search.errors import GalleryError
from gair_search.gallery import Gallery, PointId, as_id
from gair_search.images.fetching import UrlConfig
from gair_search.images.sources import ImageSource

Verdict = Literal["same embedder", "other preprocessing", "another model"]

SAME = 0.997
"""From this median cosine on it is the same embedder. On photos bfloat16 gives 0.9987, bilinear for bicubic 0.994."""

RELATED = 0.5
"""From this median cosine on it is the same model with other pixels: another normalisation gives 0.87, swapped
colours 0.90, another photo 0.2, another model 0.0."""


@dataclass(frozen=True)
class Verification:
    """What came of comparing vectors that were made anew with those that are stored.

    Attributes:
        verdict: "same embedder"; "other preprocessing" of the images, as another size, crop or interpolation;
            "another model".
        cosines: of the two vectors of each image, by id.
        missing: ids that have no vector.
    """

    verdict: Verdict
    cosines: Mapping[PointId, float]
    missing: tuple[PointId, ...] = ()

    def __str__(self) -> str:
        """The verdict, and what it rests on."""
        lowest, middle = min(self.cosines.values()), float(np.median(list(self.cosines.values())))
        return f"{self.verdict}: cosines of {len(self.cosines)} images from {lowest:.4f}, median {middle:.4f}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        cosines = {str(i): round(cosine, 6) for i, cosine in self.cosines.items()}
        return {"verdict": self.verdict, "cosines": cosines, "missing": list(self.missing)}


def verify_images(
    images: Mapping[PointId, ImageSource],
    encoder: Encoder,
    gallery: Gallery,
    urls: UrlConfig | None = None,
) -> Verification:
    """Embed images and compare them with the vectors that are stored under their ids.

    Args:
        images: a few, by the ids of their points; three or more make the verdict safe against a single odd one.
        encoder: the model that is asked about.
        gallery: whose vectors have its length.
        urls: how web addresses are fetched; without, they are refused.

    Raises:
        ImageError: an image can't be read. GalleryError: none of the ids has a vector.
    """
    ids = [as_id(i) for i in images]
    stored = gallery.vectors(ids)
    there = [(i, source) for i, source in zip(ids, images.values(), strict=True) if i in stored]
    if not there:
        raise GalleryError(
            f"{gallery.name} has no vector of any of the {len(ids)} ids; expected ids of its points"
        )
    fresh = encoder.encode_sources((source for _, source in there), urls)
    old = np.stack([stored[i] for i, _ in there]).astype(np.float64)
    norms = np.linalg.norm(old, axis=1)
    products = (fresh * old).sum(axis=1)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    middle = float(np.median(cosines))
    verdict: Verdict = "another model"
    if middle >= RELATED:
        verdict = "same embedder" if middle >= SAME else "other preprocessing"
    by_id = {i: float(cosine) for (i, _), cosine in zip(there, cosines, strict=True)}
    return Verification(verdict, by_id, tuple(i for i in ids if i not in stored))
