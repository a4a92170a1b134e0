"""`gair bench fewshot`: classes from few pictures (Kim et al. 2024, tables 1 and 2; Wang et al. 2024).

Three tables. With class names: zero-shot CLIP, TaskRes, and SToRI's learned token weights over shots. What token
weights on nonsense are worth. Without class names: tokens that stand for the classes (MC-TI, textual inversion,
prompt tuning) and the nearest class mean. All learn from the same cached image features.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from gair_search.benchmarks.datasets import labelled_attributes, labelled_fashion, labelled_folders
from gair_search.benchmarks.datasets.attributes import celeba, cub
from gair_search.benchmarks.datasets.coop import COOP_SETS, LATE_SHOTS, coop_classes
from gair_search.benchmarks.datasets.folders import caltech256
from gair_search.benchmarks.datasets.labelled import ClassSet, with_descriptions
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.classifiers import (
    BOTH,
    INVERSION,
    MC_TI,
    NEAREST,
    NEED_DIFFUSION,
    SELECTING,
    STORI,
    TASKRES,
    TASKRES_OWN,
    TEXTS,
    TUNING,
    ZERO_SHOT,
    ClassifierStudy,
    Cut,
)
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import (
    ProgressCounter,
    RunConfig,
    load_own_generator,
)
from gair_search.benchmarks.harness.summaries import (
    means_by,
    paired_comparison,
    seeds_summary,
)
from gair_search.benchmarks.presentation.fewshot import (
    agnostic_table,
    named_table,
    nonsense_table,
    shots_figure,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError
from gair_search.generation.generator import Generator
from gair_search.learning.config import LearningConfig, config_for
from gair_search.progress import Progress
from gair_search.tokens import facts

Source = Literal[
    "fashion", "dreambooth", "folders", "caltech256", "cub", "celeba",
    "imagenet", "dtd", "flowers102", "sun397", "caltech101", "food101",
]  # fmt: skip


@dataclass(frozen=True)
class FewShotConfig(RunConfig):
    """What a run is made of; each seed draws the pictures to learn from, the limit is of classes.

    Attributes:
        shots: pictures of each class to learn from.
        token_shots: the same without names; fewer numbers, since the diffusion loss makes tokens dear. None leave the
            table without names out.
        steps: of learning tokens; the model's own unless given.
        epochs: of learning token weights and residuals; the paper's (100, from 8 shots on 200) unless given.
        rate: of learning token weights; the paper's for the data set, the shots and the model unless given.
        per_class: at most so many pictures of a class are classified; 20 in the fashion world, else all.
        descriptions: JSON file, class name -> texts.
        world: further arguments of the fashion world's sets.
        generator: for the diffusion loss, as for `Generator.load`; the model's own unless given.
    """

    dataset: Source = "fashion"
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    token_shots: tuple[int, ...] = (1, 4)
    steps: int | None = None
    epochs: int | None = None
    rate: float | None = None
    per_class: int | None = None
    descriptions: Path | None = None
    world: Mapping[str, Any] = field(default_factory=dict)
    generator: str | None = None

    def __post_init__(self) -> None:
        """Raise GairError where a run can't be made of this."""
        if not self.shots:
            raise GairError("no shots: expected numbers from 1 on")
        for shots in (self.shots, self.token_shots):
            if min(shots, default=1) < 1 or len(set(shots)) < len(shots):
                raise GairError(f"shots {shots}: expected different numbers from 1 on")
        if self.limit is not None and self.limit < 2:
            raise GairError("a single class can't be told from others; take a limit of 2 or more")
        if self.descriptions is not None and not self.descriptions.is_file():
            raise DatasetError(f"{self.descriptions} is no file; expected JSON, class name -> list of texts")

    def load(self, seed: int) -> tuple[ClassSet, ClassSet]:
        """Classes with names, and classes whose names are not used. Raises DatasetError."""
        named, agnostic = self._load(seed)
        if self.descriptions is not None:
            named = with_descriptions(named, self.descriptions)
        return named, agnostic

    def _load(self, seed: int) -> tuple[ClassSet, ClassSet]:
        most, n, per_class = max(*self.shots, *self.token_shots, SELECTING), self.limit, self.per_class
        if self.dataset == "fashion":
            sizes = {"test": per_class or 20, **self.world}
            return (
                labelled_fashion.fashion_colors(seed, n, max(self.shots), **sizes),
                labelled_fashion.fashion_instances(seed, n, max(self.token_shots, default=1), **sizes),
            )
        folder = self.folder
        if self.dataset == "dreambooth":
            return (
                labelled_folders.dreambooth_classes(folder, seed, n, per_class),
                labelled_folders.dreambooth_subjects(folder, seed, n, per_class),
            )
        if self.dataset == "folders":
            found = labelled_folders.folder_classes(folder, seed, n, most, per_class)
        elif self.dataset in COOP_SETS:
            found = coop_classes(folder, self.dataset, seed, n, most, per_class)
        elif self.dataset == "caltech256":
            found = labelled_folders.caltech_classes(_read_once(caltech256, folder), seed, n, per_class)
        elif self.dataset == "cub":
            found = labelled_attributes.cub_species(_read_once(cub, folder), seed, n, most, per_class)
        else:
            found = labelled_attributes.celeba_hair(_read_once(celeba, folder), seed, n, most, per_class)
        return found, found

    def learning(self, encoder: Encoder) -> LearningConfig:
        """How tokens are learned."""
        own = config_for(encoder.spec)
        return own if self.steps is None else replace(own, steps=self.steps)

    def rates(self, encoder: Encoder, shots: Sequence[int]) -> dict[int, float]:
        """Shots -> rate of learning token weights, where the paper has one for the data set and none was given."""
        if self.rate is not None or self.dataset not in COOP_SETS:
            return {}
        metaclip = "metaclip" in encoder.spec.name.lower()
        return {k: COOP_SETS[self.dataset].learning_rate(k, metaclip) for k in shots}

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        rates = list(self.rates(encoder, (1, LATE_SHOTS)).values())  # one key, whatever shots are asked for
        texts = sha256(self.descriptions.read_bytes()).hexdigest() if self.descriptions else None
        return super().to_json(encoder) | {
            "descriptions": texts,
            "start_fraction": encoder.start_fraction,
            "learning": asdict(self.learning(encoder)),
            **({"rates": rates} if rates else {}),
        }


