"""Options that several commands share, and what becomes of them: an engine, a prompt, GAIR's options."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gair_search.errors import GairError, PromptError

if TYPE_CHECKING:
    from gair_search.engine import Engine
    from gair_search.gair.options import GairConfig
    from gair_search.query.terms import Term

Number = TypeVar("Number", int, float)

# which model, and where

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The CLIP model: gair-mini, ARCHITECTURE/TAG, ARCHITECTURE:FILE, local-dir:FOLDER or hf-hub:REPO. "
        "[default: GAIR_MODEL, else the gallery's, else the best on this machine]",
    ),
]
GalleryName = Annotated[
    str | None, typer.Option("--gallery", metavar="NAME", help="The gallery's name. [default: photos]")
]
Db = Annotated[
    Path | None,
    typer.Option("--db", metavar="FOLDER", help="Folder of an embedded gallery. [default: under GAIR_HOME]"),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address of a Qdrant server, as http://localhost:6333. [default: GAIR_URL; its key: GAIR_API_KEY]",
    ),
]
Collection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        metavar="NAME",
        help="A collection of the server that gair-search did not make; --model says what made its vectors.",
    ),
]
VectorName = Annotated[
    str | None,
    typer.Option(
        "--vector", metavar="NAME", help="Which of the collection's vectors. [default: its only one]"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="What computes: cpu, cuda, cuda:1 or mps. [default: the best on this machine]",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        max=256,
        metavar="N",
        help="Number of processes that decode images. [default: by the number of cores]",
    ),
]

# what is printed and written

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the hits as one self-contained page.")
]
Page = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")]

# searching

K = Annotated[int, typer.Option("-k", min=1, max=10_000, metavar="N", help="Number of hits.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Search only images that fit a filter, as 'taken_at>2020-01-01 and path~holiday/'. "
        "Fields: path, format, content_hash, width, height, size, taken_at, and those of your own payloads.",
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=-1, max=1, metavar="S", help="Lowest cosine similarity of a hit."),
]
Offset = Annotated[
    int, typer.Option("--offset", min=0, metavar="N", help="Number of the best hits to pass over.")
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by", metavar="FIELD", help="Return the best hit of each value of a payload field alone."
    ),
]
Concept = Annotated[
    str | None,
    typer.Option("--concept", metavar="NAME", help="The custom token that * in the prompt stands for."),
]

# custom tokens

Parent = Annotated[
    str | None,
    typer.Option("--parent", metavar="WORD", help="What the concept is a kind of, as dress."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a concept of the same name.")]

# GAIR, and how it draws

Generator = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="FOLDER|NAME",
        help="What draws: a Stable Diffusion 1.x folder, or a repository in Hugging Face's cache. "
        "[default: the model's own]",
    ),
]
MixingWeight = Annotated[
    float | None,
    typer.Option(
        "--mixing-weight",
        min=0,
        max=1,
        metavar="W",
        help="Set the concept's mixing weight by hand; 1 is the plain query.",
    ),
]
Candidates = Annotated[
    str | None,
    typer.Option(
        "--candidates",
        metavar="W,W,...",
        help="Mixing weights that GAIR tries, and no others. [default: 0.6,0.8,1, then around the best]",
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seed",
        "--seeds",
        metavar="N,...",
        help="Seeds of the images: each candidate is drawn once with each. [default: 0,1]",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="NAME",
        help="Scheduler of the denoising: ddim, dpm++ or lcm. [default: dpm++, or the one trained for]",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", min=1, metavar="N", help="Number of denoising steps. [default: the scheduler's]"),
]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", min=0, metavar="X", help="Scale of classifier-free guidance. [default: 5]"),
]
Attributes = Annotated[
    str | None,
    typer.Option(
        "--attributes",
        metavar="A,A,...",
        help="Adjectives that stand in the concept's place at mixing weight 0. [default: the token's own]",
    ),
]
ConceptImages = Annotated[
    list[Path] | None,
    typer.Option(
        "--concept-image",
        metavar="FILE",
        help="A photo of the concept that drawn images are compared with; may be repeated. "
        "[default: what the token's file holds]",
    ),
]


def open_engine(
    model: str | None,
    gallery: str | None,
    db: Path | None,
    url: str | None,
    device: str | None,
    generator: str | None = None,
    collection: str | None = None,
    vector: str | None = None,
) -> "Engine":
    """Open an engine for a command, and say on standard error which model was taken."""
    ignore_warnings()
    from gair_search.encoder.models import BUNDLED, PREFERRED
    from gair_search.engine import Engine

    engine = Engine.open(
        model,
        gallery=gallery,
        db=db,
        url=url,
        collection=collection,
        vector=vector,
        device=device,
        generator=generator,
    )
    hint = f" (bundled); a better one: gair models pull {PREFERRED[0]}" if engine.model == BUNDLED else ""
    typer.secho(f"model: {engine.model}{hint}", fg="bright_black", err=True)
    return engine


def ignore_warnings() -> None:
    """Keep other libraries' advice to their programmers from the user."""
    warnings.filterwarnings("ignore")


def read_prompt(prompt: str) -> str:
    """The prompt itself, or what `@FILE` and `-` point to. Raises PromptError where that can't be read."""
    try:
        if prompt == "-":
            return sys.stdin.read().strip()
        if prompt.startswith("@"):
            return Path(prompt[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the prompt can't be read from {prompt}: {error}", prompt) from error
    return prompt


def read_terms(plus: Sequence[str] | None, minus: Sequence[str] | None) -> "dict[str, list[Term]]":
    """The options --plus and --minus as the library takes them. Raises PromptError as `typed_terms`."""
    from gair_search.cli.terms import typed_terms

    return {"plus": typed_terms(plus, "--plus"), "minus": typed_terms(minus, "--minus")}


def split_list(text: str | None) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def gair_config(
    mixing_weight: float | None,
    candidates: str | None,
    seeds: str | None,
    scheduler: str | None,
    steps: int | None,
    guidance: float | None,
    attributes: str | None,
    concept_images: Sequence[Path] | None,
) -> "GairConfig":
    """GAIR's options as they were typed. Raises GairError where a list can't be read."""
    from gair_search.gair.options import GairConfig
    from gair_search.generation.sampling import SamplingConfig

    defaults = SamplingConfig()
    return GairConfig(
        mixing_weight=mixing_weight,
        candidates=None if candidates is None else _numbers(candidates, float, "--candidates 0,0.5,1"),
        seeds=GairConfig.seeds if seeds is None else _numbers(seeds, int, "--seeds 0,1,2"),
        sampling=SamplingConfig(scheduler, steps, defaults.guidance if guidance is None else guidance),
        attributes=tuple(split_list(attributes)),
        concept_images=tuple(concept_images or ()),
    )


def _numbers(text: str, kind: type[Number], example: str) -> tuple[Number, ...]:
    try:
        return tuple(kind(word) for word in split_list(text))
    except ValueError:
        raise GairError(
            f'"{text}" can\'t be read as numbers with commas between them, as {example}'
        ) from None
