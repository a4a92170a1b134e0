"""`gair bench generation`: whether images of `* c` show concept and context (Perera et al., section 5, table 2).

Every token draws 'image of a * c CONTEXT' for ten contexts, eight images each. The object is right where an image is
nearest to the concept's own images, among the concepts of the run; the context where it is nearest to its text, among
the ten. Who says so is the encoder that the token was learned with and, besides, one that it was not.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, cat, inference_mode

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.fashion import FREE, further_views
from gair_search.benchmarks.datasets.trials import Trial
from gair_search.benchmarks.fashion_world import BACKGROUNDS
from gair_search.benchmarks.harness import learning
from gair_search.benchmarks.harness.cells import (
    Progress,
    Report,
    Table,
    Work,
)
from gair_search.benchmarks.harness.judges import (
    PIXELS,
    EncoderJudge,
    Judge,
    PixelJudge,
)
from gair_search.benchmarks.harness.learning import LearnedTokens
from gair_search.benchmarks.harness.measures import (
    Comparison,
    Summary,
    paired_bootstrap,
    summary,
)
from gair_search.benchmarks.harness.sheets import (
    SIDE,
    Cell,
    grid,
    sheet,
    tiles,
)
from gair_search.benchmarks.methods.concepts import OURS, Study
from gair_search.benchmarks.tables.retrieval import cell_name
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import GairError
from gair_search.gair.drawing import blank
from gair_search.generation.generator import Sampling
from gair_search.learning.templates import CLASSIFICATION, Slot

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

BASELINE = "textual inversion"

PAPER = {
    "chance": (("0.166", "0.100", "0.133"), ("0.166", "0.100", "0.133")),
    BASELINE: (("0.975", "0.118", "0.546"), ("0.983", "0.098", "0.541")),
    OURS: (("0.942", "0.456", "0.699"), ("0.967", "0.438", "0.702")),
}
"""Table 2: object, context, average; by CLIP, and by ALIGN. Textual inversion is the one through CLIP."""

PAPER_BERT = (("0.621", "0.743", "0.682"), ("0.764", "0.754", "0.759"))
"""Textual inversion through BERT in latent diffusion, which is no row of ours."""

MEASURES = ("object", "context", "average", "object of all")

_RENDERED = 64
"""Side of renderings in pixels: about that of what is drawn."""
_FITTED_ON, _TRUTH, _ROOM = FREE + 30_000, FREE + 40_000, 200
_RENDERINGS = 1_500


@dataclass(frozen=True)
class GenerationConfig(learning.TokenRunConfig):
    """What a run is made of.

    Attributes:
        limit: concepts a seed, told apart; six as in the paper.
        contexts: texts that follow '* c'; of the fashion world ten of its places, else `PHOTO_CONTEXTS`.
        images: of each context, from as many seeds of noise.
        judge: the second one, `pixels` or any model; the fashion world has `pixels` unless given.
        sampling: how images are drawn.
    """

    limit: int | None = 6
    contexts: tuple[str, ...] = ()
    images: int = 8
    judge: str = ""
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def asked(self) -> tuple[str, ...]:
        """The contexts."""
        places = tuple(phrases[0] for phrases in BACKGROUNDS.values())[:10]
        return self.contexts or (places if self.dataset == "fashion" else PHOTO_CONTEXTS)

    @property
    def places(self) -> tuple[str, ...] | None:
        """The fashion world's places that the contexts name; None where one names none."""
        of = {phrase: place for place, phrases in BACKGROUNDS.items() for phrase in phrases}
        found = tuple(of.get(context, "") for context in self.asked)
        return found if self.dataset == "fashion" and all(found) and len(set(found)) == len(found) else None

    @property
    def second(self) -> str:
        """The second judge; "" for none."""
        return self.judge or (PIXELS if self.places else "")

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return super().to_json(encoder) | {"contexts": list(self.asked), "judge": self.second}


@dataclass(frozen=True)
class Seen:
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
        return dict(
            zip(
                MEASURES,
                (self.object, self.context, (self.object + self.context) / 2, self.object_of_all),
                strict=True,
            )
        )


