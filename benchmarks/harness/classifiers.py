"""How the classifiers of `gair bench fewshot` are made: one study a seed and table, the dear parts once."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.benchmarks.datasets.labelled import ClassSet
from gair_search.benchmarks.harness.cells import Work, digest, picture_contents
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.methods import fewshot as methods
from gair_search.benchmarks.methods.fewshot import Shots
from gair_search.encoder.clip import Encoder
from gair_search.generation.generator import Generator
from gair_search.learning import stori as tw
from gair_search.learning.config import LearningConfig
from gair_search.learning.joint import Denoiser
from gair_search.learning.preparation import make_denoiser

ZERO_SHOT, TASKRES, TASKRES_OWN, STORI = "zero-shot CLIP", "TaskRes", "TaskRes at 2e-3", "SToRI"
BASE, BOTH = "base", "base + descriptions"
NAMED = (
    (ZERO_SHOT, BASE),
    (ZERO_SHOT, BOTH),
    (TASKRES, BASE),
    (TASKRES, BOTH),
    (TASKRES_OWN, BOTH),
    (STORI, BOTH),
)
"""Rows of table 2: method and text."""

TEXTS = ("descriptions", "descriptions + nonsense", "nonsense instead")
"""Rows of table 1; the last one is not the paper's."""

NEAREST, INVERSION, TUNING, MC_TI = "nearest class mean", "textual inversion", "prompt tuning", "MC-TI"
AGNOSTIC = (NEAREST, INVERSION, TUNING, MC_TI)
NEED_DIFFUSION = frozenset({INVERSION, MC_TI})
"""Rows that need a generator."""

RATES = {TASKRES: (2e-4, 0.005), TASKRES_OWN: (2e-3, 5e-4)}
"""Learning rate and weight decay: SToRI's appendix A.1; TaskRes's own scripts. A tenth of the rate for ImageNet."""
IMAGENET = 1000

SELECTING = 16
"""Pictures of a class that descriptions are selected by, where there are many classes; whatever shots are asked for."""

Cut = tuple[str, str, int]
"""Table, row, shots (0: nothing learned)."""


def _slug(part: object) -> str:
    """A part of a file's name."""
    return re.sub(r"[^\w.]+", "-", str(part))


