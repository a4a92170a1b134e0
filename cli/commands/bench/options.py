"""What the tables' options share: how they are typed, and how their lists are read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gair_search.cli.options import split_list
from gair_search.errors import GairError

Seeds = Annotated[
    str,
    typer.Option(
        "--seeds",
        metavar="LIST",
        help="Number of test seeds, as 3 for 20, 21 and 22; or the seeds themselves, as 7,8, on which things may be "
        "chosen. One seed alone ends with a comma: 7,",
    ),
]
ConceptSeeds = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="LIST",
        help="Number of test seeds, as 3 for 20, 21 and 22; or the seeds themselves. "
        "[default: as benchmarks/PROTOCOL.md says for the data set]",
    ),
]
ConceptLimit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Number of concepts a seed; the pictures of the others stay. "
        "[default: as benchmarks/PROTOCOL.md says for fashion, else all]",
    ),
]
WorkFolder = Annotated[
    Path | None,
    typer.Option(
        "--work", metavar="FOLDER", help="Folder where finished parts are kept. [default: under GAIR_HOME]"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Write tables, figures (SVG) and JSON to this folder."),
]
SaveRun = Annotated[
    Path | None,
    typer.Option(
        "--save-run", metavar="FOLDER", help="Write rankings as TREC runs and qrels to this folder."
    ),
]

DATASET = typer.Option("--dataset", help="The data set: fashion is made here, the others you need to have.")
Concepts = Annotated[Literal["fashion", "dreambooth", "textual-inversion"], DATASET]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Folder of the unpacked data set.")
]
ClassData = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FOLDER",
        help="For textual-inversion: folder of Caltech-256, or one with a folder of images a class.",
    ),
]
Parents = Annotated[
    str | None,
    typer.Option(
        "--parents",
        metavar="LIST",
        help='For textual-inversion: the parents, as "red_teapot=teapot,physics_mug=coffee mug".',
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Number of concepts a seed; the pictures of the others stay. [default: all]",
    ),
]
Methods = Annotated[
    str | None,
    typer.Option(
        "--methods", metavar="LIST", help='Rows of the table, as "prompt tuning,ours". [default: all]'
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        min=1,
        help="Number of steps in which a token is learned. [default: the model's own]",
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        "--shots",
        metavar="N",
        min=1,
        help="Number of photos to learn from. [default: 5; dreambooth, textual-inversion 3]",
    ),
]
Attributes = Annotated[
    str | None,
    typer.Option(
        "--attributes",
        metavar="LIST",
        help="Adjectives that suit the parent, as red,old. "
        "They span the subspace. [default: those nearest to the parent]",
    ),
]
Negatives = Annotated[
    str,
    typer.Option(
        "--negatives",
        metavar="drawn|gallery|FOLDER",
        help="Where negative images come from: drawn from 'image of a c', as in the paper; the pictures that are "
        "searched, or another pool of the data set, without labels; or photos of a folder.",
    ),
]
StartFraction = Annotated[
    float | None,
    typer.Option(
        "--start-fraction",
        metavar="X",
        min=0,
        max=1,
        help="Share of the text tower's blocks that token weights leave alone. [default: 0.5]",
    ),
]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from `7,8`, or from how many test seeds. Raises GairError on anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if len(numbers) == 1 and "," not in text:
        from gair_search.benchmarks.harness.run import TEST_SEEDS

        numbers = tuple(range(TEST_SEEDS[0], TEST_SEEDS[0] + numbers[0]))
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise GairError(f"--seeds {text}: how many, as 3, or different seeds from 0 on, as 0,1,2")
    return numbers


def concept_counts(
    dataset: str, seeds: str | None, limit: int | None, fashion: tuple[int, int]
) -> tuple[tuple[int, ...], int | None]:
    """Seeds, and concepts a seed, of a table of concepts: as given, else as benchmarks/PROTOCOL.md says.

    Args:
        dataset: of the run.
        seeds, limit: as typed.
        fashion: numbers of seeds and of concepts a seed in the fashion world.

    Raises:
        GairError: as `parse_seeds`.
    """
    made_here = dataset == "fashion"
    count = fashion[0] if made_here else 3 if dataset == "pervl-deepfashion2" else 1
    return parse_seeds(seeds or str(count)), limit or (fashion[1] if made_here else None)


def parse_shots(text: str | None) -> int | Literal["all"] | None:
    """A number from 1 on, or all; None where nothing was given. Raises GairError on anything else."""
    if text is None:
        return None
    if text.strip().lower() == "all":
        return "all"
    if not text.strip().isdecimal() or int(text) < 1:
        raise GairError(f"--shots {text}: a number from 1 on, or all")
    return int(text)


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Different numbers from 1 on. Raises GairError on anything else."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise GairError(f"{option} {text}: different numbers from 1 on, as 1,4,16")
    return numbers


def parse_attributes(text: str | None) -> tuple[str, ...]:
    """Attributes; none where none are given. Raises ConceptError where it is one alone."""
    from gair_search.learning.attributes import parse

    return tuple(parse(text)) if text else ()


def parse_pairs(text: str | None, option: str) -> dict[str, str]:
    """`name=value` between commas. Raises GairError on anything else."""
    pairs = [name.partition("=") for name in split_list(text)]
    if wrong := [name for name, _, value in pairs if not name.strip() or not value.strip()]:
        raise GairError(f"{option} {text}: {wrong[0]} is not of the form name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def parse_loss_weights(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`sd:ce` between commas; none for "none"; None where nothing was given. Raises GairError on anything else."""
    if text is None or text.strip().lower() == "none":
        return None if text is None else ()
    try:
        found = tuple((float(sd), float(ce)) for sd, ce in (pair.split(":") for pair in split_list(text)))
    except ValueError:
        found = ()
    if not found or any(
        not (0 <= sd < float("inf") and 0 <= ce < float("inf") and sd + ce) for sd, ce in found
    ):
        raise GairError(f"--loss-weights {text}: lambda_SD:lambda_CE, as 0:1,1:0.1; or none")
    return found
