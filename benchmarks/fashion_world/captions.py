"""Captions of scenes, in many paraphrases, and what each of them names."""

from __future__ import annotations

import dataclasses

import numpy as np

from gair_search.benchmarks.fashion_world.scene import Instance, Scene
from gair_search.benchmarks.fashion_world.vocabulary import (
    BACKGROUNDS,
    GENERIC_NOUNS,
    KINDS,
    PATTERNS,
    PLURAL_KINDS,
)

_FRAMES = (
    "{subject} {place}",
    "a photo of {subject} {place}",
    "a picture of {subject} {place}",
    "an image of {subject} {place}",
    "there is {subject} {place}",
    "{place}, {subject}",
    "a snapshot of {subject}, {place}",
    "{subject} seen {place}",
)
_BARE_FRAMES = (
    "{subject}",
    "a photo of {subject}",
    "a picture of {subject}",
    "an image of {subject}",
    "a close photo of {subject}",
    "this is {subject}",
)


@dataclasses.dataclass(frozen=True)
class Caption:
    """A text and what it names; None where it leaves something open.

    A scene is shown rightly by every caption whose named attributes are all its own.
    """

    text: str
    kind: str | None = None
    color: str | None = None
    pattern: str | None = None
    second_color: str | None = None
    background: str | None = None

    def suits(self, scene: Scene) -> bool:
        """Whether nothing that the caption names contradicts the scene."""
        item = scene.item
        named = (self.kind, self.color, self.pattern, self.second_color, self.background)
        shown = (item.kind, item.color, item.pattern, item.second_color, scene.background)
        return all(n is None or n == s for n, s in zip(named, shown, strict=True))


def noun_phrase(
    kind: str,
    *,
    color: str | None = None,
    pattern: str | None = None,
    second_color: str | None = None,
    noun: str | None = None,
    motif: int = 0,
    adjective: int = 0,
) -> str:
    """`a red dress with white stripes`: the names in English order, with the right article.

    Args:
        kind, color, pattern, second_color: names of the world; None leaves one out.
        noun: what to call the kind; None takes its name.
        motif, adjective: which of the pattern's nouns and adjectives to use.
    """
    adjectives, motifs = PATTERNS[pattern] if pattern else ((), ())
    words = [color] if color else []
    if pattern and not (second_color and motifs):
        words.append(adjectives[adjective % len(adjectives)])
    words.append(noun or kind)
    phrase = " ".join(words)
    plural = kind in PLURAL_KINDS and noun not in GENERIC_NOUNS
    article = "a pair of" if plural else "an" if phrase[0] in "aeiou" else "a"
    tail = f" with {second_color} {motifs[motif % len(motifs)]}" if second_color and motifs else ""
    return f"{article} {phrase}{tail}"


def full_caption(scene: Scene) -> str:
    """The plain full caption: every name, in its first wording."""
    return f"{describe(scene.item)} {BACKGROUNDS[scene.background][0]}"


def caption(scene: Scene, rng: np.random.Generator, *, full: bool = False) -> Caption:
    """A caption drawn at random: any frame, any synonym and, unless full, any part left out.

    Args:
        scene: what to describe.
        rng: where the choices come from.
        full: name the kind, both colours, the pattern and the background.
    """
    item = scene.item
    keep = [True] * 4 if full else list(rng.random(4) < (0.85, 0.75, 0.6, 0.65))
    if not any(keep):
        keep[int(rng.integers(4))] = True
    has_kind, has_color, has_pattern, has_place = keep
    names_second = has_pattern and has_color and (full or rng.random() < 0.7)
    nouns = KINDS[item.kind] if has_kind else GENERIC_NOUNS
    subject = noun_phrase(
        item.kind,
        color=item.color if has_color else None,
        pattern=item.pattern if has_pattern else None,
        second_color=item.second_color if names_second else None,
        noun=_pick(nouns, rng),
        motif=int(rng.integers(6)),
        adjective=int(rng.integers(6)),
    )
    frame = str(rng.choice(_FRAMES if has_place else _BARE_FRAMES))
    place = _pick(BACKGROUNDS[scene.background], rng)
    return Caption(
        frame.format(subject=subject, place=place),
        kind=item.kind if has_kind else None,
        color=item.color if has_color else None,
        pattern=item.pattern if has_pattern else None,
        second_color=item.second_color if names_second else None,
        background=scene.background if has_place else None,
    )


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    """The name half of the time, else any of the wordings."""
    return words[0] if rng.random() < 0.5 else str(rng.choice(words))


def describe(item: Instance) -> str:
    """The instance's full noun phrase in its first wording."""
    return noun_phrase(item.kind, color=item.color, pattern=item.pattern, second_color=item.second_color)
