"""`gair bench fewshot`: classes from few pictures (Kim et al. 2024, tables 1 and 2; Wang et al. 2024).

Three tables. With class names: zero-shot CLIP, TaskRes, and SToRI's learned token weights over shots. What token
weights on nonsense are worth. Without class names: tokens that stand for the classes (MC-TI, textual inversion,
prompt tuning) and the nearest class mean. All learn from the same cached image features.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.benchmarks.datasets import labelled
from gair_search.benchmarks.datasets.attributes import celeba, cub
from gair_search.benchmarks.datasets.folders import caltech256
from gair_search.benchmarks.datasets.labelled import ClassSet
from gair_search.benchmarks.harness.cells import (
    Progress,
    Report,
    Table,
    Work,
    contents,
    digest,
    new_figure,
)
from gair_search.benchmarks.harness.measures import (
    Comparison,
    Summary,
    paired_bootstrap,
    summary,
)
from gair_search.benchmarks.methods import fewshot as methods
from gair_search.benchmarks.methods.fewshot import Shots
from gair_search.benchmarks.tables.retrieval import own_generator
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError
from gair_search.generation.generator import Generator
from gair_search.learning import token_weights as tw
from gair_search.learning.joint import Denoiser
from gair_search.learning.joint import Settings as Learning
from gair_search.learning.lessons import denoiser_of, settings_for
from gair_search.tokens import facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
DRAWN = frozenset({INVERSION, MC_TI})
"""Rows that need a generator."""

RATES = {TASKRES: (2e-4, 0.005), TASKRES_OWN: (2e-3, 5e-4)}
"""Learning rate and weight decay: SToRI's appendix A.1; TaskRes's own scripts. A tenth of the rate for ImageNet."""
IMAGENET = 1000

SELECTING = 16
"""Pictures of a class that descriptions are selected by, where there are many classes; whatever shots are asked for."""

PAPER = {
    (TASKRES, BASE): {1: "77.53", 2: "77.93", 4: "78.31", 8: "80.60", 16: "82.29"},
    (TASKRES, BOTH): {1: "81.70", 2: "82.95", 4: "84.41", 8: "85.89", 16: "87.24"},
    (STORI, BOTH): {1: "82.01", 2: "83.28", 4: "84.22", 8: "85.62", 16: "86.79"},
}
"""Table 2, CLIP ViT-L/14: the mean over ImageNet, DTD, Flowers102, SUN397, Caltech101 and Food101."""
PAPER_NONSENSE = {
    "descriptions": ("97.42 ± 0.23", "79.54 ± 0.12"),
    "descriptions + nonsense": ("97.30 ± 0.15", "79.11 ± 0.10"),
}
"""Table 1, 16 shots: Caltech101 and SUN397."""

Source = Literal["fashion", "dreambooth", "folders", "caltech256", "cub", "celeba"]
Cut = tuple[str, str, int]
"""Table, row, shots (0: nothing learned)."""


@dataclass(frozen=True)
class FewShotConfig:
    """What a run is made of.

    Attributes:
        dataset: the fashion world, or a folder of another.
        data: that folder.
        seeds: each draws the pictures to learn from.
        shots: how many of each class.
        token_shots: the same without names; fewer numbers, since the diffusion loss makes tokens dear.
        limit: the first so many classes.
        steps: of learning tokens; the model's own unless given.
        epochs: of learning token weights and residuals; the paper's (100, from 8 shots on 200) unless given.
        rate: of learning token weights; the paper's unless given.
        per_class: at most so many pictures of a class are classified; 20 in the fashion world, else all.
        descriptions: JSON file, class name -> texts.
        world: further arguments of the fashion world's sets.
    """

    dataset: Source = "fashion"
    data: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    token_shots: tuple[int, ...] = (1, 4)
    limit: int | None = None
    steps: int | None = None
    epochs: int | None = None
    rate: float | None = None
    per_class: int | None = None
    descriptions: Path | None = None
    world: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise GairError where a run can't be made of this."""
        for shots in (self.shots, self.token_shots):
            if not shots or min(shots) < 1 or len(set(shots)) < len(shots):
                raise GairError(f"shots {shots}: expected different numbers from 1 on")
        if self.limit is not None and self.limit < 2:
            raise GairError("a single class can't be told from others; take a limit of 2 or more")
        if self.descriptions is not None and not self.descriptions.is_file():
            raise DatasetError(f"{self.descriptions} is no file; expected JSON, class name -> list of texts")

    def load(self, seed: int) -> tuple[ClassSet, ClassSet]:
        """Classes with names, and classes whose names are not used. Raises DatasetError."""
        named, agnostic = self._load(seed)
        if self.descriptions is not None:
            named = labelled.described(named, self.descriptions)
        return named, agnostic

    def _load(self, seed: int) -> tuple[ClassSet, ClassSet]:
        most, n, per_class = max(*self.shots, *self.token_shots, SELECTING), self.limit, self.per_class
        if self.dataset == "fashion":
            sizes = {"test": per_class or 20, **self.world}
            return (
                labelled.fashion_colors(seed, n, max(self.shots), **sizes),
                labelled.fashion_instances(seed, n, max(self.token_shots), **sizes),
            )
        if self.data is None:
            raise DatasetError(f"{self.dataset}: say where it lies with --data FOLDER")
        if self.dataset == "dreambooth":
            return (
                labelled.dreambooth_classes(self.data, seed, n, per_class),
                labelled.dreambooth_subjects(self.data, seed, n, per_class),
            )
        if self.dataset == "folders":
            found = labelled.folder_classes(self.data, seed, n, most, per_class)
        elif self.dataset == "caltech256":
            found = labelled.caltech_classes(_read(caltech256, self.data), seed, n, per_class)
        elif self.dataset == "cub":
            found = labelled.cub_species(_read(cub, self.data), seed, n, most, per_class)
        else:
            found = labelled.celeba_hair(_read(celeba, self.data), seed, n, most, per_class)
        return found, found

    def to_json(self, encoder: Encoder, learning: Learning) -> dict[str, Any]:
        """All that results depend on."""
        return asdict(self) | {
            "data": str(self.data.absolute()) if self.data else None,
            "descriptions": sha256(self.descriptions.read_bytes()).hexdigest() if self.descriptions else None,
            "seeds": list(self.seeds),
            "shots": list(self.shots),
            "token_shots": list(self.token_shots),
            "world": dict(self.world),
            "model": encoder.spec.name,
            "start_fraction": encoder.start_fraction,
            "learning": asdict(learning),
        }


