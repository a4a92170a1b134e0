"""What the tables ask of a data set, and how an incomplete one is told."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from gair_search.errors import DatasetError
from gair_search.images.reading import read_image

SUBJECT = "{subject}"
"""Where a query's text names the concept."""


@dataclass(frozen=True)
class Picture:
    """An image that is read, or drawn, when it is asked for.

    Attributes:
        id: unique in its data set.
        make: the image, given the shortest side that is wanted, or None for all of it.
        path: of its file, or None where it is drawn.
        content: of one that is drawn, all that its pixels depend on.
    """

    id: str
    make: Callable[[int | None], Image.Image] = field(compare=False, repr=False)
    path: Path | None = field(default=None, compare=False)
    content: str = field(default="", repr=False)

    def image(self, side: int | None = None) -> Image.Image:
        """RGB, upright; its sides may be larger than `side`.

        Raises:
            ImageError: the file can't be read.
        """
        return self.make(side)

    @property
    def content_key(self) -> str:
        """The id and what tells that the picture has changed."""
        if self.path is None:
            return f"{self.id} {self.content}".rstrip()
        facts = self.path.stat()
        return f"{self.id} {self.path.absolute()} {facts.st_size} {facts.st_mtime_ns}"


def photo(path: Path, name: str | None = None) -> Picture:
    """A picture in a file; its id is the file's name unless given."""

    return Picture(name or path.name, lambda side: read_image(path, side).image, path)


@dataclass(frozen=True)
class Concept:
    """A concept to learn.

    Attributes:
        name: unique in its data set.
        parent: its super-class as text.
        images: the concept images.
        captions: captions of concept images, by picture id, with `{subject}` for the concept; often none.
    """

    name: str
    parent: str
    images: tuple[Picture, ...]
    captions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrievalQuery:
    """A text that asks for a concept somewhere.

    Attributes:
        id: unique in its data set.
        template: the text, with `{subject}` for the concept.
        concept: the concept's name.
        relevant: ids of the pictures that answer it.
        excluded: ids of pictures that are not ranked for it, as the concept's own training images.
    """

    id: str
    template: str
    concept: str
    relevant: frozenset[str]
    excluded: frozenset[str] = frozenset()

    def text(self, subject: str) -> str:
        """The text with a name for the concept: `dress`, `* dress`; `a` before a vowel becomes `an`."""
        before, *rest = re.split(re.escape(SUBJECT), self.template)
        text = before
        for after in rest:
            if subject[:1].lower() in "aeiou" and re.search(r"\b[Aa] $", text):
                text = text[:-1] + "n "
            text += subject + after
        return text


@dataclass(frozen=True)
class RetrievalSet:
    """Concepts, a gallery and queries with known answers.

    Attributes:
        name: for tables and file names.
        concepts: what to learn.
        gallery: what is searched.
        queries: what is asked.
        problems: what in the files did not resolve, a line each.
        instances: picture id -> name of the instance that it shows; of those not named it is not known.
        galleries: name -> ids of the part of the gallery that is searched under this name; all of it unless given.
    """

    name: str
    concepts: tuple[Concept, ...]
    gallery: tuple[Picture, ...]
    queries: tuple[RetrievalQuery, ...]
    problems: tuple[str, ...] = ()
    instances: Mapping[str, str] = field(default_factory=dict)
    galleries: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def showing(self, concept: str) -> frozenset[str]:
        """Ids of the pictures that are known to show a concept."""
        answers = (query.relevant for query in self.queries if query.concept == concept)
        return frozenset(name for name, own in self.instances.items() if own == concept).union(*answers)

    @property
    def qrels(self) -> dict[str, dict[str, int]]:
        """Query id -> relevant picture id -> 1."""
        return {query.id: dict.fromkeys(sorted(query.relevant), 1) for query in self.queries}

    def limited(self, n: int | None) -> "RetrievalSet":
        """The first `n` concepts and their queries, over the same gallery; all where None."""
        if n is None:
            return self
        concepts = self.concepts[:n]
        names = {concept.name for concept in concepts}
        queries = tuple(query for query in self.queries if query.concept in names)
        return replace(self, concepts=concepts, queries=queries)


def choose_pictures(images: Sequence[Picture], n: int | None, *seed: int) -> tuple[Picture, ...]:
    """`n` of the images, drawn by a seed, in their own order; all where None or where there are fewer."""
    if n is None or n >= len(images):
        return tuple(images)
    rng = np.random.default_rng(seed)
    return tuple(images[i] for i in sorted(rng.choice(len(images), n, replace=False)))


def first_existing(candidates: Iterable[Path]) -> Path | None:
    """The first path that exists."""
    return next((path for path in candidates if path.exists()), None)


def absent_files_error(name: str, files: Sequence[Path | str], total: int, get: str) -> DatasetError:
    """The error for a data set that is missing or half unpacked.

    Args:
        name: of the data set.
        files: what is absent.
        total: how many files were looked for.
        get: what to get, and where it must lie.
    """
    shown = "".join(f"\n  {file}" for file in files[:5])
    more = f"\n  and {len(files) - 5:,} more" if len(files) > 5 else ""
    return DatasetError(f"{name}: {len(files):,} of {total:,} files are absent:{shown}{more}\n{get}")
