"""What a reproduction will cost: how much of each kind of work a run has, and what a unit of it takes on this device.

The work is counted from the data and the configurations. A unit is timed by the same code that the runs call, for a
few seconds each. Left out are reading and decoding of pictures, figures, and what is finished already.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from gair_search.benchmarks.costs.learning import draw_photos, photo_problem
from gair_search.benchmarks.costs.text import PLAIN_PROMPT
from gair_search.benchmarks.datasets.attributes import celeba, cub
from gair_search.benchmarks.datasets.combinations import FIVE_PER_CATEGORY
from gair_search.benchmarks.datasets.labelled import ClassSet
from gair_search.benchmarks.harness.classifiers import TEXTS
from gair_search.benchmarks.harness.learned_tokens import TrialsConfig
from gair_search.benchmarks.harness.report import Table
from gair_search.benchmarks.harness.timing import wait_for
from gair_search.benchmarks.methods import fewshot as classifiers
from gair_search.benchmarks.methods.concepts import GAIR, LEARNED
from gair_search.benchmarks.methods.fewshot import Shots
from gair_search.benchmarks.methods.prompts import compile_prompts
from gair_search.benchmarks.reproduction.plan import RunOf
from gair_search.benchmarks.tables.fewshot import FewShotConfig
from gair_search.benchmarks.tables.generation import GenerationConfig
from gair_search.benchmarks.tables.preference import PreferenceConfig
from gair_search.benchmarks.tables.recognition import RecognitionConfig
from gair_search.benchmarks.tables.retrieval import RetrievalConfig
from gair_search.benchmarks.tables.speed import SpeedConfig
from gair_search.encoder.clip import Encoder
from gair_search.gair.options import GairConfig
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.learning.config import LearningConfig
from gair_search.learning.joint import learn_vectors
from gair_search.learning.negatives import N_NEGATIVES
from gair_search.learning.stori import FEW_SHOTS, PAPER, encode_class_prompts

DIFFUSION, CLASSIFICATION, DRAWN, ENCODED, WEIGHED, PROMPTS = UNITS = (
    "diffusion steps",
    "classification steps",
    "images drawn",
    "pictures encoded",
    "prompts weighed",
    "prompts encoded",
)
"""Kinds of work. A prompt is weighed where a step of learning token weights takes it through the tower and back."""

NEED_GENERATOR = (DIFFUSION, DRAWN)

Work = dict[str, int]
"""Kind -> how many."""

LEAST_SECONDS = 2.0
"""A unit is timed in growing numbers until a number of them has taken so long."""

_MOST_AT_ONCE = 1024
_CLASSES, _TEXTS = 4, 8
_WEIGHTINGS = 120
"""About so many prompts a combination, of both weightings: they take seconds in all."""


def count_work(config: RunOf, encoder: Encoder) -> Work:
    """How much of each kind a run has, from its data; an upper bound where a search may end early.

    Raises:
        DatasetError: as the run.
    """
    if isinstance(config, SpeedConfig):
        return {PROMPTS: 4 * config.rounds * len(config.seeds), ENCODED: config.images}
    if isinstance(config, TrialsConfig):
        return _sum(_count_trials(config, encoder, seed) for seed in config.seeds)
    if isinstance(config, RetrievalConfig):
        return _sum(_count_retrieval(config, encoder, seed) for seed in config.seeds)
    if isinstance(config, FewShotConfig):
        return _sum(_count_fewshot(config.load(seed)[0], config) for seed in config.seeds)
    return _count_preference(config)


def _sum(parts: Iterable[Work]) -> Work:
    found: Work = {}
    for part in parts:
        for name, n in part.items():
            found[name] = found.get(name, 0) + n
    return found


def _steps(learned: Iterable[LearningConfig], concepts: int) -> Work:
    """Steps of learning each of these tokens once for each concept."""
    found = {DIFFUSION: 0, CLASSIFICATION: 0}
    for one in set(learned):
        found[DIFFUSION] += concepts * one.steps * bool(one.lambda_sd)
        found[CLASSIFICATION] += concepts * one.steps * bool(one.lambda_ce)
    return found


def _of_rows(rows: Sequence[str], own: LearningConfig) -> list[LearningConfig]:
    """The configurations of those rows that are learned."""
    return [
        replace(own, projection=LEARNED[name][1]).with_method(LEARNED[name][0])
        for name in rows
        if name in LEARNED
    ]


def _count_trials(config: TrialsConfig, encoder: Encoder, seed: int) -> Work:
    trials, own = config.trials(seed)[: config.limit], config.learning(encoder)
    learned = _of_rows(config.rows, own)
    parents = {trial.concept.parent for trial in trials}
    pictures = sum(len(trial.concept.images) for trial in trials)
    drawn = 0
    if isinstance(config, RecognitionConfig):
        learned += [replace(own, lambda_sd=a, lambda_ce=b, projection=False) for a, b in config.loss_weights]
        tested = {p.id for t in trials for part in (t.held_out, t.parents, t.others) for p in part}
        pictures += len(tested)
    if isinstance(config, GenerationConfig):
        drawn = len(trials) * len(config.rows) * len(config.context_texts) * config.images
        pictures += drawn * (2 if config.second_judge else 1)
    negatives = N_NEGATIVES * len(parents)
    return _steps(learned, len(trials)) | {DRAWN: drawn + negatives, ENCODED: pictures + negatives}


def _count_retrieval(config: RetrievalConfig, encoder: Encoder, seed: int) -> Work:
    data = config.load(seed)
    options = GairConfig()
    candidates = len(options.first_weights) + 2 * options.refines  # both midpoints beside the best
    searches = len(data.queries) * len(set(config.rows) & set(GAIR))
    drawn = searches * (candidates + 1) * len(options.seeds) + N_NEGATIVES  # and the context images
    pictures = len(data.gallery) + sum(len(concept.images) for concept in data.concepts)
    learned = _of_rows(config.rows, config.learning(encoder))
    return _steps(learned, len(data.concepts)) | {DRAWN: drawn, ENCODED: pictures + drawn}


def _count_fewshot(data: ClassSet, config: FewShotConfig) -> Work:
    """Token weights of base and descriptions for all shots, and of the three texts of table 1 for the most."""
    many = len(data.classes) >= classifiers.MANY_CLASSES
    texts = [
        min(len(c.descriptions), classifiers.KEPT) if many else len(c.descriptions) for c in data.classes
    ]
    shots = [k for k in sorted(config.shots) if k <= data.most_shots] or [min(config.shots)]
    rows = [(k, sum(texts) + len(texts)) for k in shots] + [(shots[-1], sum(texts))] * len(TEXTS)
    weighed = 0
    for k, prompts in rows:
        epochs = config.epochs or (100 if k <= FEW_SHOTS else 200)
        weighed += epochs * math.ceil(len(data.shots(k)) / PAPER.batch_size) * prompts
    return {WEIGHED: weighed, ENCODED: len(data.pictures)}


def _count_preference(config: PreferenceConfig) -> Work:
    """CUB's pictures, which all combinations share; CelebA's test split, and the pictures of each combination."""
    prompts = _WEIGHTINGS * config.limit * len(config.seeds)
    if config.dataset == "cub":
        return {ENCODED: len(cub(config.folder).pictures), PROMPTS: prompts}
    pools = 8 * config.per_category * config.limit * len(config.seeds)
    five = 2**5 * min(FIVE_PER_CATEGORY, config.per_category) * config.five * len(config.seeds)
    return {ENCODED: int(celeba(config.folder).test.sum()) + pools + five, PROMPTS: prompts}


def probe_device(
    encoder: Encoder, generator: Generator | None, config: LearningConfig, least: float = LEAST_SECONDS
) -> dict[str, float]:
    """Seconds that a unit of each kind takes on this device, measured for some seconds each.

    Args:
        encoder: the model.
        generator: for what needs one, which is left out without.
        config: of learning.
        least: seconds that a kind is timed for, unless its first unit takes longer.
    """
    with TemporaryDirectory() as folder:
        kinds = _kinds(encoder, generator, config, Path(folder))
        return {name: _seconds_each(work, encoder.device, least) for name, work in kinds.items()}


def _kinds(
    encoder: Encoder, generator: Generator | None, config: LearningConfig, folder: Path
) -> dict[str, Callable[[int], object]]:
    """Kind -> what does so many units of it."""
    tower = encoder.text_tower
    files = draw_photos(folder)
    (plain,) = compile_prompts(encoder, [PLAIN_PROMPT])
    texts = [tuple(f"a photo of {c} {i}" for i in range(_TEXTS)) for c in "abcd"]
    prompts = encode_class_prompts(texts, tower)
    rows = torch.nn.functional.normalize(torch.randn(_CLASSES, encoder.spec.embed_dim), dim=-1)
    shots = Shots(rows.to(encoder.device), torch.arange(_CLASSES, device=encoder.device), 1)
    height, width = encoder.preprocessing.size
    pixels = np.zeros((height, width, 3), np.uint8)

    def steps(method: str) -> Callable[[int], object]:
        own = config.with_method("textual inversion" if method == DIFFUSION else "prompt tuning")
        drawing = generator if method == DIFFUSION else None
        problem = photo_problem(encoder, drawing, files, "dress", own)  # type: ignore[arg-type]
        return lambda n: learn_vectors(problem, tower, replace(own, steps=n, check_every=n), 0)

    found: dict[str, Callable[[int], object]] = {}
    if generator is not None:
        drawing = generator
        conditioning = tower.encode_ids([tower.token_ids("a dress")], full_context=True).conditioning
        found[DIFFUSION] = steps(DIFFUSION)
        found[DRAWN] = lambda n: drawing.sample(
            conditioning.expand(n, -1, -1), list(range(n)), SamplingConfig()
        )
    return found | {
        CLASSIFICATION: steps(CLASSIFICATION),
        ENCODED: lambda n: encoder.encode_pixels([pixels] * n),
        WEIGHED: lambda n: classifiers.stori(
            prompts, tower, replace(shots, epochs=math.ceil(n / (_CLASSES * _TEXTS)))
        ),
        PROMPTS: lambda n: [encoder.encode_embeddings(plain.embeddings, plain.end) for _ in range(n)],
    }


def _seconds_each(work: Callable[[int], object], device: torch.device, least: float) -> float:
    """Seconds of a unit, after one that is not counted: by a number of them that takes `least` seconds."""
    work(1)
    n = 1
    while True:
        wait_for(device)
        began = time.perf_counter()
        work(n)
        wait_for(device)
        took = time.perf_counter() - began
        if took >= least or n >= _MOST_AT_ONCE:
            return took / n
        n *= 4


def device_name(device: torch.device) -> str:
    """`cuda, NVIDIA H100 PCIe`; of a CPU the threads."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    return f"{device}, {torch.get_num_threads()} thread(s)"


