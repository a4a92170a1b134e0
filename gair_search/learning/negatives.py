"""Negative images (x' in Perera et al., section 4.2): the parent, but not the concept."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gair_search.errors import ConceptError
from gair_search.images.folders import find_photos
from gair_search.images.reading import read_images
from gair_search.learning.templates import CLASSIFICATION, Slot

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.gallery import Gallery, PointId
    from gair_search.generation.generator import Generator

N_NEGATIVES = 64
MIN_NEGATIVES = 4

LOOK_AT = 8 * N_NEGATIVES
"""So many photos are looked at, for the gallery may hold many of the concept itself, and to see what is common."""

SHRINKAGE = 0.8
"""How far the covariance of a gallery's features is drawn to a multiple of the identity."""

LIKENESS = 0.18
"""Left out is what is so far from a gallery's typical photo towards the concept's own likeness, in 0..1."""

FEW = 2 * N_NEGATIVES
"""Fewer photos than these don't tell what is common among photos."""


def likeness(concept: NDArray[np.float32]) -> float:
    """How alike a concept's own photos are: the lowest cosine of one to the mean of the others.

    Args:
        concept: image features `[N, embed_dim]`, normalised, N >= 2.
    """
    others = concept.sum(0) - concept
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    return float((concept * others).sum(1).min())


