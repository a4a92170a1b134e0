"""`gair bench preference`."""

from typing import Annotated, Literal

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def preference(
    dataset: Annotated[Literal["fashion", "celeba", "cub"], bench.DATASET] = "fashion",
    data: bench.Data = None,
    seeds: bench.Seeds = "3",
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of combinations of three attributes a seed.")
    ] = 20,
    five: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Number of combinations of five attributes a seed, for fashion and celeba.",
        ),
    ] = 2,
    per_category: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Number of pictures in each category. [default: 12, CelebA 100]"
        ),
    ] = None,
    start_fraction: bench.StartFraction = None,
    model: options.Model = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    save_run: bench.SaveRun = None,
    as_json: options.Json = False,
) -> None:
    """Measure what token weights do to a ranking: retrieval by preference (SToRI, tables 3-6, figures 5 and 6)."""
    numbers = bench.parse_seeds(seeds)
    from gair_search.benchmarks.tables.preference import PreferenceConfig
    from gair_search.benchmarks.tables.preference import preference as measure

    size = per_category or (100 if dataset == "celeba" else 12)
    config = PreferenceConfig(dataset, data, numbers, limit, five, size)
    encoder = load_encoder(model, device, start_fraction)
    with progress_bar("pictures", quiet=as_json) as on_progress:
        report = measure(encoder, config, work, save_run is not None, on_progress)
    print_report(report, out, save_run, as_json)
