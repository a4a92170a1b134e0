"""`gair bench reproduce`."""

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gair_search.cli import options, output
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar
from gair_search.errors import GairError

if TYPE_CHECKING:
    from gair_search.benchmarks.harness.report import Report
    from gair_search.benchmarks.reproduction.plan import PlannedRun
    from gair_search.benchmarks.reproduction.reproduce import Reproduction
    from gair_search.encoder.clip import Encoder
    from gair_search.progress import Progress


def reproduce(
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="FOLDER", help="Folder of all data sets, each in a folder of its official name."
        ),
    ] = Path("data"),
    tables: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Which tables, as tokens-4,stori-3; tokens or stori for all of one paper. [default: all]",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what is missing and what it would cost, and run nothing."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Start without asking.")] = False,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Leave the tables out whose models or data are not all here."),
    ] = False,
    trial: Annotated[
        bool,
        typer.Option(
            "--trial",
            help="Run everything once at the smallest size, to see that it runs through; the figures mean nothing.",
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of seeds of every run. [default: the papers' own]"),
    ] = None,
    parents: Annotated[
        str | None,
        typer.Option(
            "--parents",
            metavar="LIST",
            help='Textual Inversion\'s concepts and their parents, as "red_teapot=teapot,elephant=elephant". '
            "[default: the five whose parents Caltech-256 has, and clock=clock for table 2]",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The CLIP model. [default: ViT-L-14/openai]")
    ] = None,
    metaclip: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The second model. [default: ViT-L-14-quickgelu/metaclip_400m]"),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            "--generator",
            metavar="FOLDER|NAME",
            help="What draws. [default: CompVis/stable-diffusion-v1-4, from Hugging Face's cache]",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The second judge of what tokens draw. [default: ViT-B-32/laion2b_s34b_b79k]",
        ),
    ] = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    as_json: options.Json = False,
) -> None:
    """Run the papers' tables with their models, data and settings, and print every figure beside ours.

    Exit codes: 0 done, 1 something is missing or went wrong, 3 done with tables left out.
    """
    from gair_search.benchmarks.reproduction.plan import choose_tables
    from gair_search.benchmarks.reproduction.reproduce import Reproduction
    from gair_search.benchmarks.reproduction.sources import (
        CLIP,
        DRAWN,
        JUDGE,
        METACLIP,
        PAPERS,
        RECOGNISED,
        STABLE_DIFFUSION,
        TRIAL,
        Sources,
    )

    chosen = choose_tables(options.split_list(tables))
    named = bench.parse_pairs(parents, "--parents")
    sources = Sources(
        data, model or CLIP, metaclip or METACLIP, generator or STABLE_DIFFUSION, judge or JUDGE,
        named or RECOGNISED, named or DRAWN,
    )  # fmt: skip
    scale = TRIAL if trial else PAPERS
    scale = scale if seeds is None else replace(scale, seeds=seeds)
    planned = Reproduction(chosen, sources, scale)
    if planned.missing and skip_missing:
        _print_missing(planned, as_json)
        planned = planned.without_missing()
    if planned.missing or not planned.tables:
        _end_for_missing(planned, as_json)

    def load(name: str) -> "Encoder":
        return load_encoder(name, device)

    estimate = planned.estimate(load, 0.0) if trial else planned.estimate(load)
    if not as_json:
        typer.echo(estimate.table().markdown())
    if dry_run:
        if as_json:
            output.print_json({"bench": "reproduce", "missing": [], "estimate": estimate.to_json()})
        raise typer.Exit(output.EXIT_SKIPPED if planned.left_out else 0)
    _ask(yes, estimate.total_hours)

    def bar(name: str) -> "AbstractContextManager[Progress]":
        return progress_bar(name, quiet=as_json)

    def on_report(run: "PlannedRun", report: "Report") -> None:
        if out:
            report.save(out / run.name)
        if not as_json:
            typer.echo("\n".join(table.markdown() for table in report.tables))

    report = planned.run(load, bar, work, on_report)
    report.values["estimate"] = estimate.to_json()
    print_report(report, out, None, as_json)
    if planned.left_out:
        raise typer.Exit(output.EXIT_SKIPPED)


def _print_missing(planned: "Reproduction", as_json: bool) -> None:
    from gair_search.benchmarks.reproduction.reproduce import missing_text

    if not as_json:
        typer.echo(missing_text(planned.missing.values()), err=True)


def _end_for_missing(planned: "Reproduction", as_json: bool) -> None:
    """End with exit code 1 and the list of what is missing."""
    if as_json:
        missing = [one.to_json() for one in planned.missing.values()]
        output.print_json({"bench": "reproduce", "missing": missing, "left out": list(planned.left_out)})
        raise typer.Exit(1)
    _print_missing(planned, as_json)
    if not planned.tables:
        raise GairError("no table is left: something of each is missing")
    raise GairError(
        f"{len(planned.missing)} of what these tables need is not here; get it as the list says, choose others with "
        f"--tables, or leave out what can't be run with --skip-missing"
    )


def _ask(yes: bool, hours: float) -> None:
    """Ask whether to start. Raises GairError where nobody can be asked; typer's Abort where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise GairError(f"an estimated {hours:.1f} hours: say --yes to start, or --dry-run to end here")
    typer.confirm(f"Start what takes an estimated {hours:.1f} hours?", abort=True, err=True)
