"""WordNet 3.0's nouns and adjectives, read from its own database files (wndb(5WN))."""

from __future__ import annotations

import collections
import dataclasses
import functools
from pathlib import Path

ROOT = Path("/usr/share/wordnet")
"""Where Debian's `wordnet-base` puts them."""

PHYSICAL = frozenset({5, 6, 8, 13, 15, 17, 18, 19, 20, 25, 27})
"""Lexicographer files of what a camera can see: animals, artifacts, bodies, food, places,
natural objects, people, phenomena, plants, shapes and substances."""

_POINTER_HYPERNYM = "@"


@dataclasses.dataclass(frozen=True)
class Synset:
    """A set of synonyms.

    Attributes:
        offset: its place in the data file; with an `n` before it, ImageNet's id of a noun.
        lexfile: number of its lexicographer file.
        lemmas: its words, the commonest first, with spaces.
        hypernyms: offsets of what it is a kind of.
        gloss: its definition, without the examples.
    """

    offset: str
    lexfile: int
    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]
    gloss: str


@functools.cache
def synsets(part: str = "noun", root: Path = ROOT) -> dict[str, Synset]:
    """Offset -> synset of one part of speech, `noun` or `adj`.

    Raises:
        FileNotFoundError: WordNet is not installed below `root`.
    """
    found = {}
    for line in (root / f"data.{part}").read_text("utf-8").splitlines():
        if line.startswith("  "):  # the licence at the head of the file
            continue
        fields, _, gloss = line.partition(" | ")
        offset, lexfile, _, n_words, *rest = fields.split()
        end = 2 * int(n_words, 16)
        lemmas = tuple(word.partition("(")[0].replace("_", " ") for word in rest[:end:2])
        pointers = rest[end + 1 :]
        hypernyms = tuple(
            pointers[i + 1] for i, symbol in enumerate(pointers[:-1]) if symbol == _POINTER_HYPERNYM
        )
        definition = gloss.split(';  "')[0].split('; "')[0].strip()
        found[offset] = Synset(offset, int(lexfile), lemmas, hypernyms, definition)
    return found


def hypernym_path(offset: str) -> list[Synset]:
    """The synset and what it is a kind of, from the nearest to the root, first parents only."""
    nouns, path = synsets(), []
    at: str | None = offset
    while at:
        path.append(nouns[at])
        at = nouns[at].hypernyms[0] if nouns[at].hypernyms else None
    return path


@functools.cache
def tag_counts(root: Path = ROOT) -> dict[str, int]:
    """Lemma -> how often its physical noun senses occur in WordNet's tagged texts."""
    counts: collections.Counter[str] = collections.Counter()
    for line in (root / "cntlist.rev").read_text("utf-8").splitlines():
        key, _, count = line.split()
        lemma, _, sense = key.partition("%")
        part, lexfile = sense.split(":")[:2]
        if part == "1" and int(lexfile) in PHYSICAL:
            counts[lemma.replace("_", " ")] += int(count)
    return dict(counts)
