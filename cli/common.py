"""Options that several commands share, and how an engine is opened for them."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gair_search.errors import GairError, PromptError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from gair_search.engine import Engine
    from gair_search.gair.algorithm import GairOptions
    from gair_search.gair.drawing import GairResult
    from gair_search.gallery import Hit
    from gair_search.images.folders import Skipped
    from gair_search.progress import Progress as OnProgress
    from gair_search.query.compiler import Query

N = TypeVar("N", int, float)

EXIT_SKIPPED = 3
_SHOWN = 20

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
Concept = Annotated[
    str | None, typer.Option("--concept", metavar="NAME", help="The custom token that * stands for.")
]
Generator = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="FOLDER|NAME",
        help="What draws: a Stable Diffusion 1.x folder, or a repository in Hugging Face's cache. "
        "[default: the model's own]",
    ),
]
MixingWeight = Annotated[
    float | None,
    typer.Option(
        "--w", min=0, max=1, metavar="W", help="GAIR's mixing weight by hand; 1 is the plain query."
    ),
]
Candidates = Annotated[
    str | None,
    typer.Option(
        "--candidates",
        metavar="W,W,...",
        help="GAIR's candidate weights, and no others. [default: 0.6,0.8,1, then around the best]",
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seed", "--seeds", metavar="N,...", help="Of the images; one a candidate each. [default: 0,1]"
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="NAME", help="ddim, dpm++ or lcm. [default: dpm++, or as trained for]"
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, metavar="N", help="Of denoising. [default: the scheduler's]")
]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", min=0, metavar="X", help="Classifier-free guidance. [default: 5]"),
]
Attributes = Annotated[
    str | None,
    typer.Option(
        "--attributes",
        metavar="A,A,...",
        help="What stands for the concept at w = 0. [default: the token's own]",
    ),
]
ConceptImages = Annotated[
    list[Path] | None,
    typer.Option(
        "--concept-image",
        metavar="FILE",
        help="To compare images with. [default: what the token's file says]",
    ),
]


def open_engine(
    model: str | None,
    gallery: str | None,
    db: Path | None,
    url: str | None,
    device: str | None,
    generator: str | None = None,
) -> "Engine":
    """Open an engine for a command, and say on standard error which model was taken."""
    warnings.filterwarnings("ignore")  # other libraries' advice to their programmers
    from gair_search.encoder.models import BUNDLED, PREFERRED
    from gair_search.engine import Engine

    engine = Engine.open(model, gallery=gallery, db=db, url=url, device=device, generator=generator)
    hint = f" (bundled); a better one: gair models pull {PREFERRED[0]}" if engine.model == BUNDLED else ""
    typer.secho(f"model: {engine.model}{hint}", fg="bright_black", err=True)
    return engine


def read_prompt(prompt: str) -> str:
    """The prompt itself, or what `@FILE` and `-` point to. Raises PromptError where that can't be read."""
    try:
        if prompt == "-":
            return sys.stdin.read().strip()
        if prompt.startswith("@"):
            return Path(prompt[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the prompt can't be read from {prompt}: {error}", prompt) from error
    return prompt


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=None if not sys.stdout.isatty() else 2))


def print_hits(hits: "list[Hit]") -> None:
    """Hits as a table for people; as lines of rank, score and path with tabs between them for a pipe."""
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
    console().print(table)


def print_quality(found: dict[str, float] | None) -> None:
    """How good a custom token is, in words."""
    if not found:
        return
    typer.echo(
        f"separation from the parent: {found['separation']:.3f} (AUC on held-out views and negatives; "
        f"0.5 is chance, 1 perfect)"
    )
    typer.echo(f"composition: {found['composition']:.2f} (lets a context through; 1 is as a word does)")


def gair_options(
    w: float | None,
    candidates: str | None,
    seeds: str | None,
    scheduler: str | None,
    steps: int | None,
    guidance: float | None,
    attributes: str | None,
    concept_images: Sequence[Path] | None,
) -> "GairOptions":
    """GAIR's options as they were typed. Raises GairError where a list can't be read."""
    from gair_search.gair.algorithm import GairOptions
    from gair_search.generation.generator import Sampling

    defaults = Sampling()
    return GairOptions(
        w=w,
        candidates=None if candidates is None else _numbers(candidates, float, "--candidates 0,0.5,1"),
        seeds=GairOptions.seeds if seeds is None else _numbers(seeds, int, "--seeds 0,1,2"),
        sampling=Sampling(scheduler, steps, defaults.guidance if guidance is None else guidance),
        attributes=tuple(words(attributes)),
        concept_images=tuple(concept_images or ()),
    )


def note(message: str) -> None:
    """What the user should know, on standard error."""
    typer.secho(f"note: {message}", fg="yellow", err=True)


def print_candidates(seen: "GairResult") -> None:
    """The candidates and their scores on standard error, the selected one marked."""
    for one in seen.candidates:
        mark = "->" if one.w == seen.selected_weight else "  "
        scores = "no image of it counts" if one.excluded else "drawn as it is"
        if one.score is not None:
            scores = f"object {one.object_score:.3f}  context {one.context_score:.3f}"
            scores += "  (context images)" if one.context_only else ""
        typer.echo(f"{mark} w {one.w:<5.3g}  {scores}", err=True)
    for warning in seen.warnings:
        note(warning)


def _numbers(text: str, kind: type[N], example: str) -> tuple[N, ...]:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        raise GairError(
            f'"{text}" can\'t be read as numbers with commas between them, as {example}'
        ) from None


def words(text: str | None) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def console() -> "Console":
    """Standard output for people; text is shown as it is."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def progress(quiet: bool = False, transient: bool = False) -> "Progress":
    """Progress bars on standard error, where a person looks on; a task has a field `note`.

    Args:
        quiet: none at all.
        transient: gone when all is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=shown,
        disable=quiet or not shown.is_terminal,
        transient=transient,
    )


@contextlib.contextmanager
def counting(what: str, quiet: bool = False, transient: bool = False) -> Iterator["OnProgress"]:
    """A single bar of `progress`, as a function of what is done and what there is to do."""
    with progress(quiet, transient) as bars:
        task = bars.add_task(what, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=note)

        yield show


def print_skipped(skipped: Sequence["Skipped"], err: bool = False) -> None:
    """Files that were passed over, and why; `err`: on standard error."""
    for path, reason in skipped[:_SHOWN]:
        typer.secho(f"  skipped {path}: {reason}", fg="yellow", err=err)
    if len(skipped) > _SHOWN:
        typer.echo(f"  and {len(skipped) - _SHOWN} more; --json lists them all", err=err)


def print_explanation(compiled: "Query") -> None:
    """Each token, its weight and its piece of the prompt."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("token", "weight", "from"):
        table.add_column(column, justify="right" if column == "weight" else "left")
    for token in compiled.tokens:
        piece = compiled.prompt[token.start : token.end].strip()
        style = "bold" if token.weight > 1 else "dim" if token.weight < 1 else ""
        table.add_row(token.text, f"{token.weight:.2f}", piece, style=style)
    out = console()
    out.print(table)
    for factor, what in compiled.terms[1:]:
        out.print(f"{factor:+.2f} x {what}")
    out.print()
