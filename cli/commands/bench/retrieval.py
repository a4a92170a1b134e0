"""`gair bench retrieval`."""

from typing import Annotated, Literal

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def retrieval(
    dataset: Annotated[Literal["fashion", "dreambooth", "pervl-deepfashion2"], bench.DATASET] = "fashion",
    data: bench.Data = None,
    seeds: bench.ConceptSeeds = None,
    limit: bench.ConceptLimit = None,
    methods: bench.Methods = None,
    gair: Annotated[
        bool, typer.Option("--gair", help="Add the rows of GAIR, for prompt tuning and ours.")
    ] = False,
    steps: bench.Steps = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="N|all",
            help="Number of photos to learn from; all for PerVL alone. [default: 5; dreambooth 3]",
        ),
    ] = None,
    redact_faces: Annotated[
        bool, typer.Option("--redact-faces", help="Black out the faces in photos that are learned from.")
    ] = False,
    attributes: bench.Attributes = None,
    mixed: Annotated[
        str | None,
        typer.Option(
            "--gair-attributes",
            metavar="LIST",
            help="Attributes that GAIR mixes with, A of Algorithm 1, as red,old. "
            "[default: the paper's for pervl-deepfashion2, else those of the subspace]",
        ),
    ] = None,
    constant_weight: Annotated[
        float | None,
        typer.Option(
            "--constant-weight",
            metavar="W",
            min=0,
            max=1,
            help="Mixing weight of GAIR's constant control. [default: what validation seeds chose]",
        ),
    ] = None,
    negatives: bench.Negatives = "drawn",
    split: Annotated[Literal["test", "validation"], typer.Option(help="Which split of PerVL.")] = "test",
    captions: Annotated[
        Literal["detailed", "short"], typer.Option(help="Which captions of PerVL.")
    ] = "detailed",
    generator: options.Generator = None,
    model: options.Model = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    save_run: bench.SaveRun = None,
    as_json: options.Json = False,
) -> None:
    """Find concepts again in contexts that a caption names, by each method (custom tokens, table 4)."""
    numbers, concepts = bench.concept_counts(dataset, seeds, limit, fashion=(10, 6))
    photos = bench.parse_shots(shots)
    from gair_search.benchmarks.harness.token_cells import CONSTANT_WEIGHT
    from gair_search.benchmarks.tables.retrieval import RetrievalConfig
    from gair_search.benchmarks.tables.retrieval import retrieval as measure

    config = RetrievalConfig(
        dataset,
        data,
        numbers,
        concepts,
        tuple(options.split_list(methods)),
        steps,
        photos,
        bench.parse_attributes(attributes),
        gair=gair,
        negatives=negatives,
        mixed=bench.parse_attributes(mixed),
        constant_weight=CONSTANT_WEIGHT if constant_weight is None else constant_weight,
        generator=generator,
        split=split,
        captions=captions,
        redact_faces=redact_faces,
    )
    encoder = load_encoder(model, device)
    with progress_bar("concepts x methods", quiet=as_json) as on_progress:
        report = measure(encoder, config, work, save_run is not None, on_progress)
    print_report(report, out, save_run, as_json)
