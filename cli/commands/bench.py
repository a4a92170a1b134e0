"""`gair bench`: the papers' tables, one command each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gair_search.cli import common
from gair_search.cli.common import counting as _progress
from gair_search.errors import GairError

if TYPE_CHECKING:
    from gair_search.benchmarks.harness.cells import Report
    from gair_search.encoder.clip import Encoder

app = typer.Typer(
    help="Measure as the papers do, and print their numbers beside ours.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Seeds = Annotated[
    str,
    typer.Option(
        "--seeds",
        metavar="LIST",
        help="How many, as 3 for 0, 1, 2; or which, as 0,4; one alone ends with a comma: 4,",
    ),
]
WorkFolder = Annotated[
    Path | None,
    typer.Option(
        "--work", metavar="FOLDER", help="Where finished parts are kept. [default: under GAIR_HOME]"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Write tables, figures (SVG) and JSON there."),
]
SaveRun = Annotated[
    Path | None,
    typer.Option("--save-run", metavar="FOLDER", help="Write rankings as TREC runs and qrels there."),
]

_DATASET = typer.Option("--dataset", help="Made here, or a data set that you have.")
Concepts = Annotated[Literal["fashion", "dreambooth", "textual-inversion"], _DATASET]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Where that data set lies, as unpacked.")
]
ClassData = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FOLDER",
        help="Caltech-256 or one folder of images a class, for textual-inversion.",
    ),
]
Parents = Annotated[
    str | None,
    typer.Option(
        "--parents",
        metavar="LIST",
        help='Of textual-inversion, as "red_teapot=teapot,physics_mug=coffee mug".',
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Concepts a seed; the others' pictures stay. [default: all]"),
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", metavar="LIST", help='Rows, as "prompt tuning,ours". [default: all]'),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Steps of learning a token. [default: the model's own]")
]
Shots = Annotated[
    int | None,
    typer.Option(
        "--shots", min=1, help="Photos to learn from. [default: 5; dreambooth, textual-inversion 3]"
    ),
]
Attributes = Annotated[
    str | None,
    typer.Option(
        "--attributes",
        metavar="LIST",
        help="As red,old. [default: the paper's for pervl-deepfashion2, else nearest to the parent]",
    ),
]
Negatives = Annotated[
    Literal["pool", "drawn"] | None,
    typer.Option(
        "--negatives",
        help="Negative images: from a pool without labels, or drawn from 'image of a c' as in the paper. "
        "[default: pool; textual-inversion drawn]",
    ),
]
StartFraction = Annotated[
    float | None,
    typer.Option(
        "--start-fraction",
        min=0,
        max=1,
        help="Share of the text tower's blocks left alone. [default: 0.5]",
    ),
]


@app.command()
def preference(
    dataset: Annotated[Literal["fashion", "celeba", "cub"], _DATASET] = "fashion",
    data: Data = None,
    seeds: Seeds = "3",
    limit: Annotated[int, typer.Option(min=1, help="Combinations of three attributes a seed.")] = 20,
    five: Annotated[int, typer.Option(min=0, help="Combinations of five attributes (fashion).")] = 2,
    per_category: Annotated[
        int | None, typer.Option(min=1, help="Pictures in each category. [default: 12, CelebA 100]")
    ] = None,
    start_fraction: StartFraction = None,
    model: common.Model = None,
    device: common.Device = None,
    work: WorkFolder = None,
    out: Out = None,
    save_run: SaveRun = None,
    as_json: common.Json = False,
) -> None:
    """Retrieval by preference: what token weights do to a ranking (SToRI, tables 3-6, figures 5 and 6)."""
    numbers = _seeds(seeds)
    from gair_search.benchmarks.tables.preference import PreferenceConfig
    from gair_search.benchmarks.tables.preference import preference as measure

    size = per_category or (100 if dataset == "celeba" else 12)
    settings = PreferenceConfig(dataset, data, numbers, limit, five, size)
    encoder = _clip(model, device, start_fraction)
    with _progress("pictures", as_json) as advance:
        report = measure(encoder, settings, work, save_run is not None, advance)
    _finish(report, out, save_run, as_json)


@app.command()
def retrieval(
    dataset: Annotated[Literal["fashion", "dreambooth", "pervl-deepfashion2"], _DATASET] = "fashion",
    data: Data = None,
    seeds: Seeds = "3",
    limit: Limit = None,
    methods: Methods = None,
    gair: Annotated[
        bool, typer.Option("--gair", help="GAIR's rows besides, for prompt tuning and ours.")
    ] = False,
    steps: Steps = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="N|all", help="Photos to learn from; all of PerVL's alone. [default: 5; dreambooth 3]"
        ),
    ] = None,
    redact_faces: Annotated[
        bool, typer.Option("--redact-faces", help="Black out faces in photos that are learned from.")
    ] = False,
    attributes: Attributes = None,
    split: Annotated[Literal["test", "validation"], typer.Option(help="Of PerVL.")] = "test",
    captions: Annotated[Literal["detailed", "short"], typer.Option(help="Of PerVL.")] = "detailed",
    model: common.Model = None,
    device: common.Device = None,
    work: WorkFolder = None,
    out: Out = None,
    save_run: SaveRun = None,
    as_json: common.Json = False,
) -> None:
    """Concepts in contexts that a caption names, found again by each method (custom tokens, table 4)."""
    numbers, photos = _seeds(seeds), _shots(shots)
    from gair_search.benchmarks.tables.retrieval import RetrievalConfig
    from gair_search.benchmarks.tables.retrieval import retrieval as measure

    settings = RetrievalConfig(
        dataset,
        data,
        numbers,
        limit,
        tuple(common.words(methods)),
        steps,
        gair,
        photos,
        split,
        captions,
        attributes=_words(attributes),
        redact_faces=redact_faces,
    )
    encoder = _clip(model, device)
    with _progress("concepts x methods", as_json) as advance:
        report = measure(encoder, settings, work, save_run is not None, advance)
    _finish(report, out, save_run, as_json)


@app.command()
def recognition(
    dataset: Concepts = "fashion",
    data: Data = None,
    classes: ClassData = None,
    parents: Parents = None,
    seeds: Seeds = "3",
    limit: Limit = None,
    methods: Methods = None,
    loss_weights: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help='(lambda_SD, lambda_CE) of table 1, as "0:1,1:0.1", or "none". [default: the paper\'s four]',
        ),
    ] = None,
    steps: Steps = None,
    shots: Shots = None,
    attributes: Attributes = None,
    negatives: Negatives = None,
    per_class: Annotated[
        int | None,
        typer.Option(min=1, max=200, help="Tested pictures of each class. [default: 20, folders 10]"),
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    work: WorkFolder = None,
    out: Out = None,
    save_run: SaveRun = None,
    as_json: common.Json = False,
) -> None:
    """What a token tells apart: concept, parent, others; loss weights (custom tokens, tables 1 and 3)."""
    numbers = _seeds(seeds)
    weights = _loss_weights(loss_weights)
    from gair_search.benchmarks.tables.recognition import LOSS_WEIGHTS, RecognitionConfig
    from gair_search.benchmarks.tables.recognition import recognition as measure

    settings = RecognitionConfig(
        dataset, data, classes, _pairs(parents, "--parents"), numbers, limit,
        tuple(common.words(methods)), steps, shots, _words(attributes), negatives, per_class,
        loss_weights=LOSS_WEIGHTS if weights is None else weights,
    )  # fmt: skip
    encoder = _clip(model, device)
    with _progress("concepts x tokens", as_json) as advance:
        report = measure(encoder, settings, work, save_run is not None, advance)
    _finish(report, out, save_run, as_json)


@app.command()
def generation(
    dataset: Concepts = "fashion",
    data: Data = None,
    classes: ClassData = None,
    parents: Parents = None,
    seeds: Seeds = "3",
    limit: Annotated[int, typer.Option(min=1, help="Concepts a seed, which are told apart.")] = 6,
    methods: Methods = None,
    contexts: Annotated[
        str | None,
        typer.Option(metavar="LIST", help='As "on a beach,in the snow". [default: ten, by the data set]'),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Of each context.")] = 8,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The second judge: any model, or pixels (fashion alone, and there unless given).",
        ),
    ] = None,
    guidance: Annotated[float, typer.Option(min=0, help="Of drawing.")] = 5.0,
    draw_steps: Annotated[
        int | None, typer.Option(min=1, help="Of drawing. [default: the scheduler's]")
    ] = None,
    steps: Steps = None,
    shots: Shots = None,
    attributes: Attributes = None,
    negatives: Negatives = None,
    model: common.Model = None,
    device: common.Device = None,
    work: WorkFolder = None,
    out: Out = None,
    as_json: common.Json = False,
) -> None:
    """Whether images of a token show its concept and the context (custom tokens, table 2)."""
    numbers = _seeds(seeds)
    from gair_search.benchmarks.harness.judges import PIXELS
    from gair_search.benchmarks.tables.generation import GenerationConfig
    from gair_search.benchmarks.tables.generation import generation as measure
    from gair_search.generation.generator import Sampling

    settings = GenerationConfig(
        dataset, data, classes, _pairs(parents, "--parents"), numbers, limit,
        tuple(common.words(methods)), steps, shots, _words(attributes), negatives,
        contexts=tuple(common.words(contexts)), images=images, judge=judge or "",
        sampling=Sampling(steps=draw_steps, guidance=guidance),
    )  # fmt: skip
    encoder = _clip(model, device)
    other = None if settings.second in ("", PIXELS) else _clip(settings.second, device)
    with _progress("concepts x methods", as_json) as advance:
        report = measure(encoder, settings, work, other, advance)
    _finish(report, out, None, as_json)


@app.command()
def fewshot(
    dataset: Annotated[
        Literal["fashion", "dreambooth", "folders", "caltech256", "cub", "celeba"],
        typer.Option(help="Made here, or a data set that you have; folders: one a class, as ImageNet's."),
    ] = "fashion",
    data: Data = None,
    seeds: Seeds = "3",
    shots: Annotated[
        str, typer.Option(metavar="LIST", help="Pictures of a class to learn from.")
    ] = "1,2,4,8,16",
    token_shots: Annotated[
        str, typer.Option(metavar="LIST", help="The same for tokens, without class names.")
    ] = "1,4",
    limit: Annotated[
        int | None, typer.Option(min=2, help="The first so many classes. [default: all]")
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many pictures of a class are classified. [default: all, fashion 20]"
        ),
    ] = None,
    descriptions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON, class name -> texts, as CuPL's. [default: our own]"),
    ] = None,
    steps: Steps = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of token weights and residuals. [default: 100; from 8 shots on 200]"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Learning rate of token weights. [default: 0.05; of 300 classes and more 0.01]"),
    ] = None,
    start_fraction: StartFraction = None,
    model: common.Model = None,
    device: common.Device = None,
    work: WorkFolder = None,
    out: Out = None,
    save_run: SaveRun = None,
    as_json: common.Json = False,
) -> None:
    """Classes from few pictures: token weights, TaskRes, tokens without names (SToRI, tables 1 and 2; MC-TI)."""
    numbers = _seeds(seeds)
    cuts, token_cuts = _numbers("--shots", shots), _numbers("--token-shots", token_shots)
    from gair_search.benchmarks.tables.fewshot import FewShotConfig
    from gair_search.benchmarks.tables.fewshot import fewshot as measure

    settings = FewShotConfig(
        dataset,
        data,
        numbers,
        cuts,
        token_cuts,
        limit=limit,
        steps=steps,
        epochs=epochs,
        rate=rate,
        per_class=per_class,
        descriptions=descriptions,
    )
    encoder = _clip(model, device, start_fraction)
    with _progress("classifiers", as_json) as advance:
        report = measure(encoder, settings, work, save_run is not None, advance)
    _finish(report, out, save_run, as_json)


@app.command()
def speed(
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Of text,indexing,learning,gair. [default: all that the model has]"
        ),
    ] = None,
    seeds: Seeds = "1",
    rounds: Annotated[
        int,
        typer.Option(
            min=3, help="How often text is timed, in turns; a tenth for indexing and learning, 5 at least."
        ),
    ] = 30,
    images: Annotated[int, typer.Option(min=32, help="Pictures of the indexing run.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Steps of learning, of each side in a round.")] = 30,
    photos: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="To learn from; again for more. [default: drawn here]"),
    ] = None,
    parent: Annotated[str, typer.Option(metavar="TEXT", help="What they show.")] = "dress",
    queries: Annotated[int, typer.Option(min=1, help="GAIR's searches a seed.")] = 16,
    concepts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Stored tokens that GAIR searches for. [default: stand-ins made here]"
        ),
    ] = None,
    generator: common.Generator = None,
    scheduler: common.Scheduler = None,
    draw_steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of denoising. [default: the scheduler's]")
    ] = None,
    guidance: Annotated[float, typer.Option(min=0, metavar="X", help="Classifier-free guidance.")] = 5.0,
    model: common.Model = None,
    device: common.Device = None,
    out: Out = None,
    as_json: common.Json = False,
) -> None:
    """What reweighting (SToRI, table 7), queries, indexing, learning and GAIR cost, as ratios in one run."""
    numbers = _seeds(seeds)
    from gair_search.benchmarks.tables.speed import SpeedConfig
    from gair_search.benchmarks.tables.speed import speed as measure
    from gair_search.generation.generator import Sampling

    settings = SpeedConfig(
        tuple(common.words(parts)), numbers, rounds, images, steps, queries, tuple(photos or ()), parent,
        tuple(common.words(concepts)), generator, Sampling(scheduler, draw_steps, guidance),
    )  # fmt: skip
    _ = settings.asked  # an unknown part is said before the model loads
    encoder = _clip(model, device)
    with _progress("rounds", as_json) as advance:
        report = measure(encoder, settings, advance)
    _finish(report, out, None, as_json)


def _seeds(text: str) -> tuple[int, ...]:
    """Seeds from `0,1,2`, or from how many. Raises GairError on anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if len(numbers) == 1 and "," not in text:
        numbers = tuple(range(numbers[0]))
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise GairError(f"--seeds {text}: how many, as 3, or different seeds from 0 on, as 0,1,2")
    return numbers


