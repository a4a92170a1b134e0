"""`gair bench generation`."""

from typing import Annotated

import typer

from gair_search.cli import options
from gair_search.cli.commands.bench import options as bench
from gair_search.cli.commands.bench.table import load_encoder, print_report
from gair_search.cli.progress import progress_bar


def generation(
    dataset: bench.Concepts = "fashion",
    data: bench.Data = None,
    classes: bench.ClassData = None,
    parents: bench.Parents = None,
    seeds: bench.ConceptSeeds = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Number of concepts a seed, among which the judge decides."),
    ] = 6,
    methods: bench.Methods = None,
    contexts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help='Contexts to draw in, as "on a beach,in the snow". [default: ten, by the data set]',
        ),
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", min=1, help="Number of images of each context.")] = 8,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The second judge: any model, or pixels, which is for fashion alone and the default there.",
        ),
    ] = None,
    guidance: Annotated[
        float, typer.Option(min=0, metavar="X", help="Scale of classifier-free guidance.")
    ] = 5.0,
    draw_steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of denoising steps. [default: the scheduler's]"),
    ] = None,
    steps: bench.Steps = None,
    shots: bench.Shots = None,
    attributes: bench.Attributes = None,
    negatives: bench.Negatives = "drawn",
    generator: options.Generator = None,
    model: options.Model = None,
    device: options.Device = None,
    work: bench.WorkFolder = None,
    out: bench.Out = None,
    as_json: options.Json = False,
) -> None:
    """Measure whether images of a token show its concept and the context (custom tokens, table 2)."""
    numbers, _ = bench.concept_counts(dataset, seeds, limit, fashion=(5, 6))
    from gair_search.benchmarks.harness.judges import PIXELS
    from gair_search.benchmarks.tables.generation import GenerationConfig
    from gair_search.benchmarks.tables.generation import generation as measure
    from gair_search.generation.sampling import SamplingConfig

    config = GenerationConfig(
        dataset, data, numbers, limit, tuple(options.split_list(methods)), steps, shots,
        bench.parse_attributes(attributes), classes=classes, parents=bench.parse_pairs(parents, "--parents"),
        negatives=negatives, generator=generator, contexts=tuple(options.split_list(contexts)), images=images,
        judge=judge or "", sampling=SamplingConfig(steps=draw_steps, guidance=guidance),
    )  # fmt: skip
    encoder = load_encoder(model, device)
    other = None if config.second_judge in ("", PIXELS) else load_encoder(config.second_judge, device)
    with progress_bar("concepts x methods", quiet=as_json) as on_progress:
        report = measure(encoder, config, work, other, on_progress)
    print_report(report, out, None, as_json)
