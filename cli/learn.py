"""`gair learn`: photos into a custom token."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from gair_search.cli import common

if TYPE_CHECKING:
    from gair_search.tokens.learn import Losses
    from gair_search.tokens.lessons import Lesson

EXIT_SKIPPED = 3


class Method(StrEnum):
    """Which losses count."""

    joint = "joint"
    prompt_tuning = "prompt-tuning"
    textual_inversion = "textual-inversion"


class Preset(StrEnum):
    """Where the settings come from."""

    model = "model"
    paper = "paper"


def learn(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the concept, as my-dress.")],
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="3 to 5 photos of it, or a folder of them.")
    ],
    parent: Annotated[str, typer.Option("--parent", metavar="WORD", help="What it is a kind of, as dress.")],
    attributes: Annotated[
        str | None,
        typer.Option(
            "--attributes",
            metavar="A,B,...",
            help="Adjectives that suit the parent. [default: those nearest to it, of 680]",
        ),
    ] = None,
    negatives: Annotated[
        str | None,
        typer.Option(
            "--negatives",
            metavar="gallery|generated|FOLDER",
            help="Photos of the parent that are not the concept. [default: the gallery's, else generated]",
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option("--method", help="[default: joint where the model has a generator, else prompt-tuning]"),
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option("--preset", help="The model's own settings, or the paper's for Stable Diffusion."),
    ] = Preset.model,
    vectors: Annotated[
        int | None, typer.Option("--vectors", min=1, max=60, help="How many to learn.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="How many steps to take.")] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="Dimensions of the attribute subspace. [default: all]")
    ] = None,
    projection: Annotated[
        bool, typer.Option("--projection/--no-projection", help="Hold the vectors in the attribute subspace.")
    ] = True,
    generator: common.Generator = None,
    seed: Annotated[int, typer.Option("--seed", help="The same gives the same token.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a concept of the same name.")] = False,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    as_json: common.Json = False,
) -> None:
    """Learn a custom token from 3 to 5 photos of one thing.

    gair learn my-dress dress1.jpg dress2.jpg dress3.jpg --parent dress

    gair query 'a <my-dress> dress on a brick wall'

    Ctrl-C ends the learning early and keeps the best token so far.
    """
    changes: dict[str, Any] = {"n_vectors": vectors, "steps": steps, "rank": rank}
    if not projection:
        changes["projection"] = False
    with common.open_engine(model, gallery, db, url, device, generator) as engine:
        if not force:
            engine.tokens.require_free(name)
        with _progress(as_json) as on_look:
            lesson = engine.learn(
                name,
                *photos,
                parent=parent,
                attributes=attributes,
                negatives=negatives,
                method=None if method is None else method.replace("-", " "),  # type: ignore[arg-type]
                paper=preset is Preset.paper,
                changes={key: value for key, value in changes.items() if value is not None},
                seed=seed,
                overwrite=force,
                on_look=on_look,
            )
        file = engine.tokens.path(name)
    _report(lesson, file, as_json)
    if lesson.skipped:
        raise typer.Exit(EXIT_SKIPPED)


class _progress:  # noqa: N801 - a context manager that reads as a function
    """A bar with both losses, on a terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (
            TextColumn("learning"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task("learn", total=None, losses="")

    def __enter__(self) -> Any:
        self._bar.start()
        return self._look

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def _look(self, look: "Losses") -> None:
        shown = {"l_SD": look.diffusion, "l_CE": look.classification, "held out": look.held_out}
        losses = "  ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
        self._bar.update(self._task, completed=look.step, total=look.steps, losses=losses)


def _report(lesson: "Lesson", file: Path, as_json: bool) -> None:
    from gair_search.tokens.report import describe, measured

    token, learned = lesson.token, lesson.learned
    facts = {**describe(token), "quality": measured(token)}
    if as_json:
        facts |= {
            "file": str(file),
            "best_step": learned.step,
            "stopped": learned.stopped,
            "losses": [vars(look) for look in learned.losses],
            "skipped": [{"path": str(path), "reason": reason} for path, reason in lesson.skipped],
        }
        common.print_json(facts)
        return
    for path, reason in lesson.skipped:
        typer.secho(f"  skipped {path}: {reason}", fg="yellow")
    stopped = " (stopped early)" if learned.stopped else ""
    typer.echo(
        f"<{token.name}> is learned by {token.facts['method']}: {len(token.vectors)} vectors, "
        f"the best of {learned.losses[-1].step} steps is {learned.step}{stopped}"
    )
    common.print_quality(measured(token))
    typer.echo(f"search with it: gair query 'a photo of a <{token.name}> {token.parent}'")
