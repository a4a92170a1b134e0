"""`gair bench speed`."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def speed(
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What to time, of text,indexing,learning,gair. [default: all that the model can]",
        ),
    ] = None,
    seeds: bench.Seeds = "1",
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=3,
            help="Number of rounds in which text is timed, in turns; indexing and learning take a tenth, "
            "and 5 at least.",
        ),
    ] = 30,
    images: Annotated[
        int, typer.Option(metavar="N", min=32, help="Number of pictures that are indexed.")
    ] = 128,
    steps: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of learning steps of each side in a round.")
    ] = 30,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="A photo to learn from; may be repeated. [default: pictures made here]"
        ),
    ] = None,
    parent: Annotated[str, typer.Option(metavar="TEXT", help="What the photos show.")] = "dress",
    queries: Annotated[int, typer.Option(metavar="N", min=1, help="Number of GAIR's searches a seed.")] = 16,
    concepts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Stored tokens that GAIR searches for. [default: stand-ins made here]"
        ),
    ] = None,
    generator: options.Generator = None,
    scheduler: options.Scheduler = None,
    draw_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of denoising steps. [default: the scheduler's]"),
    ] = None,
    guidance: Annotated[
        float, typer.Option(min=0, metavar="X", help="Scale of classifier-free guidance.")
    ] = 5.0,
    model: options.Model = None,
    device: options.Device = None,
    out: bench.Out = None,
    as_json: options.Json = False,
) -> None:
    """Time reweighting (SToRI, table 7), queries, indexing, learning and GAIR, as ratios in one run."""
    numbers = bench.parse_seeds(seeds)
    from gair_search.benchmarks.tables.speed import SpeedConfig
    from gair_search.benchmarks.tables.speed import speed as measure
    from gair_search.generation.sampling import SamplingConfig

    config = SpeedConfig(
        tuple(options.split_list(parts)), numbers, rounds, images, steps, queries, tuple(photos or ()), parent,
        tuple(options.split_list(concepts)), generator, SamplingConfig(scheduler, draw_steps, guidance),
    )  # fmt: skip
    _ = config.chosen_parts  # an unknown part is said before the model loads
    encoder = load_encoder(model, device)
    with progress_bar("rounds", quiet=as_json) as on_progress:
        report = measure(encoder, config, on_progress)
    print_report(report, out, None, as_json)
