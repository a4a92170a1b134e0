"""Negative images (x' in Perera et al., section 4.2): the parent, but not the concept."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError

if TYPE_CHECKING:
    from gair_search.clip import Clip
    from gair_search.gallery import Gallery

N_NEGATIVES = 64
MIN_NEGATIVES = 4
_LOOK_AT = 8
"""So many times as many photos are looked at: the gallery may hold many of the concept itself."""


def likeness(concept: NDArray[np.float32]) -> float:
    """How alike a concept's own photos are: the lowest cosine of one to the mean of the others.

    Args:
        concept: image features `[N, embed_dim]`, normalised, N >= 2.
    """
    others = concept.sum(0) - concept
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    return float((concept * others).sum(1).min())


def unlike_concept(
    candidates: NDArray[np.float32], concept: NDArray[np.float32], n: int = N_NEGATIVES
) -> NDArray[np.intp]:
    """Rows of candidates that are not the concept, in their order.

    Left out is what is as like the concept's mean as its own photos are to each other.

    Args:
        candidates: image features `[K, embed_dim]`, normalised, those nearest to 'image of a c' first.
        concept: of the concept images (and their views), `[N, embed_dim]`, N >= 2.
        n: how many rows to return at most.
    """
    mean = concept.mean(0)
    other = candidates @ (mean / np.linalg.norm(mean)) < likeness(concept)
    return np.flatnonzero(other)[:n]


def from_gallery(
    gallery: "Gallery",
    parent: NDArray[np.float32],
    concept: NDArray[np.float32],
    n: int = N_NEGATIVES,
    without: Sequence[Path] = (),
) -> NDArray[np.float32]:
    """The photos of a gallery that are closest to 'image of a c', without what looks like the concept.

    Args:
        parent: text features of 'image of a c', `[embed_dim]`.
        concept: as for `unlike_concept`.
        without: files that are the concept, whatever they look like.

    Returns:
        image features `[<= n, embed_dim]`.
    """
    left_out = {str(path.resolve()) for path in without}
    hits = [
        hit for hit in gallery.search(parent, _LOOK_AT * n) if str(Path(hit.path).resolve()) not in left_out
    ]
    vectors = gallery.vectors([hit.id for hit in hits])
    found = [vectors[hit.id] for hit in hits if hit.id in vectors]
    if not found:
        return np.empty((0, len(parent)), np.float32)
    candidates = np.stack(found)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    return candidates[unlike_concept(candidates, concept, n)]


def from_pixels(
    images: Sequence[NDArray[np.uint8]], clip: "Clip", batch_size: int = 32
) -> NDArray[np.float32]:
    """Features of negative images that are at hand (generated, or of a folder), `[K, embed_dim]`.

    Args:
        images: preprocessed pixels, uint8 `[height, width, 3]` each.
    """
    parts = [
        clip.encode_images(np.stack(images[i : i + batch_size])) for i in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, clip.spec.embed_dim), np.float32)


def require(negatives: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """Raise ConceptError where there are too few negative images."""
    if len(negatives) < MIN_NEGATIVES:
        raise ConceptError(
            f"{where} gives {len(negatives)} negative images (of the parent, but not the concept), and learning "
            f"needs {MIN_NEGATIVES} or more; name a folder of some with --negatives FOLDER, or index more photos"
        )
    return negatives
