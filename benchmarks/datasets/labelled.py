"""Pictures of classes, for few-shot classification (Kim et al. 2024, section 4.1; Wang et al. 2024)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import Picture
from gair_search.errors import DatasetError
from gair_search.learning.templates import PARAPHRASES

TEMPLATE = "a photo of a {}."
"""The paper's base prompt on most data sets (Yu et al. 2023)."""


@dataclass(frozen=True)
class Class:
    """A class and what is known of it in words.

    Attributes:
        name: what it is called.
        prompts: the base prompts.
        descriptions: what its pictures show, in sentences; where the paper has those of CuPL (Pratt et al. 2023).
    """

    name: str
    prompts: tuple[str, ...]
    descriptions: tuple[str, ...]


@dataclass(frozen=True)
class ClassSet:
    """Pictures of C classes: some to learn from, the others to be classified.

    Attributes:
        name: for tables.
        classes: `[C]`.
        parts: all N pictures, apart where some are other seeds' too.
        labels: class of each picture in the order of the parts, `[N]`.
        train: places of the pictures to learn from, by class, in the order in which they are drawn.
        test: places of the others.
    """

    name: str
    classes: tuple[Class, ...]
    parts: tuple[tuple[Picture, ...], ...]
    labels: NDArray[np.intp]
    train: tuple[tuple[int, ...], ...]
    test: tuple[int, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them, `[N]`."""
        return tuple(picture for part in self.parts for picture in part)

    @property
    def ids(self) -> list[str]:
        """The classes' names, with a number where one name is two classes' (as ImageNet's cranes)."""
        names = [c.name for c in self.classes]
        return [f"{name} #{i}" if names.count(name) > 1 else name for i, name in enumerate(names)]

    @property
    def most_shots(self) -> int:
        """Pictures to learn from that the richest class has."""
        return max(map(len, self.train))

    def shots(self, k: int) -> list[int]:
        """Places of the first k pictures to learn from of each class; all of a class that has fewer."""
        return [place for own in self.train for place in own[:k]]


def with_descriptions(data: ClassSet, path: Path) -> ClassSet:
    """The same with the descriptions of a JSON file, class name -> texts, as CuPL publishes them.

    Raises:
        DatasetError: no such file, or a class that it lacks.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        texts = {str(name).lower(): tuple(map(str, rows)) for name, rows in content.items()}
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise DatasetError(f"{path}: expected JSON, class name -> list of texts ({error})") from error
    missing = [c.name for c in data.classes if not texts.get(c.name.lower())]
    if missing:
        raise DatasetError(
            f"{path}: no descriptions of {len(missing):,} classes, as {', '.join(missing[:5])}"
        )
    return replace(data, classes=tuple(replace(c, descriptions=texts[c.name.lower()]) for c in data.classes))


def class_set_of_parts(
    name: str,
    classes: tuple[Class, ...],
    train: Sequence[Sequence[Picture]],
    test: Sequence[Sequence[Picture]],
) -> ClassSet:
    """A class set from two parts, each given by class."""
    labels: list[int] = []
    parts, places = [], []
    for part in (test, train):
        start = len(labels)
        labels += [c for c, own in enumerate(part) for _ in own]
        parts.append(tuple(picture for own in part for picture in own))
        at = np.split(np.arange(start, len(labels)), np.cumsum([len(own) for own in part])[:-1])
        places.append([tuple(map(int, own)) for own in at])
    tested = tuple(place for own in places[0] for place in own)
    return ClassSet(name, classes, tuple(parts), np.array(labels), tuple(places[1]), tested)


def class_set_by_halves(
    name: str,
    classes: tuple[Class, ...],
    pictures: Sequence[Sequence[Picture]],
    seed: int,
    per_class: int | None = None,
) -> ClassSet:
    """A class set without an official split: each seed draws its own, half of each class to learn from.

    Args:
        per_class: at most so many of the other half are classified.
    """
    labels = np.array([c for c, own in enumerate(pictures) for _ in own])
    train, test = [], []
    for c in range(len(classes)):
        order = np.random.default_rng((seed, c)).permutation(np.flatnonzero(labels == c)).tolist()
        half = (len(order) + 1) // 2
        train.append(tuple(order[:half]))
        test += sorted(order[half:][:per_class])
    everything = tuple(picture for own in pictures for picture in own)
    return ClassSet(name, classes, (everything,), labels, tuple(train), tuple(test))


def draw_pictures_of_class(pictures: Sequence[Picture], n: int | None, *seed: int) -> tuple[Picture, ...]:
    """`n` of the pictures in drawn order; all where None."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    return tuple(pictures[i] for i in order[:n])


def class_named(name: str, descriptions: Iterable[str] = (), template: str = TEMPLATE) -> Class:
    """A class by its name; paraphrases of the template where nothing describes it."""
    own = tuple(descriptions) or tuple(text.format(name) for text in PARAPHRASES)
    return Class(name, (template.format(name),), own)


def tested_pictures(pictures: Sequence[Picture], n: int | None, number: int) -> Sequence[Picture]:
    """At most `n` pictures to classify, the same for every seed."""
    return pictures if n is None else draw_pictures_of_class(pictures, n, 0, number)
