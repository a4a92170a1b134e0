"""Options that several commands share, and how an engine is opened for them."""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gair_search.engine import Engine
    from gair_search.gallery import Hit

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="gair-mini, ARCHITECTURE/TAG, ARCHITECTURE:FILE, local-dir:FOLDER or hf-hub:REPO. "
        "[default: GAIR_MODEL, else the gallery's, else the best on this machine]",
    ),
]
GalleryName = Annotated[
    str | None, typer.Option("--gallery", metavar="NAME", help="Which gallery. [default: photos]")
]
Db = Annotated[
    Path | None,
    typer.Option("--db", metavar="FOLDER", help="Folder of an embedded gallery. [default: under GAIR_HOME]"),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Qdrant server, as http://localhost:6333. [default: GAIR_URL; its key: GAIR_API_KEY]",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1 or mps. [default: the best]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the hits as one self-contained page.")
]
K = Annotated[int, typer.Option("-k", min=1, max=10_000, metavar="N", help="How many hits.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Filter, as 'taken_at>2020-01-01 and path~holiday/'. Fields: path, format, content_hash, "
        "width, height, size, taken_at.",
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=-1, max=1, metavar="S", help="Lowest cosine similarity to show."),
]


def open_engine(
    model: str | None, gallery: str | None, db: Path | None, url: str | None, device: str | None
) -> "Engine":
    """Open an engine for a command, and say on standard error which model was taken."""
    warnings.filterwarnings("ignore")  # other libraries' advice to their programmers
    from gair_search.engine import Engine
    from gair_search.models import BUNDLED, PREFERRED

    engine = Engine.open(model, gallery=gallery, db=db, url=url, device=device)
    hint = f" (bundled); a better one: gair models pull {PREFERRED[0]}" if engine.model == BUNDLED else ""
    typer.secho(f"model: {engine.model}{hint}", fg="bright_black", err=True)
    return engine


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=None if not sys.stdout.isatty() else 2))


def print_hits(hits: "list[Hit]") -> None:
    """Hits as a table for people; as lines of rank, score and path with tabs between them for a pipe."""
    from rich.console import Console
    from rich.table import Table

    if not hits:
        typer.echo("no hits: the gallery holds nothing that passes --where and --min-score")
        return
    if not sys.stdout.isatty():
        for hit in hits:
            typer.echo(f"{hit.rank}\t{hit.score:.4f}\t{hit.path}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("path", overflow="fold")
    for hit in hits:
        table.add_row(str(hit.rank), f"{hit.score:.3f}", hit.path)
    Console(markup=False, highlight=False, emoji=False).print(table)


def print_quality(found: dict[str, float] | None) -> None:
    """How good a custom token is, in words."""
    if not found:
        return
    typer.echo(
        f"separation from the parent: {found['separation']:.3f} (AUC on held-out views and negatives; "
        f"0.5 is chance, 1 perfect)"
    )
    typer.echo(f"composition: {found['composition']:.2f} (lets a context through; 1 is as a word does)")
