"""Scenes and instances: what is drawn, each decided by a seed."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from gair_search.benchmarks.fashion_world.vocabulary import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
)

Split = Literal["train", "val", "test"]
"""Seeds of different splits never meet: the split is part of the entropy."""

_SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}
_PLAIN_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Instance:
    """One garment or thing with its own cut, fabric, trims and emblem.

    Attributes:
        kind: a key of `KINDS`.
        color: its main colour, a key of `COLORS`; covers most of it.
        pattern: a key of `PATTERNS`.
        second_color: the colour of the pattern; None where the pattern is plain.
        entropy: what words cannot name (cut, exact shade, fabric, trims, emblem) follows from
            these numbers.
    """

    kind: str
    color: str
    pattern: str
    second_color: str | None
    entropy: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Scene:
    """An instance somewhere, seen once.

    Attributes:
        item: what is shown.
        background: a key of `BACKGROUNDS`.
        entropy: pose, scale, light and the background's own details follow from these numbers.
    """

    item: Instance
    background: str
    entropy: tuple[int, ...]


def instance(
    seed: int,
    split: Split = "train",
    *,
    kind: str | None = None,
    color: str | None = None,
    pattern: str | None = None,
) -> Instance:
    """The instance of a seed; what is given is kept, the rest is drawn uniformly.

    Args:
        seed: >= 0; the same seed gives the same instance for ever.
        split: which of the three disjoint families of seeds.
        kind, color, pattern: fixed where given.
    Raises:
        KeyError: a kind, colour or pattern that the world does not have.
    """
    entropy = (_SPLITS[split], 0, seed)
    rng = np.random.default_rng(entropy)
    drawn_kind, drawn_color = rng.choice(list(KINDS)), rng.choice(list(COLORS))
    plain, drawn_pattern = rng.random() < _PLAIN_SHARE, rng.choice(list(PATTERNS)[1:])
    second_index = int(rng.integers(len(COLORS) - 1))
    kind = kind or str(drawn_kind)
    color = color or str(drawn_color)
    pattern = pattern or ("plain" if plain else str(drawn_pattern))
    for value, known in ((kind, KINDS), (color, COLORS), (pattern, PATTERNS)):
        if value not in known:
            raise KeyError(f"{value!r} is not in the fashion world; it has {', '.join(known)}")
    others = [name for name in COLORS if name != color]
    second = None if pattern == "plain" else others[second_index]
    return Instance(kind, color, pattern, second, entropy)


def scene(
    seed: int,
    split: Split = "train",
    *,
    item: Instance | None = None,
    background: str | None = None,
) -> Scene:
    """The scene of a seed; an instance or a background that is given is kept.

    Args:
        seed: >= 0; with another seed the same item is seen in another pose and light.
        split: which of the three disjoint families of seeds.
        item: what to show; None takes the instance of the same seed and split.
        background: where; None draws one.
    Raises:
        KeyError: a background that the world does not have.
    """
    entropy = (_SPLITS[split], 1, seed)
    drawn = str(np.random.default_rng(entropy).choice(list(BACKGROUNDS)))
    background = background or drawn
    if background not in BACKGROUNDS:
        known = ", ".join(BACKGROUNDS)
        raise KeyError(f"{background!r} is not in the fashion world; it has {known}")
    return Scene(item or instance(seed, split), background, entropy)
