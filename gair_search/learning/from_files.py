"""From photos on disk to custom tokens in the store."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from gair_search.generation.generator import Generator
from gair_search.images.folders import class_folders, find_photos
from gair_search.images.reading import read_folders, read_images
from gair_search.learning import attributes as adjectives
from gair_search.learning import lessons, several
from gair_search.learning.config import Method, choose_method, config_for
from gair_search.learning.joint import Losses
from gair_search.learning.lessons import Lesson
from gair_search.learning.negatives import find_negatives
from gair_search.learning.several import Lessons
from gair_search.parts import File, Parts
from gair_search.progress import Progress


class _Options(TypedDict, total=False):
    """Options of both ways to learn.

    Attributes:
        method: by default joint where there is a generator, else prompt tuning.
        paper: take the paper's settings for Stable Diffusion, not the model's own.
        changes: fields of `LearningConfig` that are to be otherwise.
        seed: the same gives the same tokens.
        overwrite: whether to replace a concept of the same name.
    """

    method: Method | None
    paper: bool
    changes: Mapping[str, Any] | None
    seed: int
    overwrite: bool


class LearnOptions(_Options, total=False):
    """Options of `learn_concept`.

    Attributes:
        attributes: adjectives with commas between them; by default the vocabulary's nearest to the parent.
        negatives: `gallery`, `generated`, or a folder of images of the parent that are not the concept;
            by default the gallery's unless it has too few, then generated.
        on_look: called with the losses now and then.
    """

    attributes: str | None
    negatives: File | None
    on_look: Callable[[Losses], None] | None


class LearnTogetherOptions(_Options, total=False):
    """Options of `learn_folder`.

    Attributes:
        on_progress: called now and then with the steps done, of how many, and the loss as its note.
    """

    on_progress: Progress | None


def learn_concept(
    parts: Parts, name: str, photos: Sequence[File], parent: str, **options: Unpack[LearnOptions]
) -> Lesson:
    """Learn a concept from photos of it, and store its token.

    Args:
        parts: the model, its generator, the gallery and the store.
        name: of the concept.
        photos: 3 to 5 images, or a folder of them.
        parent: what it is a kind of, "dress".
        options: see `LearnOptions`.

    Raises:
        ConceptError: as `lessons.learn_token`; the name is taken or can't be one.
        GeneratorError, ModelError, GalleryError, EmbedderMismatchError.
    """
    overwrite, negatives = options.get("overwrite", False), options.get("negatives")
    parts.tokens.require_storable(name, overwrite)  # before anything is computed
    words = adjectives.parse(given) if (given := options.get("attributes")) else []
    config = config_for(parts.spec, options.get("paper", False), options.get("changes"))
    files, skipped = find_photos([Path(photo) for photo in photos])
    images, unreadable = read_images(files)
    method, generator = _choose_method(parts, options.get("method"))
    lesson = lessons.learn_token(
        name,
        images,
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
            without=files,
        ),
        config=config,
        method=method,
        adjectives=words,
        generator=generator,
        seed=options.get("seed", 0),
        on_look=options.get("on_look"),
    )
    parts.tokens.save(lesson.token, overwrite)
    return replace(lesson, skipped=(*skipped, *unreadable))


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
        on_progress=options.get("on_progress"),
    )
    for token in learned.tokens:
        parts.tokens.save(token, overwrite)
    return replace(learned, skipped=(*skipped, *unreadable))


def _choose_method(parts: Parts, method: Method | None) -> tuple[Method, Generator | None]:
    return choose_method(method, lambda: parts.generator, parts.generator_source is not None)
