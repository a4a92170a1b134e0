"""What commands print: results on standard output, what else a person should know on standard error."""

import contextlib
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gair_search.gair.result import GairResult
    from gair_search.gallery import Hit
    from gair_search.images.folders import Skipped
    from gair_search.query.compiler import Query

EXIT_SKIPPED = 3
"""The exit code where some files were passed over."""

_SKIPPED_SHOWN = 20


class StoppedError(Exception):
    """Ctrl-C, and what became of the work as text."""


@contextlib.contextmanager
def if_interrupted(outcome: str) -> Iterator[None]:
    """Turn Ctrl-C into a message of what became of the work; also decorates a command.

    Raises:
        StoppedError: with `outcome`, in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError(outcome) from error


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=None if not sys.stdout.isatty() else 2))


def print_note(message: str) -> None:
    """What the user should know, on standard error."""
    typer.secho(f"note: {message}", fg="yellow", err=True)


def print_hits(hits: "list[Hit]") -> None:
    """Hits as a table for people; as lines of rank, score and path with tabs between them for a pipe."""
    if not hits:
        typer.echo("no hits: the gallery holds nothing that passes --where and --min-score")
        return
    if not sys.stdout.isatty():
        for hit in hits:
            typer.echo(f"{hit.rank}\t{hit.score:.4f}\t{hit.label}")
        return
    rows = [("rank", "score", "path")]
    rows += [(str(hit.rank), f"{hit.score:.3f}", printable(hit.label)) for hit in hits]
    header, *lines = align(rows, right={0, 1})
    typer.secho(header, dim=True)
    for line in lines:
        typer.echo(line)


def print_explanation(query: "Query") -> None:
    """Each token, its weight and its piece of the prompt; then the other terms of the query."""
    rows = [("token", "weight", "from")]
    for token in query.tokens:
        piece = query.prompt[token.start : token.end].strip()
        rows.append((printable(token.text), f"{token.weight:.2f}", printable(piece)))
    header, *lines = align(rows, right={1})
    typer.secho(header, dim=True)
    for token, line in zip(query.tokens, lines, strict=True):
        typer.secho(line, bold=token.weight > 1, dim=token.weight < 1)
    for factor, what in query.terms[1:]:
        typer.echo(f"{factor:+.2f} x {what}")
    typer.echo()


def print_quality(quality: dict[str, float] | None) -> None:
    """How good a custom token is, in words."""
    if not quality:
        return
    if "separation" in quality:
        photos = "1 photo" if quality["n_photos"] == 1 else f"{quality['n_photos']:.0f} photos"
        typer.echo(
            f"separation from the parent: {quality['separation']:.3f} (AUC on {photos} and "
            f"{quality['n_negatives']:.0f} negatives that were left out of learning; 0.5 is chance, 1 perfect)"
        )
    else:
        typer.echo(
            "separation from the parent: not measured (all photos were learned from; of 4, one is left out)"
        )
    typer.echo(f"composition: {quality['composition']:.2f} (lets a context through; 1 is as a word does)")


def print_candidates(result: "GairResult") -> None:
    """The candidates and their scores on standard error, the selected one marked."""
    for candidate in result.candidates:
        mark = "->" if candidate.mixing_weight == result.selected_weight else "  "
        scores = "no image of it counts" if candidate.excluded else "drawn as it is"
        if candidate.score is not None:
            scores = f"object {candidate.object_score:.3f}  context {candidate.context_score:.3f}"
            scores += "  (context images)" if candidate.context_only else ""
        typer.echo(f"{mark} w {candidate.mixing_weight:<5.3g}  {scores}", err=True)
    for warning in result.warnings:
        print_note(warning)


def print_skipped(skipped: Sequence["Skipped"], err: bool = False) -> None:
    """Files that were passed over, and why; `err`: on standard error."""
    for path, reason in skipped[:_SKIPPED_SHOWN]:
        typer.secho(f"  skipped {path}: {reason}", fg="yellow", err=err)
    if len(skipped) > _SKIPPED_SHOWN:
        typer.echo(f"  and {len(skipped) - _SKIPPED_SHOWN} more; --json lists them all", err=err)


def align(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines whose columns stand below each other, two spaces apart.

    Args:
        rows: of equal lengths, the header among them.
        right: numbers of the columns that are aligned to the right.
    """
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padding = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            space + cell if number in right else cell + space
            for number, (cell, space) in enumerate(zip(row, padding, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def display_width(text: str) -> int:
    """How many columns of a terminal a printable text takes: two for a wide character, as of Chinese."""
    from wcwidth import wcswidth

    return max(wcswidth(text), 0)


def printable(text: str) -> str:
    """Text of a file or a path without what would steer the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