@cache
def _read(load: Callable[[Path], Any], folder: Path) -> Any:
    """A data set's tables, read once for all seeds."""
    return load(folder)


def fewshot(
    encoder: Encoder,
    settings: FewShotConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all rows; classifiers and image features that are finished are taken from the work folder.

    Rows that need a generator are left out, and the report says so, where the model has none.

    Args:
        encoder: a model whose text tower takes token weights.
        settings: what to run.
        work: where finished parts are kept; `GAIR_HOME/bench` unless given.
        save_run: keep every picture's scores, too.
        on_progress: called with how many classifiers are done, and how many there are.

    Raises:
        DatasetError: the data set is absent or incomplete. ModelError: the tower takes plain prompts only.
    """
    _ = encoder.text_tower
    learning = settings_for(encoder.spec)
    if settings.steps is not None:
        learning = replace(learning, steps=settings.steps)
    generator, why = own_generator(encoder)
    report = Report("fewshot", settings.to_json(encoder, learning), {}, [])
    report.settings["generator"] = generator.identity if generator else None
    apart = ("seeds", "shots", "token_shots", "generator")  # a classifier does not depend on them
    needed = {name: value for name, value in report.settings.items() if name not in apart}
    needed |= {"embedder": encoder.embedder_id.to_metadata()}
    keep = Work("fewshot", needed, work)
    drawn = Work("fewshot", needed | {"generator": report.settings["generator"]}, work)
    answers: dict[Cut, dict[str, bool]] = {}
    seconds: dict[Cut, list[float]] = {}
    done = 0
    sizes = {}
    for seed in settings.seeds:
        studies = [
            _Study(table, encoder, data, keep, settings, learning, generator, seed)
            for table, data in zip(("named", "agnostic"), settings.load(seed), strict=True)
        ]
        total = sum(len(study.plan) for study in studies) * len(settings.seeds)
        for study in studies:
            sizes[study.table] = study.facts
            _ = study.features  # nobody's time
            for cut, make in study.plan.items():
                place = drawn if cut[1] in DRAWN else keep
                found = place.cell(study.cell_name(cut), partial(_timed, make))
                classifier = facts.unpack(found["classifier"]).reshape(len(study.data.classes), -1)
                answers.setdefault(cut, {}).update(
                    study.answered(classifier, cut, report if save_run else None)
                )
                seconds.setdefault(cut, []).append(found["seconds"])
                done += 1
                if on_progress:
                    on_progress(done, total)
    report.values = {table: said | {"rows": {}} for table, said in sizes.items()}
    report.values["skipped"] = {} if generator else dict.fromkeys(sorted(DRAWN), why)
    _fill(report, answers, seconds, learning)
    return report


def _timed(make: Callable[[], Tensor]) -> dict[str, Any]:
    begun = time.perf_counter()
    classifier = make().float().cpu().numpy()
    return {"classifier": facts.pack(classifier.ravel()), "seconds": time.perf_counter() - begun}


def _slug(part: object) -> str:
    """A part of a file's name."""
    return re.sub(r"[^\w.]+", "-", str(part))


@dataclass(frozen=True)
class _Study:
    """A seed's pictures of one table, and how each of its classifiers is made; the dear parts once, when needed."""

    table: str
    encoder: Encoder
    data: ClassSet
    work: Work
    settings: FewShotConfig
    learning: Learning
    generator: Generator | None
    seed: int

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
        asked = sorted(self.settings.shots if self.table == "named" else self.settings.token_shots)
        return [k for k in asked if k <= self.data.most_shots] or asked[:1]

    def cell_name(self, cut: Cut) -> str:
        """Where a classifier is kept: by what its classes and the pictures that it is learned from are."""
        k, data = cut[2], self.data
        places = data.shots(k) if k else []
        if self._selects:
            places = places + data.shots(SELECTING)
        pictures, side = data.pictures, max(self.encoder.preprocessing.size)
        learned_from = contents([pictures[place] for place in places], side) if places else []
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
        epochs = self.settings.epochs or (100 if k <= tw.FEW_SHOTS else 200)
        return Shots(features, labels, epochs, self.seed)

    @cached_property
    def plan(self) -> dict[Cut, Callable[[], Tensor]]:
        """What there is to learn, and how."""
        return dict(self._named() if self.table == "named" else self._agnostic())

    def _named(self) -> Iterator[tuple[Cut, Callable[[], Tensor]]]:
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

    def _agnostic(self) -> Iterator[tuple[Cut, Callable[[], Tensor]]]:
        for k in self.cuts:
            yield ("agnostic", NEAREST, k), partial(self._nearest, k)
            yield ("agnostic", TUNING, k), partial(self._tokens, self.learning.by("prompt tuning"), k)
            if self.generator is None:
                continue
            yield ("agnostic", INVERSION, k), partial(self._tokens, self.learning.by("textual inversion"), k)
            yield ("agnostic", MC_TI, k), partial(self._tokens, self.learning, k)

    @cached_property
    def prompts(self) -> Callable[[str], tw.ClassPrompts]:
        """Encoded prompts by the name of the text."""
        tower, classes, seed = self.encoder.text_tower, self.data.classes, self.seed
        if self._selects:
            classes = methods.most_similar(classes, tower, self.shots(SELECTING))
        texts: dict[str, Callable[[], tw.ClassPrompts]] = {
            BASE: lambda: tw.class_prompts([c.prompts for c in classes], tower),
            BOTH: lambda: methods.base_and_descriptions(classes, tower),
            TEXTS[0]: lambda: tw.class_prompts([c.descriptions for c in classes], tower),
            TEXTS[1]: lambda: tw.class_prompts(methods.with_nonsense(classes, seed), tower),
            TEXTS[2]: lambda: tw.class_prompts(methods.nonsense_instead(classes, tower, seed), tower),
        }
        return cache(lambda name: texts[name]())

    def _zero_shot(self, text: str) -> Tensor:
        return methods.zero_shot(self.prompts(text), self.encoder.text_tower)

    def _stori(self, text: str, k: int) -> Tensor:
        return methods.stori(self.prompts(text), self.encoder.text_tower, self.shots(k), self.settings.rate)

    def _nearest(self, k: int) -> Tensor:
        return methods.nearest_class_mean(self.shots(k), len(self.data.classes))

    def _taskres(self, method: str, text: str, k: int) -> Tensor:
        rate, decay = RATES[method]
        tower = self.encoder.text_tower
        fitting = rate / 10 if len(self.data.classes) >= IMAGENET else rate
        return methods.taskres(
            methods.raw_base(self.prompts(text), tower), self.shots(k), tower.logit_scale, fitting, decay
        )

    def _tokens(self, learning: Learning, k: int) -> Tensor:
        denoisers: list[Denoiser] = []
        if learning.lambda_sd and self.generator is not None:
            pictures = self.data.pictures
            side = max(self.generator.size)
            denoisers = [
                denoiser_of([pictures[i].image(side) for i in own[:k]], self.generator)
                for own in self.data.train
            ]
        n = len(self.data.classes)
        return methods.tokens(self.encoder.text_tower, self.shots(k), n, learning, denoisers)

    def answered(
        self, classifier: NDArray[np.float32], cut: Cut, report: Report | None
    ) -> Iterator[tuple[str, bool]]:
        """(`seed{s}/{picture}`, whether it is classified rightly); scores go into the report where there is one."""
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
                run: dict[str, dict[str, float]] = report.runs.setdefault(  # type: ignore[assignment]
                    f"{table} {_slug(row)} {k}-shot", {}
                )
                run[f"{table}/{query}"] = dict(zip(names, map(float, line), strict=True))
                qrels: dict[str, dict[str, int]] = report.qrels  # type: ignore[assignment]
                qrels[f"{table}/{query}"] = {names[label]: 1}
            yield query, bool(top == label)


def _fill(
    report: Report,
    answers: Mapping[Cut, Mapping[str, bool]],
    seconds: Mapping[Cut, Sequence[float]],
    learning: Learning,
) -> None:
    """Values, tables and the figure out of all answers."""
    report.values["nonsense"] = {
        name: value for name, value in report.values["named"].items() if name != "rows"
    }
    report.values["nonsense"]["rows"] = {}
    for (table, row, k), correct in answers.items():
        means = list(_mean_by(correct, lambda query: query.split("/", 1)[0]).values())
        said = asdict(summary(means)) | {
            "by seed": means,
            "images": len(correct),
            "seconds": float(np.mean(seconds[table, row, k])),
        }
        report.values[table]["rows"].setdefault(row, {})[str(k)] = said
    against = {
        "named": [(STORI, name) for name in (TASKRES, TASKRES_OWN, ZERO_SHOT)],
        "nonsense": [(text, TEXTS[0]) for text in TEXTS[1:]],
        "agnostic": [(MC_TI, name) for name in (TUNING, INVERSION, NEAREST)],
    }
    for table, pairs in against.items():
        text = f", {BOTH}" if table == "named" else ""
        report.values[table]["compared"] = [
            {"a": a, "b": b, "shots": k} | asdict(_compared(correct, answers[table, b + text, other]))
            for a, b in pairs
            for (where, row, k), correct in answers.items()
            for other in ([0] if b == ZERO_SHOT else [k])  # what learns nothing is the same for all shots
            if (where, row) == (table, a + text) and k
        ]
    report.tables += [_named_table(report), _nonsense_table(report), _agnostic_table(report, learning)]
    report.figures = {
        f"fewshot-{table}": partial(_figure, report.values[table]["rows"]) for table in ("named", "agnostic")
    }


def _mean_by(correct: Mapping[str, bool], group: Callable[[str], str]) -> dict[str, float]:
    """Group -> share that is right."""
    groups: dict[str, list[bool]] = {}
    for query, right in correct.items():
        groups.setdefault(group(query), []).append(right)
    return {name: float(np.mean(values)) for name, values in groups.items()}


def _compared(first: Mapping[str, bool], second: Mapping[str, bool]) -> Comparison:
    """Resampled over pictures, each one's mean over the seeds."""
    a, b = (_mean_by(some, lambda query: query.split("/", 1)[1]) for some in (first, second))
    return paired_bootstrap(list(a.values()), [b[picture] for picture in a])


def _percent(found: Mapping[str, Any] | None) -> str:
    return format(Summary(100 * found["mean"], 100 * found["sd"], found["n"]), ".2f") if found else ""


def _cuts(rows: Mapping[str, Mapping[str, Any]]) -> list[int]:
    return sorted({int(k) for found in rows.values() for k in found} - {0})


def _differences(values: Mapping[str, Any], shots: Sequence[int]) -> str:
    """What the paired bootstrap says."""
    told: dict[str, list[str]] = {}
    for c in values["compared"]:
        if c["shots"] in shots:
            interval = f"{c['difference']:+.1%} [{c['low']:+.1%}, {c['high']:+.1%}]"
            told.setdefault(f"{c['a']} less {c['b']}", []).append(f"{interval} at {_shots(c['shots'])}")
    pairs = "; ".join(f"{pair} {', '.join(each)}" for pair, each in told.items())
    return f"paired bootstrap over the pictures, 95%: {pairs}."


def _size(report: Report, table: str) -> str:
    said, s = report.values[table], report.settings
    return (
        f"{said['data set']}, {s['model']}: {len(said['classes'])} classes, {said['pictures a seed']} pictures to "
        f"classify, {len(s['seeds'])} seeds. In percent; ± is the standard deviation over the seeds."
    )


def _named_table(report: Report) -> Table:
    """Table 2 beside the paper's."""
    values = report.values["named"]
    cuts = _cuts(values["rows"])
    head = ("", "text", *(_shots(k) for k in cuts), *(f"paper, {k}" for k in cuts))
    rows = []
    for method, text in NAMED:
        found = values["rows"][f"{method}, {text}"]
        theirs = PAPER.get((method, text), {})
        ours = (_percent(found.get(str(k), found.get("0"))) for k in cuts)
        rows.append((method, text, *ours, *(theirs.get(k, "") for k in cuts)))
    note = (
        f"{_size(report, 'named')} The paper's: CLIP ViT-L/14, mean over six data sets, descriptions of CuPL. "
        f"Compared on {BOTH}: {_differences(values, (cuts[0], cuts[-1]))}"
    )
    return Table("Table 2: few-shot classification, accuracy", head, tuple(rows), note)


def _shots(k: int) -> str:
    return f"{k} shot{'s' if k > 1 else ''}"


def _nonsense_table(report: Report) -> Table:
    """Table 1 beside the paper's."""
    values = report.values["nonsense"]
    (k,) = _cuts(values["rows"])
    head = ("token weights on", "all 1", _shots(k), "paper, 16: Caltech101", "paper, 16: SUN397")
    rows = tuple(
        (text, _percent(found["0"]), _percent(found[str(k)]), *PAPER_NONSENSE.get(text, ("", "")))
        for text, found in values["rows"].items()
    )
    note = f"{_size(report, 'named')} Compared: {_differences(values, (k,))}"
    return Table("Table 1: token weights on nonsense, accuracy", head, rows, note)


def _agnostic_table(report: Report, learning: Learning) -> Table:
    """MC-TI's own; the paper's numbers are not in its abstract, which is what we have."""
    values = report.values["agnostic"]
    cuts = _cuts(values["rows"])
    head = ("", *(_shots(k) for k in cuts), "s to learn")
    rows = tuple(
        (
            name,
            *(_percent(values["rows"][name].get(str(k))) for k in cuts),
            f"{np.mean([found['seconds'] for found in values['rows'][name].values()]):.2f}",
        )
        for name in AGNOSTIC
        if name in values["rows"]
    )
    note = (
        f"{_size(report, 'agnostic')} No name of a class is used. Tokens of {learning.n_vectors} vectors, "
        f"{learning.steps} steps at a rate of {learning.learning_rate:g}; a step's diffusion loss is one class's."
    )
    if values["compared"]:
        note += f" Compared: {_differences(values, cuts)}"
    if skipped := report.values["skipped"]:
        note += f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}."
    return Table("Semantic-agnostic classification, accuracy", head, rows, note)


def _figure(rows: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Accuracy over shots, the deviation as a band."""
    figure = new_figure(1)
    (axes,) = figure.axes
    cuts = _cuts(rows)
    for row, found in rows.items():
        if set(found) == {"0"}:
            style = ":" if row.endswith(BASE) else "--"
            axes.axhline(found["0"]["mean"], linestyle=style, color="0.4", label=row)
            continue
        mean, sd = (np.array([found[str(k)][name] for k in cuts]) for name in ("mean", "sd"))
        (line,) = axes.plot(cuts, mean, "o-", markersize=3, label=row)
        axes.fill_between(cuts, mean - sd, mean + sd, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(cuts, [str(k) for k in cuts])
    axes.set(xlabel="shots", ylabel="accuracy")
    axes.legend(fontsize=6)
    return figure
