"""The fashion world as a data set: what its pictures show is known, not annotated. Test split only."""

from itertools import count

import numpy as np
from gair_search.benchmarks.datasets.base import SUBJECT, Concept, Picture, Query, RetrievalSet
from PIL import Image

from gair_search.world import BACKGROUNDS, Instance, Scene, instance, render, scene
from gair_search.world.vocabulary import PLURAL_KINDS

SEEDS = 100_000
"""Instances and scenes of seed s begin at s times this."""


def picture_of(shown: Scene, name: str, size: int = 128) -> Picture:
    """A scene as a picture that is drawn when it is asked for, `size` pixels a side."""

    def make(side: int | None) -> Image.Image:
        return render(shown, size)

    return Picture(name, make)


def fashion_world(
    seed: int = 0,
    concepts: int = 50,
    shots: int = 5,
    views: int = 4,
    distractors: int = 100,
    size: int = 128,
) -> RetrievalSet:
    """PerVL-DeepFashion2's protocol: instances as concepts, each to be found again in a place that is named.

    A query is `a {subject} on a beach`; its one answer is the view of this concept there. The gallery holds all
    concepts' test views and one view of each distractor. A concept's training views are in other places than
    its test views.

    Args:
        seed: draws everything; sets of different seeds share nothing.
        concepts: instances to learn.
        shots: training views a concept.
        views: test views a concept, in as many places; at most 11.
        distractors: views of further instances, as many kinds as concepts have.
        size: side of the pictures in pixels.

    Raises:
        ValueError: no place left to train in.
    """
    places = list(BACKGROUNDS)
    if not 0 < views < len(places):
        raise ValueError(
            f"{views} test views a concept: 1 to {len(places) - 1}, the other places are to train in"
        )
    rng = np.random.default_rng((seed, 1))
    numbers = count(seed * SEEDS)

    def view(item: Instance, place: str, name: str) -> Picture:
        return picture_of(scene(next(numbers), "test", item=item, background=place), name, size)

    learned, gallery, queries = [], [], []
    for i in range(concepts):
        item = instance(seed * SEEDS + i, "test")
        name = f"{seed}-{i}-{item.kind}"
        order = [places[j] for j in rng.permutation(len(places))]
        tests, rest = order[:views], order[views:]
        images = tuple(view(item, rest[j % len(rest)], f"{name}/train-{j}") for j in range(shots))
        learned.append(Concept(name, item.kind, images))
        article = "a pair of" if item.kind in PLURAL_KINDS else "a"
        for place in tests:
            shown = view(item, place, f"{name}/{place}")
            gallery.append(shown)
            text = f"{article} {SUBJECT} {BACKGROUNDS[place][0]}"
            queries.append(Query(shown.id, text, name, frozenset({shown.id})))
    for i in range(concepts, concepts + distractors):
        item = instance(seed * SEEDS + i, "test")
        gallery.append(view(item, places[rng.integers(len(places))], f"{seed}-{i}-{item.kind}/distractor"))
    return RetrievalSet(f"fashion-world-{shots}-seed{seed}", tuple(learned), tuple(gallery), tuple(queries))
