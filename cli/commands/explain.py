"""`gair explain`: which words of a prompt weigh how much, as typed or as learned from images."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gair_search.cli import options, output
from gair_search.cli.progress import progress_bar

if TYPE_CHECKING:
    from gair_search.cli.pages.shading import ShadedGroup, ShadedPrompt
    from gair_search.engine import Engine
    from gair_search.indexer.explain import ExplainReport


def explain(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]", help="The query, quoted; @FILE reads it from a file, - from standard input."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--learn",
            metavar="DIR",
            help="Learn token weights from this folder, which holds one folder of images a class.",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="With --learn: a JSON file of each class's prompts, {class: [prompts]}, in plain text.",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            help="With --learn: prompt of a class that has none of its own, {} for its name; may be repeated. "
            "[default: a photo of a {}]",
        ),
    ] = None,
    whole_words: Annotated[
        bool,
        typer.Option(
            "--whole-words", help="Learn one weight a word, not one a BPE piece; these fit any query exactly."
        ),
    ] = False,
    learning_rate: Annotated[
        float,
        typer.Option(
            "--learning-rate", metavar="R", help="Learning rate of Adam; 0.01 suits hundreds of classes."
        ),
    ] = 0.05,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of times through the images. [default: 100 up to 4 images a class, else 200]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the order in which images are taken.")] = 0,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="With --learn: write what was learned to a JSON file."),
    ] = None,
    concept: options.Concept = None,
    html: options.Page = None,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    device: options.Device = None,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Show how a prompt is read, or learn which of its words tell your images apart.

    gair explain 'a (red:1.5) dress on a [wall]'

    gair explain --learn photos/ --html words.html
    """
    if (prompt is None) == (folder is None):
        raise typer.BadParameter("give a PROMPT, or --learn with a folder of images a class")
    if folder is None and (prompts or template or save):
        raise typer.BadParameter("--prompts, --template and --save go with --learn")
    with options.open_engine(model, gallery, db, url, device) as engine:
        if prompt is not None:
            _explain_prompt(engine, options.read_prompt(prompt), concept, html, as_json)
            return
        assert folder is not None
        from gair_search.indexer.explain import TEMPLATE, read_prompts
        from gair_search.learning.stori import TokenWeightsConfig

        own = read_prompts(prompts) if prompts else None
        with (
            progress_bar("reading images", quiet=as_json, unit="images") as on_progress,
            progress_bar("learning", quiet=as_json, unit="epochs", on_first_call=True) as on_epoch,
        ):
            report = engine.explain(
                folder,
                own,
                templates=template or (TEMPLATE,),
                preset=TokenWeightsConfig(learning_rate, epochs, whole_words=whole_words),
                seed=seed,
                workers=workers,
                on_progress=on_progress,
                on_epoch=on_epoch,
            )
    if save:
        report.weights.save(save)
    _show_report(report, engine.model, html, save, as_json)
    if report.skipped:
        raise typer.Exit(output.EXIT_SKIPPED)


def _explain_prompt(
    engine: "Engine", prompt: str, concept: str | None, html: Path | None, as_json: bool
) -> None:
    """A prompt as it was read: shaded, then token by token."""
    from gair_search.cli.pages.shading import shaded_query

    query = engine.compile(prompt, concept=concept)
    groups = shaded_query(query)
    if html:
        from gair_search.cli.pages.explanation import write_explanation

        write_explanation(html, prompt, [engine.model], groups)
    if as_json:
        output.print_json({"model": engine.model, **query.explanation()})
        return
    if sys.stdout.isatty():
        _print_shaded(groups[0].prompts[0])
        typer.echo()
    output.print_explanation(query)
    if html:
        typer.echo(f"page: {html}")


def _show_report(
    report: "ExplainReport", model: str, html: Path | None, save: Path | None, as_json: bool
) -> None:
    """What was learned, for people, for a pipe, or for a program."""
    from gair_search.cli.pages.shading import shaded_report

    groups = shaded_report(report)
    images = sum(map(len, report.images.values()))
    summary = (
        f"{images} images of {len(groups)} classes; of these the plain prompts classify "
        f"{report.accuracy_before:.1%}, the weighted ones {report.accuracy:.1%}"
    )
    if html:
        from gair_search.cli.pages.explanation import write_explanation

        lines = [
            summary,
            "The darker a word, the greater the share of its prompt's weight; the numbers are the weights "
            "themselves, 1 where a word counts as usual.",
            f"{model} · {report.weights.facts['epochs']} epochs",
        ]
        write_explanation(html, "Which words tell the classes apart", lines, groups)
    if as_json:
        output.print_json({"model": model, **report.to_json()})
        return
    _print_groups(groups)
    piped = not sys.stdout.isatty()
    typer.echo(f"{summary} ({report.seconds:.1f} s)", err=piped)
    output.print_skipped(report.skipped, err=piped)
    for what, file in (("page", html), ("saved", save)):
        if file:
            typer.echo(f"{what}: {file}", err=piped)


def _print_groups(groups: "list[ShadedGroup]") -> None:
    """Shaded text for people; for a pipe lines of class, tokens with weights, and query, with tabs between."""
    if not sys.stdout.isatty():
        for group in groups:
            for prompt in group.prompts:
                tokens = " ".join(f"{token.text}:{token.weight:.4g}" for token in prompt.tokens)
                typer.echo(f"{group.name}\t{tokens}\t{prompt.query}")
        return
    for group in groups:
        typer.secho(f"{group.name}  ({len(group.images)} images)", bold=True)
        for prompt in group.prompts:
            _print_shaded(prompt)
            about = "" if prompt.exact else "  (about: pieces of a word share their mean)"
            typer.secho(prompt.query + about, dim=True)
        typer.echo()


def _print_shaded(prompt: "ShadedPrompt") -> None:
    """A prompt shaded by token weight, as wide as the terminal."""
    from gair_search.cli.pages.shading import shaded_lines

    for line in shaded_lines(prompt, shutil.get_terminal_size().columns):
        typer.echo(line)
