"""`gair learn`: photos into a custom token."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gair_search.cli import options, output
from gair_search.cli.progress import progress_bar

if TYPE_CHECKING:
    from gair_search.learning.joint import Losses
    from gair_search.learning.lessons import Lesson
    from gair_search.learning.several import Lessons


class Method(StrEnum):
    """Which losses count."""

    joint = "joint"
    prompt_tuning = "prompt-tuning"
    textual_inversion = "textual-inversion"


class PresetName(StrEnum):
    """Where the settings come from."""

    model = "model"
    paper = "paper"


@output.if_interrupted("nothing was learned yet, and nothing is kept")
def learn(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="What to call the concept, as my-dress.")
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO...", help="3 to 5 photos of the concept, or a folder of them."),
    ] = None,
    parent: options.Parent = None,
    multi: Annotated[
        Path | None,
        typer.Option(
            "--multi",
            metavar="FOLDER",
            help="Learn several concepts together instead, one folder of photos each, so that they are told apart.",
        ),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            metavar="ID",
            help="Learn from a stored point of the gallery or collection, in place of photos. May be repeated.",
        ),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            "--attributes",
            metavar="A,B,...",
            help="Adjectives that suit the parent. [default: those of 680 that are nearest to it]",
        ),
    ] = None,
    negatives: Annotated[
        str | None,
        typer.Option(
            "--negatives",
            metavar="gallery|generated|FOLDER",
            help="Where photos of the parent that are not the concept come from. "
            "[default: the gallery, else generated]",
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            "--method",
            help="Which losses count. [default: joint where the model has a generator, else prompt-tuning]",
        ),
    ] = None,
    preset: Annotated[
        PresetName,
        typer.Option(
            "--preset", help="Whose settings to take: the model's own, or the paper's for Stable Diffusion."
        ),
    ] = PresetName.model,
    vectors: Annotated[
        int | None, typer.Option("--vectors", metavar="N", min=1, max=60, help="Number of vectors to learn.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Number of steps to take.")
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            metavar="N",
            min=1,
            help="Number of dimensions of the attribute subspace. [default: all]",
        ),
    ] = None,
    projection: Annotated[
        bool,
        typer.Option(
            "--projection/--no-projection", help="Hold the vectors in the attribute subspace, or do not."
        ),
    ] = True,
    generator: options.Generator = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Seed of the learning: the same gives the same token.")
    ] = 0,
    hold_out: Annotated[
        bool,
        typer.Option(
            "--hold-out/--all-photos",
            help="Leave one photo in five out to choose the step on, and another to measure the token on "
            "(of four photos, the latter alone); or learn from all of them.",
        ),
    ] = True,
    force: options.Force = False,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    collection: options.Collection = None,
    vector: options.VectorName = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Learn a custom token from 3 to 5 photos of one thing.

    gair learn my-dress dress1.jpg dress2.jpg dress3.jpg --parent dress

    gair query 'a <my-dress> dress on a brick wall'

    Ctrl-C ends the learning early and keeps the best token so far.
    """
    if (multi is None) == (name is None):
        raise typer.BadParameter("expected NAME PHOTO... --parent WORD, or --multi FOLDER")
    if multi is None and not ((photos or points) and parent):
        raise typer.BadParameter(
            "expected photos of the concept, and --parent: what it is a kind of, as dress"
        )
    changes: dict[str, Any] = {"n_vectors": vectors, "steps": steps, "rank": rank}
    if not projection:
        changes["projection"] = False
    how: dict[str, Any] = {
        "method": None if method is None else method.value.replace("-", " "),
        "paper": preset is PresetName.paper,
        "changes": {key: value for key, value in changes.items() if value is not None},
        "seed": seed,
        "hold_out": hold_out,
        "overwrite": force,
    }
    with (
        options.open_engine(model, gallery, db, url, device, generator, collection, vector) as engine,
        progress_bar("learning", quiet=as_json, unit="steps") as on_progress,
    ):
        if multi is not None:
            together = engine.learn_together(multi, **how, on_progress=on_progress)
        else:
            lesson = engine.learn(
                name or "",
                *(photo.expanduser() for photo in photos or ()),
                parent=parent or "",
                points=[int(point) if point.isdecimal() else point for point in points or ()],
                attributes=attributes,
                negatives=_read_negatives(negatives),
                on_look=lambda look: on_progress(look.step, look.steps, _losses(look)),
                **how,
            )
    if multi is not None:
        _report_together(together, as_json)
        skipped = together.skipped
    else:
        _report(lesson, engine.tokens.path(lesson.token.name), as_json)
        skipped = lesson.skipped
    if skipped:
        raise typer.Exit(output.EXIT_SKIPPED)


def _read_negatives(typed: str | None) -> Any:
    """Where negatives come from, as the library takes it: a folder is a path object there."""
    return typed if typed in (None, "gallery", "generated") else Path(typed or "").expanduser()


def _losses(look: "Losses") -> str:
    """What a look shows beside the bar."""
    shown = {"l_SD": look.diffusion, "l_CE": look.classification, "held out": look.held_out}
    return "  ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)


def _report_together(learned: "Lessons", as_json: bool) -> None:
    names = [token.name for token in learned.tokens]
    if as_json:
        skipped = [skipped._asdict() for skipped in learned.skipped]
        output.print_json({"concepts": names, "accuracy": learned.accuracy, "skipped": skipped})
        return
    output.print_skipped(learned.skipped)
    typer.echo(f"{len(names)} concepts are learned together: {', '.join(f'<{name}>' for name in names)}")
    if learned.accuracy is None:
        typer.echo(
            "told apart: not measured (all photos were learned from; of 4 of a concept, one is left out)"
        )
    else:
        typer.echo(
            f"told apart: {learned.accuracy:.3f} of the photos left out of learning (chance is {1 / len(names):.3f})"
        )
    typer.echo(f"search with them: gair query 'a photo of a <{names[0]}>'")


def _report(lesson: "Lesson", file: Path, as_json: bool) -> None:
    from gair_search.learning.report import describe, read_quality

    token, learned = lesson.token, lesson.learned
    facts = {**describe(token), "quality": read_quality(token)}
    if as_json:
        facts |= {
            "file": str(file),
            "best_step": learned.step,
            "stopped": learned.stopped,
            "losses": [vars(look) for look in learned.losses],
            "skipped": [skipped._asdict() for skipped in lesson.skipped],
        }
        output.print_json(facts)
        return
    output.print_skipped(lesson.skipped)
    stopped = " (stopped early)" if learned.stopped else ""
    last = learned.losses[-1]
    chosen = f", the best of them {learned.step}" if last.held_out is not None else ""
    typer.echo(
        f"<{token.name}> is learned by {token.facts['method']}: {len(token.vectors)} vectors, "
        f"{last.step} steps{chosen}{stopped}"
    )
    output.print_quality(read_quality(token))
    typer.echo(f"search with it: gair query 'a photo of a <{token.name}> {token.parent}'")