@dataclass(frozen=True)
class ClassifierStudy:
    """A seed's pictures of one table, and how each of its classifiers is made; the dear parts once, when needed.

    Attributes:
        table: `named` or `agnostic`.
        encoder: the model.
        data: the classes and their pictures.
        work: keeps features.
        shots_wanted: how many pictures of each class to learn from.
        epochs: of learning token weights and residuals; the paper's where None.
        rate: of learning token weights; the paper's where None.
        learning: of tokens.
        generator: for the diffusion loss; None without one.
        seed: of the pictures and of learning.
        rates: shots -> rate of learning token weights, in place of `rate`.
    """

    table: str
    encoder: Encoder
    data: ClassSet
    work: Work
    shots_wanted: tuple[int, ...]
    epochs: int | None
    rate: float | None
    learning: LearningConfig
    generator: Generator | None
    seed: int
    rates: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Of all pictures, `[N, embed_dim]`."""
        return np.concatenate([self.work.features(self.encoder, part) for part in self.data.parts if part])

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "data set": self.data.name,
            "classes": self.data.ids,
            "pictures a seed": len(self.data.test),
        }

    @cached_property
    def cuts(self) -> list[int]:
        """The shots that exist: the smallest asked for at least."""
        wanted = sorted(self.shots_wanted)
        return [k for k in wanted if k <= self.data.most_shots] or wanted[:1]

    def cell_name(self, cut: Cut) -> str:
        """Where a classifier is kept: by what its classes and the pictures that it is learned from are."""
        k, data = cut[2], self.data
        places = data.shots(k) if k else []
        if self._selects:
            places = places + data.shots(SELECTING)
        pictures, side = data.pictures, max(self.encoder.preprocessing.size)
        learned_from = picture_contents([pictures[place] for place in places], side) if places else []
        key = digest([[asdict(one) for one in data.classes], learned_from])
        return f"seed{self.seed}/{'-'.join(map(_slug, cut))}-{key}"

    @property
    def _selects(self) -> bool:
        """Whether descriptions are selected by pictures."""
        return self.table == "named" and len(self.data.classes) >= methods.MANY_CLASSES

    def shots(self, k: int) -> Shots:
        """The first k pictures of each class."""
        places = self.data.shots(k)
        device = self.encoder.device
        features = torch.from_numpy(self.features[places]).to(device)
        labels = torch.from_numpy(self.data.labels[places]).to(device)
        epochs = self.epochs or (100 if k <= tw.FEW_SHOTS else 200)
        return Shots(features, labels, epochs, self.seed)

    @cached_property
    def plan(self) -> dict[Cut, Callable[[], Tensor]]:
        """What there is to learn, and how."""
        return dict(self._named_classifiers() if self.table == "named" else self._agnostic_classifiers())

    def _named_classifiers(self) -> Iterator[tuple[Cut, Callable[[], Tensor]]]:
        for method, text in NAMED:
            row = f"{method}, {text}"
            if method == ZERO_SHOT:
                yield ("named", row, 0), partial(self._zero_shot, text)
                continue
            for k in self.cuts:
                learned = self._stori if method == STORI else partial(self._taskres, method)
                yield ("named", row, k), partial(learned, text, k)
        k = self.cuts[-1]
        for text in TEXTS:
            yield ("nonsense", text, 0), partial(self._zero_shot, text)
            yield ("nonsense", text, k), partial(self._stori, text, k)

    def _agnostic_classifiers(self) -> Iterator[tuple[Cut, Callable[[], Tensor]]]:
        for k in self.cuts:
            yield ("agnostic", NEAREST, k), partial(self._nearest, k)
            yield (
                ("agnostic", TUNING, k),
                partial(self._tokens, self.learning.with_method("prompt tuning"), k),
            )
            if self.generator is None:
                continue
            yield (
                ("agnostic", INVERSION, k),
                partial(self._tokens, self.learning.with_method("textual inversion"), k),
            )
            yield ("agnostic", MC_TI, k), partial(self._tokens, self.learning, k)

    @cached_property
    def prompts(self) -> Callable[[str], tw.ClassPrompts]:
        """Encoded prompts by the name of the text."""
        tower, classes, seed = self.encoder.text_tower, self.data.classes, self.seed
        if self._selects:
            classes = methods.keep_nearest_descriptions(classes, tower, self.shots(SELECTING))
        texts: dict[str, Callable[[], tw.ClassPrompts]] = {
            BASE: lambda: tw.encode_class_prompts([c.prompts for c in classes], tower),
            BOTH: lambda: methods.base_and_descriptions(classes, tower),
            TEXTS[0]: lambda: tw.encode_class_prompts([c.descriptions for c in classes], tower),
            TEXTS[1]: lambda: tw.encode_class_prompts(methods.with_nonsense(classes, seed), tower),
            TEXTS[2]: lambda: tw.encode_class_prompts(methods.nonsense_instead(classes, tower, seed), tower),
        }
        return cache(lambda name: texts[name]())

    def _zero_shot(self, text: str) -> Tensor:
        return methods.zero_shot(self.prompts(text), self.encoder.text_tower)

    def _stori(self, text: str, k: int) -> Tensor:
        return methods.stori(
            self.prompts(text), self.encoder.text_tower, self.shots(k), self.rates.get(k, self.rate)
        )

    def _nearest(self, k: int) -> Tensor:
        return methods.nearest_class_mean(self.shots(k), len(self.data.classes))

    def _taskres(self, method: str, text: str, k: int) -> Tensor:
        rate, decay = RATES[method]
        tower = self.encoder.text_tower
        fitting = rate / 10 if len(self.data.classes) >= IMAGENET else rate
        return methods.taskres(
            methods.raw_base(self.prompts(text), tower), self.shots(k), tower.logit_scale, fitting, decay
        )

    def _tokens(self, learning: LearningConfig, k: int) -> Tensor:
        denoisers: list[Denoiser] = []
        if learning.lambda_sd and self.generator is not None:
            pictures = self.data.pictures
            side = max(self.generator.size)
            denoisers = [
                make_denoiser([pictures[i].image(side) for i in own[:k]], self.generator)
                for own in self.data.train
            ]
        n = len(self.data.classes)
        return methods.tokens(self.encoder.text_tower, self.shots(k), n, learning, denoisers)

    def classify(
        self, classifier: NDArray[np.float32], cut: Cut, report: Report | None
    ) -> Iterator[tuple[str, bool]]:
        """(`seed{s}/{picture}`, whether it is classified rightly); scores go into the report where there is one.

        Args:
            classifier: `[C, embed_dim]`.
            cut: what it is of.
            report: keeps the scores.
        """
        table, row, k = cut
        names = self.data.ids
        places = list(self.data.test)
        scores = self.features[places] @ classifier.T
        # of equal scores the larger id counts, as trec_eval and so ir-measures order them
        by_id = np.argsort(np.array(names))[::-1]
        best = by_id[scores[:, by_id].argmax(axis=1)]
        truth, pictures = self.data.labels[places], self.data.pictures
        for place, line, top, label in zip(places, scores, best, truth, strict=True):
            query = f"seed{self.seed}/{pictures[place].id}"
            if report is not None:
                run = f"{table} {_slug(row)} {k}-shot"
                report.keep_ranking(
                    run, f"{table}/{query}", dict(zip(names, line, strict=True)), [names[label]]
                )
            yield query, bool(top == label)
