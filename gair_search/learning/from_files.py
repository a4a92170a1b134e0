"""From photos, or points of a gallery, to custom tokens in the store."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.errors import ConceptError
from gair_search.gallery import PointId, as_id
from gair_search.generation.generator import Generator
from gair_search.images.fetching import AllowUrls, UrlConfig, url_config
from gair_search.images.folders import Skipped, class_folders, find_photos
from gair_search.images.reading import PHOTO_SIDE, read_folders, read_images
from gair_search.images.sources import ImageSource, read_source
from gair_search.learning import attributes as adjectives
from gair_search.learning import lessons, several
from gair_search.learning.config import Method, choose_method, config_for
from gair_search.learning.joint import Losses
from gair_search.learning.lessons import Lesson
from gair_search.learning.negatives import find_negatives
from gair_search.learning.several import Lessons
from gair_search.parts import Parts
from gair_search.progress import Progress


class _Options(TypedDict, total=False):
    """Options of both ways to learn.

    Attributes:
        method: by default joint where there is a generator, else prompt tuning.
        paper: take the paper's settings for Stable Diffusion, not the model's own.
        changes: fields of `LearningConfig` that are to be otherwise.
        seed: the same gives the same tokens.
        hold_out: whether photos are left out of learning to choose on and to report on; yes unless given.
        overwrite: whether to replace a concept of the same name.
        store: whether to store what was learned at all; yes unless given.
    """

    method: Method | None
    paper: bool
    changes: Mapping[str, Any] | None
    seed: int
    hold_out: bool
    overwrite: bool
    store: bool


class LearnOptions(_Options, total=False):
    """Options of `learn_concept`.

    Attributes:
        points: ids of stored points of the concept, in place of photos; their features are all that is learned
            from, by prompt tuning.
        allow_urls: whether photos that are web addresses are fetched, see `images.sources`.
        attributes: adjectives with commas between them; by default the vocabulary's nearest to the parent.
        negatives: "gallery", "generated", or the path object of a folder of images of the parent that are not the
            concept; by default the gallery's unless it has too few, then generated.
        on_look: called with the losses now and then.
    """

    points: Sequence[PointId]
    allow_urls: AllowUrls
    attributes: str | None
    negatives: os.PathLike[str] | Literal["gallery", "generated"] | None
    on_look: Callable[[Losses], None] | None


class LearnTogetherOptions(_Options, total=False):
    """Options of `learn_folder`.

    Attributes:
        on_progress: called now and then with the steps done, of how many, and the loss as its note.
    """

    on_progress: Progress | None


def learn_concept(
    parts: Parts, name: str, photos: Sequence[ImageSource], parent: str, **options: Unpack[LearnOptions]
) -> Lesson:
    """Learn a concept from photos of it, and store its token.

    Args:
        parts: the model, its generator, the gallery and the store.
        name: of the concept.
        photos: 3 to 5 images; a path object may be a folder of them.
        parent: what it is a kind of, "dress".
        options: see `LearnOptions`.

    Raises:
        ConceptError: as `lessons.learn_token`; the name is taken or can't be one; a point is not there.
        ImageError: an image that is no file can't be read.
        GeneratorError, ModelError, GalleryError, EmbedderMismatchError.
    """
    overwrite, negatives = options.get("overwrite", False), options.get("negatives")
    parts.tokens.require_storable(name, overwrite)  # before anything is computed
    words = adjectives.parse(given) if (given := options.get("attributes")) else []
    config = config_for(parts.spec, options.get("paper", False), options.get("changes"))
    read = _read_points(parts, name, photos, points) if (points := options.get("points", ())) else None
    read = read or _read_photos(photos, url_config(options.get("allow_urls", False)))
    wanted = options.get("method")
    method, generator = _choose_method(parts, "prompt tuning" if points and wanted is None else wanted)
    lesson = lessons.learn_token(
        name,
        read.images,
        parent,
        parts.encoder,
        lambda plain, concept: find_negatives(
            negatives,
            parent,
            plain,
            concept,
            encoder=parts.encoder,
            gallery=parts.gallery,
            generator=parts.generator if negatives == "generated" else generator,
            without=read.sources,
        ),
        config=config,
        method=method,
        adjectives=words,
        generator=generator,
        seed=options.get("seed", 0),
        hold_out=options.get("hold_out", True),
        on_look=options.get("on_look"),
    )
    if options.get("store", True):
        parts.tokens.save(lesson.token, overwrite)
    return replace(lesson, skipped=tuple(read.skipped))


@dataclass(frozen=True)
class ConceptImages:
    """What a concept is to be learned from.

    Attributes:
        images: photos, RGB and upright; or the features `[N, embed_dim]` of stored points, normalised.
        sources: the files and points that they are, which are no negatives.
        skipped: what can't be read, and why.
    """

    images: Sequence[Image.Image] | NDArray[np.float32]
    sources: Sequence[Path | PointId]
    skipped: Sequence[Skipped] = ()


def _read_points(
    parts: Parts, name: str, photos: Sequence[ImageSource], points: Sequence[PointId]
) -> ConceptImages:
    """Features of stored points. Raises ConceptError where one is not there, or photos are given, too."""
    if photos:
        raise ConceptError(f"<{name}>: give photos or points to learn from, not both")
    parts.check()
    ids = [as_id(point) for point in points]
    stored = parts.gallery.vectors(ids)
    if missing := [i for i in ids if i not in stored]:
        raise ConceptError(f"<{name}>: {parts.gallery.name} has no vector of the points {missing[:10]}")
    features = np.stack([stored[i] for i in ids])
    return ConceptImages(features / np.linalg.norm(features, axis=1, keepdims=True), ids)


def _read_photos(photos: Sequence[ImageSource], urls: UrlConfig | None) -> ConceptImages:
    """Photos from wherever they are; files that can't be read are passed over."""
    places = [Path(photo) for photo in photos if isinstance(photo, os.PathLike)]
    files, skipped = find_photos(places)
    images, unreadable = read_images(files)
    others = [photo for photo in photos if not isinstance(photo, os.PathLike)]
    images += [read_source(photo, PHOTO_SIDE, urls).image for photo in others]
    return ConceptImages(images, files, [*skipped, *unreadable])


def learn_folder(
    parts: Parts, folder: str | os.PathLike[str], **options: Unpack[LearnTogetherOptions]
) -> Lessons:
    """Learn the concepts of a folder together, one of its folders each, and store their tokens (MC-TI).

    Args:
        parts: the model, its generator and the store.
        folder: holds one folder of photos a concept, which is called as the folder.
        options: see `LearnTogetherOptions`.

    Raises:
        ConceptError: as `several.learn_together`; a name is taken or can't be one.
        GeneratorError, ModelError.
    """
    overwrite = options.get("overwrite", False)
    files, skipped = class_folders(Path(folder))
    for name in files:
        parts.tokens.require_storable(name, overwrite)
    concepts, unreadable = read_folders(files)
    method, generator = _choose_method(parts, options.get("method"))
    learned = several.learn_together(
        concepts,
        parts.encoder,
        config=config_for(parts.spec, options.get("paper", False), options.get("changes")),
        method=method,
        generator=generator,
        seed=options.get("seed", 0),
        hold_out=options.get("hold_out", True),
        on_progress=options.get("on_progress"),
    )
    for token in learned.tokens if options.get("store", True) else ():
        parts.tokens.save(token, overwrite)
    return replace(learned, skipped=(*skipped, *unreadable))


def _choose_method(parts: Parts, method: Method | None) -> tuple[Method, Generator | None]:
    return choose_method(method, lambda: parts.generator, parts.generator_source is not None)
