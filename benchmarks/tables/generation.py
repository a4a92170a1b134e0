"""`gair bench generation`: whether images of `* c` show concept and context (Perera et al., section 5, table 2).

Every token draws 'image of a * c CONTEXT' for ten contexts, eight images each. The object is right where an image is
nearest to the concept's own images, among the concepts of the run; the context where it is nearest to its text, among
the ten. Who says so is the encoder that the token was learned with and, besides, one that it was not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.fashion import FREE, further_views
from gair_search.benchmarks.datasets.trials import Trial
from gair_search.benchmarks.fashion_world import BACKGROUNDS
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.judges import (
    PIXELS,
    EncoderJudge,
    Judge,
    PixelJudge,
)
from gair_search.benchmarks.harness.learned_tokens import LearnedTokens, TrialsConfig
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import ProgressCounter
from gair_search.benchmarks.harness.sheets import sheet, tiles
from gair_search.benchmarks.harness.summaries import paired_comparison, seeds_summary
from gair_search.benchmarks.harness.token_cells import cell_name
from gair_search.benchmarks.methods.concepts import Study
from gair_search.benchmarks.methods.prompts import context_conditioning
from gair_search.benchmarks.presentation.generation import (
    BASELINE,
    context_grid,
    generation_table,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.gair.drawing import is_blank
from gair_search.generation.sampling import SamplingConfig
from gair_search.progress import Progress

PHOTO_CONTEXTS = (
    "in the jungle",
    "in the snow",
    "on the beach",
    "on a cobblestone street",
    "on top of pink fabric",
    "on top of a wooden floor",
    "with a city in the background",
    "with a mountain in the background",
    "with a blue house in the background",
    "on top of a purple rug in a forest",
)
"""The first ten of DreamBooth's prompts; the paper names two of its ten."""

RENDERED = "the concept itself, rendered"
"""Row of what the judges say of the truth."""

MEASURES = ("object", "context", "average", "object of all")

_RENDERED = 64
"""Side of renderings in pixels: about that of what is drawn."""
_FITTED_ON, _TRUTH, _ROOM = FREE + 30_000, FREE + 40_000, 200
_RENDERINGS = 1_500


@dataclass(frozen=True)
class GenerationConfig(TrialsConfig):
    """What a run is made of; six concepts a seed as in the paper, which are told apart.

    Attributes:
        contexts: texts that follow '* c'; of the fashion world ten of its places, else `PHOTO_CONTEXTS`.
        images: of each context, from as many seeds of noise.
        judge: the second one, `pixels` or any model; the fashion world has `pixels` unless given.
        sampling: how images are drawn.
    """

    limit: int | None = 6
    contexts: tuple[str, ...] = ()
    images: int = 8
    judge: str = ""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    @property
    def context_texts(self) -> tuple[str, ...]:
        """The contexts that were given, or the data set's own."""
        places = tuple(phrases[0] for phrases in BACKGROUNDS.values())[:10]
        return self.contexts or (places if self.dataset == "fashion" else PHOTO_CONTEXTS)

    @property
    def places(self) -> tuple[str, ...] | None:
        """The fashion world's places that the contexts name; None where one names none."""
        of = {phrase: place for place, phrases in BACKGROUNDS.items() for phrase in phrases}
        found = tuple(of.get(context, "") for context in self.context_texts)
        return found if self.dataset == "fashion" and all(found) and len(set(found)) == len(found) else None

    @property
    def second_judge(self) -> str:
        """The second judge's name; "" for none."""
        return self.judge or (PIXELS if self.places else "")

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return super().to_json(encoder) | {"contexts": list(self.context_texts), "judge": self.second_judge}


