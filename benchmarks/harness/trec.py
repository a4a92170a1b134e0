"""Runs and qrels as TREC files, which ir-measures and trec_eval read."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from gair_search.paths import write_atomically

Run = Mapping[str, Mapping[str, float]]
"""Query id -> image id -> score."""

Qrels = Mapping[str, Mapping[str, int]]
"""Query id -> image id -> 1 where it is relevant; others may be left out."""


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write `query Q0 image rank score tag`, best first. Blanks in ids are written as %20."""
    lines = []
    for query, scores in run.items():
        best = sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)
        lines += [
            f"{_trec_column(query)} Q0 {_trec_column(image)} {rank} {score!r} {_trec_column(tag)}"
            for rank, (image, score) in enumerate(best, start=1)
        ]
    _write(path, lines)


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write `query 0 image relevance`."""
    _write(
        path,
        [
            f"{_trec_column(query)} 0 {_trec_column(image)} {relevance}"
            for query, images in qrels.items()
            for image, relevance in images.items()
        ],
    )


def _trec_column(text: str) -> str:
    """A TREC column: no blanks; other signs as they are."""
    return quote(text, safe="/:;,.+-_=#()<>*'!?&@~[]|", encoding="utf-8")


def _write(path: Path, lines: list[str]) -> None:
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