def whitening(
    features: NDArray[np.float32], shrinkage: float = SHRINKAGE
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """A map of features to unit vectors in which what is common among `features` counts little.

    It takes their mean away and divides by the root of their covariance (1 - s) S + s tr(S) / d I, so that a cosine
    there tells instances apart that share kind and place (as in Hariharan et al. 2012, "Discriminative decorrelation").

    Args:
        features: `[K, d]`, of any photos.
        shrinkage: s, in 0..1.

    Returns:
        a function of `[..., d]`.
    """
    mean = features.mean(0, dtype=np.float64)
    spread = (features - mean).T @ (features - mean) / max(len(features) - 1, 1)
    variance = max(np.trace(spread) / len(spread), 1e-12)
    values, directions = np.linalg.eigh((1 - shrinkage) * spread + shrinkage * variance * np.eye(len(spread)))
    root = directions / np.sqrt(np.maximum(values, 1e-12))

    def whiten(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        found = (rows - mean) @ root
        unit: NDArray[np.float64] = found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
        return unit

    return whiten


def unlike_concept(
    candidates: NDArray[np.float32], concept: NDArray[np.float32], n: int = N_NEGATIVES
) -> NDArray[np.intp]:
    """Rows of candidates that are not the concept, in their order.

    A gallery often holds further photos of the concept, in other places, and these are less like the photos given
    than those are like each other. So what counts is, after `whitening` by the candidates, the cosine to the nearest
    of the concept's photos and views: left out is what is beyond the candidates' median by `LIKENESS` of the way to
    the median likeness of a photo of the concept to the nearest other one. Of candidates that are `FEW`, what is as
    like the concept's mean as its photos are to each other (`likeness`) is left out, too.

    Args:
        candidates: image features `[K, embed_dim]`, normalised, those nearest to 'image of a c' first.
        concept: of the concept images, each followed by its views, `[n, 1 + views, embed_dim]`, normalised.
        n: how many rows to return at most.
    """
    if not len(candidates):
        return np.arange(0)
    rows = concept.reshape(-1, concept.shape[-1])
    whiten = whitening(candidates)
    nearest = (whiten(candidates) @ whiten(rows).T).max(1)
    own, typical = nearest_other_photo(whiten(concept)), float(np.median(nearest))
    other = nearest < typical + LIKENESS * (own - typical)
    if len(candidates) < FEW and len(rows) > 1:
        mean = rows.mean(0)
        other &= candidates @ (mean / np.linalg.norm(mean)) < likeness(rows)
    return np.flatnonzero(other)[:n]


def nearest_other_photo(views: NDArray[np.float64]) -> float:
    """Median over photos of the cosine to the nearest view of another photo; 1 of a single one.

    Args:
        views: of photos, each followed by its views, `[n, 1 + views, d]`, normalised.
    """
    n = len(views)
    cosines = np.einsum("id,jvd->ijv", views[:, 0], views).max(2)
    cosines[np.eye(n, dtype=bool)] = -1
    return float(np.median(cosines.max(1))) if n > 1 else 1.0


def from_gallery(
    gallery: "Gallery",
    parent: NDArray[np.float32],
    concept: NDArray[np.float32],
    n: int = N_NEGATIVES,
    without: "Sequence[Path | PointId]" = (),
) -> NDArray[np.float32]:
    """The photos of a gallery that are closest to 'image of a c', without what looks like the concept.

    Args:
        parent: text features of 'image of a c', `[embed_dim]`.
        concept: as for `unlike_concept`.
        without: files, or ids of points, that are the concept, whatever they look like.

    Returns:
        image features `[<= n, embed_dim]`.
    """
    files = {str(one.resolve()) for one in without if isinstance(one, Path)}
    ids = {one for one in without if not isinstance(one, Path)}
    hits = [
        hit
        for hit in gallery.search(parent, LOOK_AT)
        if hit.id not in ids and (hit.path is None or not files or str(Path(hit.path).resolve()) not in files)
    ]
    vectors = gallery.vectors([hit.id for hit in hits])
    found = [vectors[hit.id] for hit in hits if hit.id in vectors]
    if not found:
        return np.empty((0, len(parent)), np.float32)
    candidates = np.stack(found)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    return candidates[unlike_concept(candidates, concept, n)]


def find_negatives(
    source: str | os.PathLike[str] | None,
    parent: str,
    plain: NDArray[np.float32],
    concept: NDArray[np.float32],
    *,
    encoder: "Encoder",
    gallery: "Gallery",
    generator: "Generator | None",
    without: "Sequence[Path | PointId]" = (),
) -> NDArray[np.float32]:
    """Features `[K, embed_dim]` of negative images from where the user says, else from where they are.

    Args:
        source: "gallery", "generated", or the path object of a folder of images; None takes the gallery's, and
            where these are too few, generated ones if there is a generator.
        parent: as text, "dress".
        plain: text features of 'image of a c', `[embed_dim]`.
        concept, without: as for `from_gallery`.
        encoder: the model.
        gallery: may be empty, or not be there.
        generator: needed for `generated`.

    Raises:
        ConceptError: too few, or no such folder.
        GalleryError, EmbedderMismatchError: of a gallery that is to be used.
        GeneratorError, ModelError: as `Generator.sample`.
    """
    if source in (None, "gallery"):
        found = np.empty((0, encoder.spec.embed_dim), np.float32)
        if source or gallery.exists:
            gallery.require(encoder.embedder_id)
            found = from_gallery(gallery, plain, concept, without=without)
        if source or generator is None or len(found) >= MIN_NEGATIVES:
            return require(found, f"the gallery at {gallery.name}")
    if source in (None, "generated"):
        assert generator is not None
        return require(encoder.encode_pixels(parent_images(parent, encoder, generator)), "the generator")
    if isinstance(source, str):
        raise ConceptError(
            f'negatives="{source[:80]}": expected "gallery", "generated", or a pathlib.Path of a folder of images'
        )
    files, _ = find_photos([Path(source)])
    images, _ = read_images(files)
    return require(encoder.encode_images(images), str(source))


def parent_images(
    parent: str, encoder: "Encoder", generator: "Generator", n: int = 16
) -> list[NDArray[np.uint8]]:
    """Images drawn from 'image of a c' (section 4.2), preprocessed; the seeds are always the same."""
    tower = encoder.text_tower
    slot = Slot.from_template(tower, CLASSIFICATION, parent)
    with torch.inference_mode():
        conditioning = slot.encode(tower, slot.before[:0], full_context=True).conditioning
    drawn = generator.sample(conditioning.expand(n, -1, -1), range(n))
    return [encoder.preprocessing.pixels(Image.fromarray(image)) for image in drawn.cpu().numpy()]


def require(negatives: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """Raise ConceptError where there are too few negative images."""
    if len(negatives) < MIN_NEGATIVES:
        raise ConceptError(
            f"{where} gives {len(negatives)} negative images (of the parent, but not the concept), and learning "
            f"needs {MIN_NEGATIVES} or more; name a folder of some with --negatives FOLDER, or index more photos"
        )
    return negatives