@cache
def _read_once(load: Callable[[Path], Any], folder: Path) -> Any:
    """A data set's tables, read once for all seeds."""
    return load(folder)


def fewshot(
    encoder: Encoder,
    config: FewShotConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all rows, a unit of progress for each classifier; arguments and errors as in `harness.run`.

    Classifiers and image features that are finished are taken from the work folder; the rankings are every
    picture's scores.
    """
    _ = encoder.text_tower
    generator, why = load_own_generator(encoder, config.generator) if config.token_shots else (None, "")
    identity = generator.identity if generator else None
    report = Report("fewshot", config.to_json(encoder) | {"generator": identity})
    apart = ("seeds", "shots", "token_shots", "generator")  # a classifier does not depend on them
    needed = {name: value for name, value in report.settings.items() if name not in apart}
    needed |= {"embedder": encoder.embedder_id.to_metadata()}
    kept = Work("fewshot", needed, work)
    kept_with_generator = Work("fewshot", needed | {"generator": identity}, work)
    answers: dict[Cut, dict[str, bool]] = {}
    seconds: dict[Cut, list[float]] = {}
    counter = ProgressCounter(on_progress)
    sizes = {}
    for seed in config.seeds:
        studies = _studies(encoder, config, kept, generator, seed)
        counter.total = sum(len(study.plan) for study in studies) * len(config.seeds)
        for study in studies:
            sizes[study.table] = study.facts
            _ = study.features  # nobody's time
            for cut, make in study.plan.items():
                place = kept_with_generator if cut[1] in NEED_DIFFUSION else kept
                cell = place.cell(study.cell_name(cut), partial(_learn_classifier, make))
                classifier = facts.unpack(cell["classifier"]).reshape(len(study.data.classes), -1)
                correct = study.classify(classifier, cut, report if save_run else None)
                answers.setdefault(cut, {}).update(correct)
                seconds.setdefault(cut, []).append(cell["seconds"])
                counter.advance()
    report.values = {table: size | {"rows": {}} for table, size in sizes.items()}
    lacking = generator is None and bool(config.token_shots)
    report.values["skipped"] = dict.fromkeys(sorted(NEED_DIFFUSION), why) if lacking else {}
    _fill(report, answers, seconds)
    return report


def _studies(
    encoder: Encoder, config: FewShotConfig, work: Work, generator: Generator | None, seed: int
) -> list[ClassifierStudy]:
    """A seed's study with class names, and the one without where there are shots for it."""
    shots = {"named": config.shots, "agnostic": config.token_shots}
    learning = config.learning(encoder)
    return [
        ClassifierStudy(
            table,
            encoder,
            data,
            work,
            shots[table],
            config.epochs,
            config.rate,
            learning,
            generator,
            seed,
            config.rates(encoder, shots[table]),
        )
        for table, data in zip(shots, config.load(seed), strict=True)
        if shots[table]
    ]


def _learn_classifier(make: Callable[[], Tensor]) -> dict[str, Any]:
    """A classifier's cell: packed rows, and the seconds that it took."""
    began = time.perf_counter()
    classifier = make().float().cpu().numpy()
    return {"classifier": facts.pack(classifier.ravel()), "seconds": time.perf_counter() - began}


def _fill(
    report: Report, answers: Mapping[Cut, Mapping[str, bool]], seconds: Mapping[Cut, Sequence[float]]
) -> None:
    """Values, tables and the figure out of all answers."""
    report.values["nonsense"] = {
        name: value for name, value in report.values["named"].items() if name != "rows"
    }
    report.values["nonsense"]["rows"] = {}
    for (table, row, k), correct in answers.items():
        report.values[table]["rows"].setdefault(row, {})[str(k)] = seeds_summary(correct) | {
            "images": len(correct),
            "seconds": float(np.mean(seconds[table, row, k])),
        }
    against = {
        "named": [(STORI, name) for name in (TASKRES, TASKRES_OWN, ZERO_SHOT)],
        "nonsense": [(text, TEXTS[0]) for text in TEXTS[1:]],
        "agnostic": [(MC_TI, name) for name in (TUNING, INVERSION, NEAREST)],
    }
    for table, pairs in against.items():
        if table not in report.values:
            continue
        text = f", {BOTH}" if table == "named" else ""
        report.values[table]["compared"] = [
            {"a": a, "b": b, "shots": k} | _over_pictures(correct, answers[table, b + text, other])
            for a, b in pairs
            for (where, row, k), correct in answers.items()
            for other in ([0] if b == ZERO_SHOT else [k])  # what learns nothing is the same for all shots
            if (where, row) == (table, a + text) and k
        ]
    report.tables += [named_table(report), nonsense_table(report)]
    if "agnostic" in report.values:
        report.tables.append(agnostic_table(report))
    report.figures = {
        f"fewshot-{table}": partial(shots_figure, report.values[table]["rows"])
        for table in ("named", "agnostic")
        if table in report.values
    }


def _over_pictures(first: Mapping[str, bool], second: Mapping[str, bool]) -> dict[str, Any]:
    """The paired comparison over pictures, each one's mean over the seeds."""
    a, b = (means_by(some, lambda query: query.split("/", 1)[1]) for some in (first, second))
    return paired_comparison(a, b)