@dataclass(frozen=True)
class Accuracies:
    """What a judge saw in the images of one token: shares in 0..1.

    Attributes:
        object: nearest to the concept, among the run's.
        context: nearest to the context, among all.
        object_of_all: nearest to the concept, among all concepts of the data set.
    """

    object: float
    context: float
    object_of_all: float

    @property
    def values(self) -> dict[str, float]:
        """By `MEASURES`."""
        average = (self.object + self.context) / 2
        return dict(zip(MEASURES, (self.object, self.context, average, self.object_of_all), strict=True))


def generation(
    encoder: Encoder,
    config: GenerationConfig,
    work: Path | None = None,
    other: Encoder | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Draw and judge, a unit of progress for each seed, concept and method; arguments as in `harness.run`.

    Learned tokens, drawn images and their features come from the work folder. The encoder needs a generator, and
    is the first judge; `other` is the second judge's model, where it is not `pixels`.

    Raises:
        DatasetError, ModelError: as in `harness.run`. GairError: no generator, an unknown method, a context too
            long, a judge that can't judge these; ConceptError: too few negative images.
    """
    _check_judge(encoder, config, other)
    lessons = LearnedTokens(encoder, config, work, draws=True)
    generator = lessons.generator
    assert generator is not None
    sampling = asdict(generator.complete_sampling(config.sampling))
    drawing = {"generator": generator.identity, "sampling": sampling}
    report = Report("generation", config.to_json(encoder) | drawing)
    facts = {name: report.settings[name] for name in ("generator", "sampling", "contexts", "images")}
    kept = Work("generation", lessons.image_key(facts), work)
    rows = (*lessons.rows, *((RENDERED,) if config.places else ()))
    accuracies: dict[str, dict[str, dict[str, Accuracies]]] = {}
    blanks = dict.fromkeys(rows, 0)
    counter, of_all, of_run = ProgressCounter(on_progress), 0, 0
    for seed in config.seeds:
        known = config.trials(seed)
        of_all, of_run = len(known), len(known[: config.limit])
        counter.total = of_run * len(rows) * len(config.seeds)
        judges = list(_judges(config, seed, known, kept, encoder, other))
        for number, trial in enumerate(known[:of_run]):
            study, sheets = lessons.study(trial, seed), {}
            for name in rows:
                if name == RENDERED:
                    sheets[name] = pictures = _renderings(config, seed, number, trial)
                else:
                    sheets[name] = pictures = _token_images(lessons, study, name, config, kept)
                dark = np.array([is_blank(np.asarray(picture.image())) for picture in pictures])
                blanks[name] += int(dark.sum())
                for judge in judges:
                    found = judge_accuracies(*judge.scores(pictures), number, of_run, dark)
                    own = accuracies.setdefault(judge.name, {}).setdefault(name, {})
                    own[f"seed{seed}/{trial.concept.name}"] = found
                counter.advance()
            if seed == config.seeds[0]:
                name = f"generation-{trial.concept.name}"
                report.pictures[name] = context_grid(trial, config.context_texts, sheets)
    chance = {"object": of_run, "context": len(config.context_texts), "object of all": of_all}
    report.values = {
        "judges": _judges_values(accuracies),
        "blank images": blanks,
        "chance": {name: 1 / n for name, n in chance.items()},
        "skipped": lessons.skipped,
    }
    report.tables = [generation_table(report, judge, i, MEASURES) for i, judge in enumerate(accuracies)]
    return report


def _check_judge(encoder: Encoder, config: GenerationConfig, other: Encoder | None) -> None:
    """Raise GairError where the second judge can't judge these contexts, or is the model itself."""
    if config.second_judge == PIXELS and config.places is None:
        raise GairError(
            f"the judge {PIXELS} knows the fashion world's places alone: "
            f"{', '.join(phrases[0] for phrases in BACKGROUNDS.values())}; name a model as --judge for others"
        )
    if other and other.embedder_id == encoder.embedder_id:
        raise GairError(f"--judge {other.spec.name} is the model itself; name another encoder")


def judge_accuracies(
    objects: NDArray[Any], contexts: NDArray[Any], number: int, of_run: int, dark: NDArray[Any]
) -> Accuracies:
    """Accuracies of one token's images, context by context; what is blank shows neither.

    Args:
        objects, contexts: a judge's scores, `[N, concepts of the data set]` and `[N, contexts]`, N a multiple of
            the contexts: image i was asked for context `i // (N / contexts)`.
        number: of the concept.
        of_run: the first so many concepts are the run's.
        dark: which images are blank, bool `[N]`.
    """
    wanted = np.repeat(np.arange(contexts.shape[1]), len(contexts) // contexts.shape[1])
    right = (
        objects[:, :of_run].argmax(1) == number,
        contexts.argmax(1) == wanted,
        objects.argmax(1) == number,
    )
    return Accuracies(*(float((flags & ~dark).mean()) for flags in right))


def _token_images(
    lessons: LearnedTokens, study: Study, name: str, config: GenerationConfig, work: Work
) -> list[Picture]:
    """A token's images, context by context."""

    def draw() -> bytes:
        assert lessons.generator is not None
        vectors, _ = lessons.vectors(study, name)
        tower, parent = study.encoder.text_tower, study.concept.parent
        conditioning = context_conditioning(tower, parent, vectors, config.context_texts)
        return sheet(lessons.generator, conditioning, config.images, config.sampling)

    file = work.file(f"{cell_name(study, name)}.png", draw)
    return tiles(file, len(config.context_texts), config.images)


def _judges(
    config: GenerationConfig,
    seed: int,
    known: Sequence[Trial],
    work: Work,
    encoder: Encoder,
    other: Encoder | None,
) -> Iterator[Judge]:
    objects = [trial.concept.images for trial in known]
    yield EncoderJudge(encoder, work, objects, config.context_texts)
    if config.second_judge == PIXELS:
        assert config.places is not None
        views = math.ceil(_RENDERINGS / len(known) / len(config.places))
        places = list(config.places) * views
        pictures = [
            picture
            for number, trial in enumerate(known)
            for picture in _views(trial, seed, places, _FITTED_ON + number * _ROOM)
        ]
        numbers = np.repeat(np.arange(len(known)), len(places)).tolist()
        contexts = [*range(len(config.places))] * (views * len(known))
        yield PixelJudge(pictures, numbers, contexts, seed)
    elif other is not None:
        yield EncoderJudge(other, work, objects, config.context_texts)


def _renderings(config: GenerationConfig, seed: int, number: int, trial: Trial) -> list[Picture]:
    """A concept in every context."""
    assert config.places is not None
    return _views(trial, seed, config.places, _TRUTH + number * _ROOM)


def _views(trial: Trial, seed: int, places: Sequence[str], first: int) -> list[Picture]:
    assert trial.item is not None
    return further_views(trial.item, trial.concept.name, seed, places, first, _RENDERED)


def _judges_values(accuracies: Mapping[str, Mapping[str, Mapping[str, Accuracies]]]) -> dict[str, Any]:
    """Judge -> method -> its figures, from judge -> method -> concept -> accuracies."""
    return {
        judge: {name: _values(own, by_method.get(BASELINE, {})) for name, own in by_method.items()}
        for judge, by_method in accuracies.items()
    }


def _values(concepts: Mapping[str, Accuracies], others: Mapping[str, Accuracies]) -> dict[str, Any]:
    """A method's figures by one judge: mean and deviation over the seeds' means, and against the baseline."""
    found: dict[str, Any] = {"n": len(concepts)}
    for measure in MEASURES:
        found[measure] = seeds_summary({label: one.values[measure] for label, one in concepts.items()})
    if others and others is not concepts and len(concepts) > 1:
        ours, theirs = (
            {label: one.values["average"] for label, one in own.items()} for own in (concepts, others)
        )
        found["against textual inversion"] = paired_comparison(ours, theirs)
    return found
