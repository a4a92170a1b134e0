"""`gair bench fewshot`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def fewshot(
    dataset: Annotated[
        Literal[
            "fashion",
            "dreambooth",
            "folders",
            "caltech256",
            "cub",
            "celeba",
            "imagenet",
            "dtd",
            "flowers102",
            "sun397",
            "caltech101",
            "food101",
        ],
        typer.Option(
            help="The data set: fashion is made here, the others you need to have; "
            "folders is any with one folder a class; imagenet and the five after it lie as CoOp has them."
        ),
    ] = "fashion",
    data: bench.Data = None,
    seeds: bench.Seeds = "3",
    shots: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers of pictures of a class to learn from.")
    ] = "1,2,4,8,16",
    token_shots: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="The same numbers for tokens, which learn without class names; none leaves them out.",
        ),
    ] = "1,4",
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Take only the first so many classes. [default: all]"),
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Classify at most so many pictures of a class. [default: all, fashion 20]",
        ),
    ] = None,
    descriptions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file of class names and their descriptions, as CuPL's. [default: our own]",
        ),
    ] = None,
    steps: bench.Steps = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of epochs of token weights and residuals. [default: 100; from 8 shots on 200]",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Learning rate of token weights. "
            "[default: the paper's for the data set; else 0.05, with 300 classes or more 0.01]",
        ),
    ] = None,
    start_fraction: bench.StartFraction = None,
    generator: options.Generator = None,
    model: options.Model = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    save_run: bench.SaveRun = None,
    as_json: options.Json = False,
) -> None:
    """Learn classes from few pictures: token weights, TaskRes, tokens without names (SToRI, tables 1 and 2; MC-TI)."""
    numbers = bench.parse_seeds(seeds)
    cuts, token_cuts = (
        bench.parse_numbers("--shots", shots),
        () if token_shots.strip().lower() == "none" else bench.parse_numbers("--token-shots", token_shots),
    )
    from gair_search.benchmarks.tables.fewshot import FewShotConfig
    from gair_search.benchmarks.tables.fewshot import fewshot as measure

    config = FewShotConfig(
        dataset,
        data,
        numbers,
        limit,
        cuts,
        token_cuts,
        steps=steps,
        epochs=epochs,
        rate=rate,
        per_class=per_class,
        descriptions=descriptions,
        generator=generator,
    )
    encoder = load_encoder(model, device, start_fraction)
    with progress_bar("classifiers", quiet=as_json) as on_progress:
        report = measure(encoder, config, work, save_run is not None, on_progress)
    print_report(report, out, save_run, as_json)