def _shots(text: str | None) -> int | Literal["all"] | None:
    """A number from 1 on, or all; None where nothing was given. Raises GairError on anything else."""
    if text is None:
        return None
    if text.strip().lower() == "all":
        return "all"
    if not text.strip().isdecimal() or int(text) < 1:
        raise GairError(f"--shots {text}: a number from 1 on, or all")
    return int(text)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """Different numbers from 1 on. Raises GairError on anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise GairError(f"{option} {text}: different numbers from 1 on, as 1,4,16")
    return numbers


def _words(text: str | None) -> tuple[str, ...]:
    """Attributes; none where none are given. Raises ConceptError where it is one alone."""
    from gair_search.learning.attributes import parse

    return tuple(parse(text)) if text else ()


def _pairs(text: str | None, option: str) -> dict[str, str]:
    """`name=value` between commas. Raises GairError on anything else."""
    pairs = [name.partition("=") for name in common.words(text)]
    if wrong := [name for name, _, value in pairs if not name.strip() or not value.strip()]:
        raise GairError(f"{option} {text}: {wrong[0]} is not of the form name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _loss_weights(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`sd:ce` between commas; none for "none"; None where nothing was given. Raises GairError on anything else."""
    if text is None or text.strip().lower() == "none":
        return None if text is None else ()
    try:
        found = tuple((float(sd), float(ce)) for sd, ce in (pair.split(":") for pair in common.words(text)))
    except ValueError:
        found = ()
    if not found or any(
        not (0 <= sd < float("inf") and 0 <= ce < float("inf") and sd + ce) for sd, ce in found
    ):
        raise GairError(f"--loss-weights {text}: lambda_SD:lambda_CE, as 0:1,1:0.1; or none")
    return found


def _clip(model: str | None, device: str | None, start_fraction: float | None = None) -> "Encoder":
    """The model by its name, and no gallery: these tables make their own."""
    import os
    import warnings

    warnings.filterwarnings("ignore")  # other libraries' advice to their programmers
    from gair_search.encoder.clip import Encoder
    from gair_search.encoder.models import default_model, resolve

    spec = resolve(model or os.environ.get("GAIR_MODEL") or default_model())
    typer.secho(f"model: {spec.name}", fg="bright_black", err=True)
    return Encoder(spec, device, start_fraction)


def _finish(report: "Report", out: Path | None, save_run: Path | None, as_json: bool) -> None:
    """Write what was asked for, then print tables for people or one JSON object."""
    files = (report.save(out) if out else []) + (report.save_runs(save_run) if save_run else [])
    if as_json:
        common.print_json(report.to_json() | {"files": [str(file) for file in files]})
        return
    typer.echo("\n".join(table.markdown() for table in report.tables))
    for file in files:
        typer.echo(f"written: {file}")
