"""`gair explain`: which words of a prompt weigh how much, as typed or as learned from images."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gair_search.cli import common

if TYPE_CHECKING:
    from gair_search.cli.pages.shading import ShadedGroup
    from gair_search.engine import Engine
    from gair_search.indexer.explain import ExplainReport


def explain(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", help="A query, quoted; @FILE or - read it from a file or stdin."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--learn", metavar="DIR", help="Learn the weights: one folder of images a class."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="JSON: {class: [prompts]}, plain text. With --learn."),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            help="Prompt of classes without their own, {} for the name; may be repeated. "
            "[default: a photo of a {}]",
        ),
    ] = None,
    whole_words: Annotated[
        bool,
        typer.Option("--whole-words", help="One weight a word, not one a BPE piece: fits any query exactly."),
    ] = False,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="R", help="Of Adam; 0.01 for hundreds of classes.")
    ] = 0.05,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Times through the images. [default: 100 up to 4 images a class, else 200]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of the images.")] = 0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep what was learned, as JSON.")
    ] = None,
    concept: Annotated[
        str | None, typer.Option("--concept", metavar="NAME", help="The custom token that * stands for.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")
    ] = None,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, max=256, help="Decoding processes. [default: by cores]")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Show how a prompt is read, or learn which of its words tell your images apart.

    gair explain 'a (red:1.5) dress on a [wall]'

    gair explain --learn photos/ --html words.html
    """
    if (prompt is None) == (folder is None):
        raise typer.BadParameter("give a PROMPT, or --learn with a folder of images a class")
    if folder is None and (prompts or template or save):
        raise typer.BadParameter("--prompts, --template and --save go with --learn")
    with common.open_engine(model, gallery, db, url, device) as engine:
        if prompt is not None:
            _explain_prompt(engine, common.read_prompt(prompt), concept, html, as_json)
            return
        assert folder is not None
        from gair_search.indexer.explain import read_prompts
        from gair_search.learning.token_weights import Preset

        own = read_prompts(prompts) if prompts else None
        with common.progress(as_json) as progress:
            reading = progress.add_task("reading images", total=None, note="")
            learning = progress.add_task("learning", total=None, note="", visible=False)
            report = engine.explain(
                folder,
                own,
                templates=template or (),
                preset=Preset(learning_rate, epochs, whole_words=whole_words),
                seed=seed,
                workers=workers,
                on_progress=lambda done, total, note="": progress.update(
                    reading, completed=done, total=total, note=note
                ),
                on_epoch=lambda done, total, note="": progress.update(
                    learning, completed=done, total=total, note=note, visible=True
                ),
            )
    if save:
        report.weights.save(save)
    _show_report(report, engine.model, html, save, as_json)
    if report.skipped:
        raise typer.Exit(common.EXIT_SKIPPED)


def _explain_prompt(
    engine: "Engine", prompt: str, concept: str | None, html: Path | None, as_json: bool
) -> None:
    """A prompt as it was read: shaded, then token by token."""
    from gair_search.cli.pages.shading import print_shaded, shaded_query

    query = engine.compile(prompt, concept=concept)
    groups = shaded_query(query)
    if html:
        from gair_search.cli.pages.page import write_explanation

        write_explanation(html, prompt, [engine.model], groups)
    if as_json:
        common.print_json({"model": engine.model, **query.explanation()})
        return
    if sys.stdout.isatty():
        console = common.console()
        print_shaded(console, groups[0].prompts[0])
        console.print()
    common.print_explanation(query)
    if html:
        typer.echo(f"page: {html}")


def _show_report(
    report: "ExplainReport", model: str, html: Path | None, save: Path | None, as_json: bool
) -> None:
    """What was learned, for people, for a pipe, or for a program."""
    from gair_search.cli.pages.shading import shaded_report

    groups = shaded_report(report)
    images = sum(map(len, report.images.values()))
    said = (
        f"{images} images of {len(groups)} classes; of these the plain prompts classify "
        f"{report.accuracy_before:.1%}, the weighted ones {report.accuracy:.1%}"
    )
    if html:
        from gair_search.cli.pages.page import write_explanation

        lines = [
            said,
            "The darker a word, the greater the share of its prompt's weight; the numbers are the weights "
            "themselves, 1 where a word counts as usual.",
            f"{model} · {report.weights.facts['epochs']} epochs",
        ]
        write_explanation(html, "Which words tell the classes apart", lines, groups)
    if as_json:
        common.print_json({"model": model, **report.to_json()})
        return
    _print_groups(groups)
    piped = not sys.stdout.isatty()
    typer.echo(f"{said} ({report.seconds:.1f} s)", err=piped)
    common.print_skipped(report.skipped, err=piped)
    for what, file in (("page", html), ("saved", save)):
        if file:
            typer.echo(f"{what}: {file}", err=piped)


def _print_groups(groups: "list[ShadedGroup]") -> None:
    """Shaded text for people; for a pipe lines of class, tokens with weights, and query, with tabs between."""
    from gair_search.cli.pages.shading import print_shaded

    if not sys.stdout.isatty():
        for group in groups:
            for prompt in group.prompts:
                tokens = " ".join(f"{token.text}:{token.weight:.4g}" for token in prompt.tokens)
                typer.echo(f"{group.name}\t{tokens}\t{prompt.query}")
        return
    console = common.console()
    for group in groups:
        console.print(f"{group.name}  ({len(group.images)} images)", style="bold")
        for prompt in group.prompts:
            print_shaded(console, prompt)
            about = "" if prompt.exact else "  (about: pieces of a word share their mean)"
            console.print(prompt.query + about, style="dim", soft_wrap=True)
        console.print()
