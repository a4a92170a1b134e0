"""The fashion world as a data set: what its pictures show is known, not annotated. Test split only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.benchmarks.datasets.base import (
    SUBJECT,
    Concept,
    Picture,
    RetrievalQuery,
    RetrievalSet,
)
from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    KINDS,
    Instance,
    Scene,
    instance,
    render,
    scene,
)
from gair_search.benchmarks.fashion_world.vocabulary import PLURAL_KINDS

SEEDS = 100_000
"""Instances and scenes of seed s begin at s times this."""

FAMILY = SEEDS // len(KINDS)
"""Instances of the same words begin so far from one another."""

SIZE, N_KINDS = 32, 5

APART = 8.0
"""Least difference of two instances with the same words, drawn in the same scene: root mean square in grey
levels. The sensor's noise is 1 to 3.5."""

WITH_TRAINING_PLACES, WITHOUT_TRAINING_PLACES = "training places shown", "not shown"
"""The two galleries: whether a concept is shown, too, in the places where it was learned."""

FREE = SEEDS // 2
"""From here on a seed's numbers are not `fashion_world`'s own."""


def picture_of(shown: Scene, name: str, size: int = 128) -> Picture:
    """A scene as a picture that is drawn when it is asked for, `size` pixels a side."""

    def make(side: int | None) -> Image.Image:
        return render(shown, size)

    return Picture(name, make, content=f"{shown} {size}")


def fashion_world(
    seed: int = 0,
    concepts: int = 25,
    shots: int = 5,
    views: int = 6,
    distractors: int = 25,
    size: int = SIZE,
    kinds: int = N_KINDS,
    train_places: int = 2,
    elsewhere: bool = True,
) -> RetrievalSet:
    """PerVL-DeepFashion2's protocol: instances as concepts, each to be found again in a place that is named.

    A query is `a {subject} on a beach`; its one answer is the view of this concept there. Concepts are of few
    descriptions (kind, colour, pattern, second colour), so that most share theirs with others and differ in what
    no caption names: cut, shade, fabric, trim and emblem. The distractors are further instances of the same
    descriptions. All are shown in the same places, one view in each, so that the gallery holds for every query
    this concept in other places, and others that the same words describe in this place. As in anybody's photos,
    the places where a concept was learned are among them: a query that recalls them finds it there. Without these
    it is another gallery, in which nothing shows what a query recalls; both are searched (`RetrievalSet.galleries`).
    Long, since all is drawn in one order.

    Args:
        seed: draws everything; sets of different seeds share nothing.
        concepts: instances to learn; the first ones differ in kind.
        shots: training views a concept.
        views: places of the gallery, at most 11. The training views are in other places.
        distractors: further instances.
        size: side of the pictures in pixels; small ones blur what tells instances apart.
        kinds: descriptions, each of another kind, at most 12.
        train_places: places that a concept's training views are in, or all that are left if fewer.
        elsewhere: whether there is a gallery with further views of all, one in each place that no query names.

    Raises:
        ValueError: no place left to train in, or more kinds than there are.
    """
    places = list(BACKGROUNDS)
    _check_counts(views, kinds)
    rng = np.random.default_rng((seed, 1))
    order = [places[i] for i in rng.permutation(len(places))]
    tests, rest = order[:views], order[views:]
    numbers = count(seed * SEEDS)

    def view(item: Instance, place: str, name: str) -> Picture:
        return picture_of(scene(next(numbers), "test", item=item, background=place), name, size)

    learned, gallery, queries = [], [], []
    for i, item in enumerate(instances(seed, concepts + distractors, size, kinds)):
        name = f"{seed}-{i}-{item.kind}"
        shown = [view(item, place, f"{name}/{place}") for place in tests]
        gallery += shown
        if i >= concepts:
            continue
        chosen = rng.permutation(rest)[:train_places]
        images = tuple(view(item, str(chosen[j % len(chosen)]), f"{name}/train-{j}") for j in range(shots))
        learned.append(Concept(name, item.kind, images))
        queries += [_place_query(item, name, *one) for one in zip(tests, shown, strict=True)]
    galleries = {WITHOUT_TRAINING_PLACES: frozenset(picture.id for picture in gallery)}
    if elsewhere:
        for i, item in enumerate(instances(seed, concepts + distractors, size, kinds)):
            gallery += [view(item, place, f"{seed}-{i}-{item.kind}/{place}") for place in rest]
        galleries = {WITH_TRAINING_PLACES: frozenset(picture.id for picture in gallery)} | galleries
    instances_of = {picture.id: picture.id.split("/")[0] for picture in gallery}
    name = f"fashion-world-{shots}-seed{seed}"
    return RetrievalSet(name, tuple(learned), tuple(gallery), tuple(queries), (), instances_of, galleries)


