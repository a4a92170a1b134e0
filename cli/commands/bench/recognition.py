"""`gair bench recognition`."""

from typing import Annotated

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def recognition(
    dataset: bench.Concepts = "fashion",
    data: bench.Data = None,
    classes: bench.ClassData = None,
    parents: bench.Parents = None,
    seeds: bench.ConceptSeeds = None,
    limit: bench.ConceptLimit = None,
    methods: bench.Methods = None,
    loss_weights: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help='Loss weights lambda_SD:lambda_CE of table 1, as "0:1,1:0.1", or "none". '
            "[default: the paper's four]",
        ),
    ] = None,
    steps: bench.Steps = None,
    shots: bench.Shots = None,
    attributes: bench.Attributes = None,
    negatives: bench.Negatives = "drawn",
    per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=200,
            help="Number of pictures of each class that are tested. [default: 20, folders 10]",
        ),
    ] = None,
    generator: options.Generator = None,
    model: options.Model = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    save_run: bench.SaveRun = None,
    as_json: options.Json = False,
) -> None:
    """Measure what a token tells apart, by loss weights, too (custom tokens, tables 1 and 3)."""
    numbers, concepts = bench.concept_counts(dataset, seeds, limit, fashion=(10, 3))
    weights = bench.parse_loss_weights(loss_weights)
    from gair_search.benchmarks.tables.recognition import LOSS_WEIGHTS, RecognitionConfig
    from gair_search.benchmarks.tables.recognition import recognition as measure

    config = RecognitionConfig(
        dataset, data, numbers, concepts, tuple(options.split_list(methods)), steps, shots,
        bench.parse_attributes(attributes), classes=classes, parents=bench.parse_pairs(parents, "--parents"),
        negatives=negatives, per_class=per_class, generator=generator,
        loss_weights=LOSS_WEIGHTS if weights is None else weights,
    )  # fmt: skip
    encoder = load_encoder(model, device)
    with progress_bar("concepts x tokens", quiet=as_json) as on_progress:
        report = measure(encoder, config, work, save_run is not None, on_progress)
    print_report(report, out, save_run, as_json)