def generation(
    encoder: Encoder,
    settings: GenerationConfig,
    work: Path | None = None,
    other: Encoder | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Draw and judge; learned tokens, drawn images and their features come from the work folder.

    Args:
        encoder: a model with a generator; the first judge.
        settings: what to run.
        work: where finished parts are kept; `GAIR_HOME/bench` unless given.
        other: the second judge's model, where it is not `pixels`.
        on_progress: called with how many (seed, concept, method) are done, and how many there are.

    Raises:
        DatasetError: the data set is absent or incomplete. ModelError: the tower takes plain prompts only.
        GairError: no generator, an unknown method, a context too long, a judge that can't judge these;
            ConceptError: too few negative images.
    """
    if settings.second == PIXELS and settings.places is None:
        raise GairError(
            f"the judge {PIXELS} knows the fashion world's places alone: "
            f"{', '.join(phrases[0] for phrases in BACKGROUNDS.values())}; name a model as --judge for others"
        )
    if other and other.embedder_id == encoder.embedder_id:
        raise GairError(f"--judge {other.spec.name} is the model itself; name another encoder")
    lessons = LearnedTokens(encoder, settings, work, draws=True)
    generator = lessons.generator
    assert generator is not None
    report = Report("generation", settings.to_json(encoder), {}, [])
    report.settings |= {
        "generator": generator.identity,
        "sampling": asdict(generator.settled(settings.sampling)),
    }
    facts = {name: report.settings[name] for name in ("generator", "sampling", "contexts", "images")}
    drawn = Work("generation", lessons.image_key(facts), work)
    rows = (*lessons.rows, *((RENDERED,) if settings.places else ()))
    seen: dict[str, dict[str, dict[str, Seen]]] = {}
    blanks = dict.fromkeys(rows, 0)
    done = of_all = of_run = 0
    for seed in settings.seeds:
        known = settings.trials(seed)
        trials = known[: settings.limit]
        of_all, of_run = len(known), len(trials)
        total = of_run * len(rows) * len(settings.seeds)
        judges = list(_judges(settings, seed, known, drawn, encoder, other))
        for number, trial in enumerate(trials):
            study, sheets = lessons.study(trial, seed), {}
            for name in rows:
                sheets[name] = pictures = (
                    _truth(settings, seed, number, trial)
                    if name == RENDERED
                    else _drawn(lessons, study, name, settings, drawn)
                )
                dark = np.array([blank(np.asarray(picture.image())) for picture in pictures])
                blanks[name] += int(dark.sum())
                for judge in judges:
                    found = seen.setdefault(judge.name, {}).setdefault(name, {})
                    found[f"seed{seed}/{trial.concept.name}"] = judged(
                        *judge.scores(pictures), number, of_run, dark
                    )
                done += 1
                if on_progress:
                    on_progress(done, total)
            if seed == settings.seeds[0]:
                report.pictures[f"generation-{trial.concept.name}"] = _grid_of(trial, settings.asked, sheets)
    report.values = {
        "judges": {
            judge: {name: _values(own, by_method.get(BASELINE, {})) for name, own in by_method.items()}
            for judge, by_method in seen.items()
        },
        "blank images": blanks,
        "chance": {"object": 1 / of_run, "context": 1 / len(settings.asked), "object of all": 1 / of_all},
        "skipped": lessons.skipped,
    }
    report.tables = [_table(report, judge, i) for i, judge in enumerate(seen)]
    return report


def contexts_of(tower: TextTower, parent: str, vectors: Tensor, contexts: Sequence[str]) -> Tensor:
    """Conditioning of 'image of a * c CONTEXT', `[len(contexts), n_ctx, text_width]`; a context may be "".

    Args:
        vectors: a token, `[n_vectors, text_width]`; none leaves the parent alone.

    Raises:
        GairError: a prompt is longer than the text tower takes.
    """
    rows = []
    for context in contexts:
        slot = Slot.template(tower, f"{CLASSIFICATION} {context}".rstrip(), parent)
        if slot.length(len(vectors)) > tower.n_ctx:
            raise GairError(
                f'"{context}" with {len(vectors)} vectors takes {slot.length(len(vectors))} places of {tower.n_ctx}; '
                f"name a shorter context"
            )
        with inference_mode():
            rows.append(slot.encode(tower, vectors, full_context=True).conditioning)
    return cat(rows)


def judged(
    objects: NDArray[Any], contexts: NDArray[Any], number: int, of_run: int, dark: NDArray[Any]
) -> Seen:
    """Accuracies of one token's images, context by context; what is blank shows neither.

    Args:
        objects, contexts: a judge's scores, `[N, concepts of the data set]` and `[N, contexts]`, N a multiple of
            the contexts: image i was asked for context `i // (N / contexts)`.
        number: of the concept.
        of_run: the first so many concepts are the run's.
        dark: which images are blank, bool `[N]`.
    """
    asked = np.repeat(np.arange(contexts.shape[1]), len(contexts) // contexts.shape[1])
    right = (
        objects[:, :of_run].argmax(1) == number,
        contexts.argmax(1) == asked,
        objects.argmax(1) == number,
    )
    return Seen(*(float((flags & ~dark).mean()) for flags in right))


def _drawn(
    lessons: LearnedTokens, study: Study, name: str, settings: GenerationConfig, work: Work
) -> list[Picture]:
    """A token's images, context by context."""

    def draw() -> bytes:
        assert lessons.generator is not None
        vectors, _ = lessons.vectors(study, name)
        told = contexts_of(study.encoder.text_tower, study.concept.parent, vectors, settings.asked)
        return sheet(lessons.generator, told, settings.images, settings.sampling)

    file = work.file(f"{cell_name(study, name)}.png", draw)
    return tiles(file, len(settings.asked), settings.images)


def _judges(
    settings: GenerationConfig,
    seed: int,
    known: Sequence[Trial],
    work: Work,
    encoder: Encoder,
    other: Encoder | None,
) -> Iterator[Judge]:
    objects = [trial.concept.images for trial in known]
    yield EncoderJudge(encoder, work, objects, settings.asked)
    if settings.second == PIXELS:
        assert settings.places is not None
        views = math.ceil(_RENDERINGS / len(known) / len(settings.places))
        places = list(settings.places) * views
        pictures = [
            picture
            for number, trial in enumerate(known)
            for picture in _views(trial, seed, places, _FITTED_ON + number * _ROOM)
        ]
        numbers = np.repeat(np.arange(len(known)), len(places)).tolist()
        contexts = [*range(len(settings.places))] * (views * len(known))
        yield PixelJudge(pictures, numbers, contexts, seed)
    elif other is not None:
        yield EncoderJudge(other, work, objects, settings.asked)


def _truth(settings: GenerationConfig, seed: int, number: int, trial: Trial) -> list[Picture]:
    """A concept in every context."""
    assert settings.places is not None
    return _views(trial, seed, settings.places, _TRUTH + number * _ROOM)


def _views(trial: Trial, seed: int, places: Sequence[str], first: int) -> list[Picture]:
    assert trial.item is not None
    return further_views(trial.item, trial.concept.name, seed, places, first, _RENDERED)


def _values(concepts: Mapping[str, Seen], others: Mapping[str, Seen]) -> dict[str, Any]:
    """A method's figures by one judge: mean and deviation over the seeds' means, and against the baseline."""
    found: dict[str, Any] = {"n": len(concepts)}
    for measure in MEASURES:
        by_seed: dict[str, list[float]] = {}
        for label, seen in concepts.items():
            by_seed.setdefault(label.split("/")[0], []).append(seen.values[measure])
        means = [float(np.mean(own)) for own in by_seed.values()]
        found[measure] = asdict(summary(means)) | {"by seed": means}
    if others and others is not concepts and len(concepts) > 1:
        ours, theirs = ([own[label].values["average"] for label in concepts] for own in (concepts, others))
        found["against textual inversion"] = asdict(paired_bootstrap(ours, theirs))
    return found


def _table(report: Report, judge: str, place: int) -> Table:
    """Table 2 by one judge: the first beside the paper's by CLIP, the second beside that by ALIGN."""
    s, chance = report.settings, report.values["chance"]
    encoder = ("CLIP", "ALIGN")[place]
    head = (
        "",
        *MEASURES,
        "average - textual inversion [95%]",
        "p",
        *(f"paper, {encoder}: {name}" for name in MEASURES[:3]),
    )
    average = (chance["object"] + chance["context"]) / 2
    guessed = (chance["object"], chance["context"], average, chance["object of all"])
    rows = [("chance", *(f"{value:.3f}" for value in guessed), "", "", *PAPER["chance"][place])]
    for name, found in report.values["judges"][judge].items():
        against = found.get("against textual inversion")
        compared = Comparison(**against) if against else None
        rows.append(
            (
                f"{name} (joint + projection)" if name == OURS else name,
                *(f"{Summary(found[m]['mean'], found[m]['sd'], found[m]['n']):.3f}" for m in MEASURES),
                f"{compared.difference:+.3f} [{compared.low:+.3f}, {compared.high:+.3f}]" if compared else "",
                f"{compared.p:.4f}" if compared else "",
                *(PAPER[name][place] if name in PAPER else ("",) * 3),
            )
        )
    n = next(iter(report.values["judges"][judge].values()))["n"]
    how = s["sampling"]
    note = (
        f"{s['dataset']}, {s['model']}: n = {n} concepts over {len(s['seeds'])} seeds, {len(s['contexts'])} contexts x "
        f"{s['images']} images each, {how['scheduler']}, {how['steps']} steps, guidance {how['guidance']:g}; "
        f"{s['shots']} concept images, {s['learning']['steps']} steps of learning. ± is the standard deviation of the "
        f"seeds' means. Object: nearest to the concept among the {1 / chance['object']:.0f} of a seed's run, and among "
        f"all {1 / chance['object of all']:.0f} of the data set. The difference is resampled in pairs over concepts. "
        f"The paper: Textual Inversion's photos, Stable Diffusion 1.4; textual inversion through BERT, no row "
        f"here, has {', '.join(PAPER_BERT[place])}."
    )
    if blanks := {name: count for name, count in report.values["blank images"].items() if count}:
        note += f" Blank images, which show nothing: {', '.join(f'{k} {v}' for k, v in blanks.items())}."
    if report.values["skipped"]:
        skipped = report.values["skipped"]
        note += f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}."
    who = f"{judge}, the encoder that tokens are learned with" if place == 0 else judge
    return Table(f"Table 2: what tokens draw, judged by {who}", head, tuple(rows), note)


def _grid_of(
    trial: Trial, contexts: Sequence[str], sheets: Mapping[str, Sequence[Picture]]
) -> Callable[[], Image.Image]:
    """A concept's picture: its images, then a row a method with the first image of each context."""

    def draw() -> Image.Image:
        rows: dict[str, Sequence[Picture]] = {
            f"{trial.concept.name}, learned from": trial.concept.images[: len(contexts)]
        }
        rows |= {name: shown[:: len(shown) // len(contexts)] for name, shown in sheets.items()}
        return grid(
            [(name, [Cell(one.image(SIDE)) for one in some]) for name, some in rows.items()], contexts
        )

    return draw
