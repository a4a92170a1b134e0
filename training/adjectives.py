"""The shipped vocabulary of attributes: what WordNet knows of adjectives that a photo can show.

    python -m training.adjectives [--target gair_search/learning/adjectives.txt]

WordNet ties the heads of its adjective clusters to the nouns that they are values of (`red` to color, `tiny` to
size). Kept are the clusters of what is seen, and of these the single words that its tagged texts use; the
commonest come first.
"""

from __future__ import annotations

import argparse
import collections
import re
from pathlib import Path

from training.wordnet import ROOT

SEEN = frozenset(
    [
        "beauty",
        "attractiveness",
        "light",
        "luminosity",
        "hue",
        "value",
        "color",
        "cleanness",
        "clarity",
        "opacity",
        "depth",
        "sharpness",
        "liveliness",
        "dullness",
        "evenness",
        "curliness",
        "freshness",
        "staleness",
        "hardness",
        "weight",
        "height",
        "temperature",
        "size",
        "length",
        "age",
        "modernity",
        "naturalness",
        "ordinariness",
        "purity",
        "regularity",
        "complexity",
        "texture",
        "solidity",
        "shape",
        "thickness",
        "consistency",
        "wetness",
        "width",
        "conspicuousness",
        "breakableness",
        "formality",
        "integrity",
    ]
)
"""Nouns whose values can be seen, or are told from what is seen."""

HEADS = frozenset(["patterned", "adorned", "worn", "rough", "smooth", "artificial"])
"""Clusters that WordNet ties to no noun."""

LEFT_OUT = frozenset(["pubescent", "prepubescent", "schoolgirlish", "girlish", "virgin", "nubile"])

_WORD = re.compile("[a-z]{3,14}")
_SIMILAR, _VALUE_OF = "&", "="


def _pointers(fields: list[str]) -> list[tuple[str, str]]:
    """(symbol, offset) of a line of WordNet's data files (wndb(5WN))."""
    start = 5 + 2 * int(fields[3], 16)
    return [(fields[i], fields[i + 1]) for i in range(start, start + 4 * int(fields[start - 1]), 4)]


def _lines(part: str, root: Path) -> dict[str, list[str]]:
    """Offset -> fields before the definition."""
    lines = (root / f"data.{part}").read_text("utf-8").splitlines()
    rows = [line.partition("|")[0].split() for line in lines if not line.startswith("  ")]
    return {row[0]: row for row in rows}


def _words(fields: list[str]) -> list[str]:
    words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
    return [word.partition("(")[0].lower() for word in words]


def uses(root: Path = ROOT) -> collections.Counter[str]:
    """How often WordNet's tagged texts use a word as an adjective."""
    found: collections.Counter[str] = collections.Counter()
    for line in (root / "cntlist.rev").read_text("utf-8").splitlines():
        key, _, count = line.split()
        lemma, _, sense = key.partition("%")
        if sense[0] in "35":
            found[lemma] += int(count)
    return found


def adjectives(root: Path = ROOT) -> list[str]:
    """The vocabulary, commonest first."""
    nouns, rows, counts = _lines("noun", root), _lines("adj", root), uses(root)
    found: set[str] = set()
    for fields in rows.values():
        pointers = _pointers(fields)
        values = {nouns[offset][4] for symbol, offset in pointers if symbol == _VALUE_OF and offset in nouns}
        if not (values & SEEN or (HEADS & set(_words(fields)) and fields[2] == "a")):
            continue
        cluster = [rows[offset] for symbol, offset in pointers if symbol == _SIMILAR]
        found |= {word for row in (fields, *cluster) for word in _words(row)}
    kept = [word for word in found - LEFT_OUT if _WORD.fullmatch(word) and counts[word]]
    return sorted(kept, key=lambda word: (-counts[word], word))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=Path("gair_search/learning/adjectives.txt"))
    target = parser.parse_args().target
    words = adjectives()
    head = "# Adjectives of what a photo can show, from WordNet 3.0 (WordNet licence, see NOTICE); commonest first.\n"
    target.write_text(head + "\n".join(words) + "\n", "utf-8")


if __name__ == "__main__":
    main()
