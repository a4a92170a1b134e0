"""Concepts to learn, each with pictures that its token is to tell apart, and none of these learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gair_search.benchmarks.datasets.base import (
    Concept,
    Picture,
    RetrievalSet,
    absent_files_error,
    choose_pictures,
)
from gair_search.benchmarks.datasets.dreambooth import dreambooth
from gair_search.benchmarks.datasets.fashion import (
    FREE,
    N_KINDS,
    SIZE,
    further_views,
    instances,
    views_of_kind,
)
from gair_search.benchmarks.datasets.folders import named_classes, textual_inversion
from gair_search.benchmarks.fashion_world import BACKGROUNDS, KINDS, Instance

_VIEWS_FROM, _KINDS_FROM, _ROOM = FREE, FREE + 20_000, 200


@dataclass(frozen=True)
class Trial:
    """A concept and its test.

    Attributes:
        concept: what to learn.
        pool: pictures without labels, where its negative images may come from; none is tested. The concept's
            own may be among them.
        held_out: further pictures of the concept.
        parents: of its parent, but not of the concept; none where the data set has none.
        others: of other classes.
        item: the concept itself, in the fashion world.
    """

    concept: Concept
    pool: tuple[Picture, ...]
    held_out: tuple[Picture, ...]
    parents: tuple[Picture, ...]
    others: tuple[Picture, ...]
    item: Instance | None = None


def fashion_trials(
    data: RetrievalSet,
    seed: int,
    views: int = 8,
    per_class: int = 20,
    size: int = SIZE,
    kinds: int = N_KINDS,
) -> list[Trial]:
    """Trials of `fashion_world`'s concepts; what is tested are further views and instances.

    Args:
        data: `fashion_world` of the seed, its concepts in their order; its gallery is the pool.
        seed: of it.
        views: held-out views a concept, in places that are drawn; at most 200.
        per_class: instances of each kind, one view each; at most 200.
        size, kinds: of it.
    """
    pictures = {
        kind: views_of_kind(seed, kind, per_class, _KINDS_FROM + i * _ROOM, size)
        for i, kind in enumerate(KINDS)
    }
    rng, found = np.random.default_rng((seed, 2)), []
    items = instances(seed, len(data.concepts), size, kinds)
    for i, (concept, item) in enumerate(zip(data.concepts, items, strict=True)):
        places = [str(place) for place in rng.choice(list(BACKGROUNDS), views)]
        held_out = further_views(item, concept.name, seed, places, _VIEWS_FROM + i * _ROOM, size)
        others = [picture for kind, own in pictures.items() if kind != concept.parent for picture in own]
        found.append(
            Trial(
                concept, data.gallery, tuple(held_out), tuple(pictures[concept.parent]), tuple(others), item
            )
        )
    return found


def dreambooth_trials(folder: Path, shots: int = 3, seed: int = 0) -> list[Trial]:
    """Trials of the DreamBooth subjects: `shots` photos of each are learned from, the others tested.

    The pool are the photos that are learned from. A subject's parents are the tested photos of other subjects of
    its class, its others those of other classes.

    Raises:
        DatasetError: as `dreambooth`.
    """
    data = dreambooth(folder, shots, seed)
    shown = {picture.id: picture for picture in data.gallery}
    tested = {query.concept: [shown[name] for name in sorted(query.relevant)] for query in data.queries}
    pool = tuple(picture for concept in data.concepts for picture in concept.images)
    return [
        Trial(
            own,
            pool,
            tuple(tested[own.name]),
            tuple(
                p for c in data.concepts if c is not own and c.parent == own.parent for p in tested[c.name]
            ),
            tuple(p for c in data.concepts if c.parent != own.parent for p in tested[c.name]),
        )
        for own in data.concepts
    ]


def folder_trials(
    folder: Path,
    classes: Path | None,
    parents: Mapping[str, str],
    shots: int = 3,
    seed: int = 0,
    per_class: int = 20,
) -> list[Trial]:
    """Trials of folders of photos, as Textual Inversion's, against Caltech-256 or another folder of classes.

    Of each class `2 per_class` pictures are drawn, the same for all seeds: half are tested, half are the pool.

    Args:
        folder: one folder a concept.
        classes: where the parents and the other classes lie; None for concepts that are not to be tested.
        parents: folder name -> parent, which names a class.
        shots: photos to learn from.
        seed: draws these.
        per_class: tested pictures of each class.

    Raises:
        DatasetError: as `textual_inversion`, `named_classes`; a parent is no class.
    """
    rows = textual_inversion(folder, parents, shots, seed)
    if classes is None:
        return [Trial(concept, (), held_out, (), ()) for concept, held_out in rows]
    known = named_classes(classes)
    if missing := [
        f"{classes}/{parent}/*" for parent in sorted(set(parents.values())) if parent not in known
    ]:
        raise absent_files_error(
            "parents", missing, len(set(parents.values())), f"{classes} is to hold a class of each name"
        )
    drawn = {name: choose_pictures(own, 2 * per_class, 0, i) for i, (name, own) in enumerate(known.items())}
    pool = tuple(picture for own in drawn.values() for picture in own[1::2])
    return [
        Trial(
            concept,
            pool,
            held_out,
            drawn[concept.parent][::2],
            tuple(picture for name, own in drawn.items() if name != concept.parent for picture in own[::2]),
        )
        for concept, held_out in rows
    ]