def _check_counts(views: int, kinds: int) -> None:
    """Raise ValueError where no place is left to train in, or there are not so many kinds."""
    if not 0 < views < len(BACKGROUNDS):
        raise ValueError(
            f"{views} test views a concept: 1 to {len(BACKGROUNDS) - 1}, the other places are to train in"
        )
    if not 0 < kinds <= len(KINDS):
        raise ValueError(f"{kinds} kinds: 1 to {len(KINDS)}")


def _place_query(item: Instance, name: str, place: str, picture: Picture) -> RetrievalQuery:
    """The query for a concept in a place; its one answer is the concept's picture there."""
    article = "a pair of" if item.kind in PLURAL_KINDS else "a"
    text = f"{article} {SUBJECT} {BACKGROUNDS[place][0]}"
    return RetrievalQuery(picture.id, text, name, frozenset({picture.id}))


@lru_cache(maxsize=8)
def instances(seed: int, n: int, size: int = SIZE, kinds: int = N_KINDS) -> tuple[Instance, ...]:
    """The first `n` instances of `fashion_world`: its concepts, then its distractors. Arguments as there."""
    drawn = [str(kind) for kind in np.random.default_rng((seed, 3)).permutation(list(KINDS))[:kinds]]
    families = [
        _instances_of_same_words(seed * SEEDS + i * FAMILY, kind, size) for i, kind in enumerate(drawn)
    ]
    return tuple(next(families[i % kinds]) for i in range(n))


def _instances_of_same_words(first: int, kind: str, size: int) -> Iterator[Instance]:
    """Instances with the words of the first one, all of them `APART`; numbered from `first` on."""
    model = instance(first, "test", kind=kind)
    seen: list[NDArray[np.float32]] = []
    for number in count(first):
        item = instance(number, "test", kind=kind, color=model.color, pattern=model.pattern)
        item = replace(item, second_color=model.second_color)
        drawn = np.asarray(render(scene(first, "test", item=item), size), np.float32)
        if all(np.sqrt(np.mean((drawn - other) ** 2)) >= APART for other in seen):
            seen.append(drawn)
            yield item


def further_views(
    item: Instance, name: str, seed: int, places: Sequence[str], first: int, size: int = SIZE
) -> list[Picture]:
    """Views of an instance of `fashion_world` besides those of the set, one a place.

    Args:
        item: of `instances`.
        name: of its concept.
        seed: of the set.
        places: keys of `BACKGROUNDS`.
        first: number of the first scene, from `FREE` on; equal numbers give equal poses and light.
        size: side of the pictures in pixels.
    """
    shown = [
        scene(seed * SEEDS + first + i, "test", item=item, background=place) for i, place in enumerate(places)
    ]
    return [picture_of(one, f"{name}/further-{first + i}", size) for i, one in enumerate(shown)]


def views_of_kind(seed: int, kind: str, n: int, first: int, size: int = SIZE) -> list[Picture]:
    """Views of `n` instances of a kind that `fashion_world` doesn't hold, anywhere; `first` is from `FREE` on."""
    numbers = [seed * SEEDS + first + i for i in range(n)]
    shown = [scene(number, "test", item=instance(number, "test", kind=kind)) for number in numbers]
    return [
        picture_of(one, f"{seed}-{kind}/{number}", size) for one, number in zip(shown, numbers, strict=True)
    ]