@dataclass(frozen=True)
class Estimate:
    """What runs will cost.

    Attributes:
        work: run -> its work.
        seconds_each: kind -> seconds of a unit, as probed; what was not probed is absent.
        device: that was probed.
    """

    work: Mapping[str, Work]
    seconds_each: Mapping[str, float]
    device: str

    def hours(self, run: str) -> float:
        """Of a run."""
        return sum(n * self.seconds_each.get(kind, 0.0) for kind, n in self.work[run].items()) / 3600

    @property
    def total_hours(self) -> float:
        """Of all runs, one after the other."""
        return sum(map(self.hours, self.work))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "device": self.device,
            "seconds each": dict(self.seconds_each),
            "runs": {run: {"work": dict(work), "hours": self.hours(run)} for run, work in self.work.items()},
            "hours": self.total_hours,
        }

    def table(self) -> Table:
        """For people."""
        kinds = [kind for kind in UNITS if any(work.get(kind) for work in self.work.values())]
        rows = [
            (run, *(f"{work.get(kind, 0):,}" for kind in kinds), f"{self.hours(run):.2f}")
            for run, work in self.work.items()
        ]
        total = _sum(self.work.values())
        rows.append(("all", *(f"{total.get(kind, 0):,}" for kind in kinds), f"{self.total_hours:.2f}"))
        each = ", ".join(
            f"{kind} {self.seconds_each[kind]:.4g} s" for kind in kinds if kind in self.seconds_each
        )
        note = (
            f"An estimate from a probe of some seconds on {self.device}: {each} each. Reading and decoding of pictures "
            f"comes on top; what is finished already is not taken off. The two CLIP models count as one."
        )
        return Table("Estimated cost", ("run", *kinds, "hours"), tuple(rows), note)
