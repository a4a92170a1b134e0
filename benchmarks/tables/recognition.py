"""`gair bench recognition`: what a token recognises (Perera et al., sections 4.2 and 5, tables 1 and 3).

A concept's token is learned from its few images. Then pictures that nothing was learned from are scored by the text
features of 'image of a * c': the concept's own, others of its parent, and those of other classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageOps
from torch import Tensor, inference_mode
from torch.nn.functional import cosine_similarity, normalize

from gair_search.benchmarks.datasets.trials import Trial
from gair_search.benchmarks.harness import learning
from gair_search.benchmarks.harness.cells import (
    Progress,
    Report,
    Table,
    Work,
    new_figure,
)
from gair_search.benchmarks.harness.learning import LearnedTokens
from gair_search.benchmarks.harness.measures import (
    Comparison,
    Summary,
    paired_bootstrap,
    roc_auc,
    summary,
)
from gair_search.benchmarks.harness.sheets import (
    SHOWN,
    SIDE,
    Cell,
    block,
    grid,
    sheet,
    tiles,
)
from gair_search.benchmarks.methods.concepts import (
    OURS,
    PROMPT_TUNING,
    Features,
    Study,
)
from gair_search.benchmarks.tables.generation import contexts_of
from gair_search.benchmarks.tables.retrieval import cell_name
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import DatasetError
from gair_search.generation.generator import Sampling
from gair_search.learning.attributes import average_embeddings
from gair_search.learning.joint import Settings as Learning
from gair_search.learning.report import affinity
from gair_search.learning.templates import CLASSIFICATION, Slot
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AUCS = ("concept / parent", "concept / others", "parent / others")
"""Table 3's, of f(x) . tau_*."""

ACCURACIES = ("accuracy (c)", "accuracy (* c)")
"""Table 1's: parent and concept pictures that 'image of a c' against 'image of a * c' puts on the right side."""

LOSS_WEIGHTS = ((0.0, 1.0), (1.0, 0.1), (1.0, 0.001), (1.0, 0.0))
"""Table 1's (lambda_SD, lambda_CE)."""

PAPER_TABLE_3 = {
    PROMPT_TUNING: ("100.0 ± 0.0", "100.0 ± 0.0", "58.9 ± 25.2"),
    "textual inversion": ("58.9 ± 42.1", "80.5 ± 30.4", "70.5 ± 16.0"),
    OURS: ("98.9 ± 2.2", "100.0 ± 0.0", "85.5 ± 11.4"),
}
"""AUC in percent, ± over five concepts of Textual Inversion."""

PAPER_TABLE_1 = {
    (0.0, 1.0): ("98.5", "100"),
    (1.0, 0.1): ("99.2", "100"),
    (1.0, 0.001): ("93.3", "100"),
    (1.0, 0.0): ("100", "0.0"),
}
"""Accuracies in percent, on one concept: a teapot."""

ATTRIBUTES = "attributes"
"""Row of figure 4: the attributes' own embeddings."""

SAMPLES = 4
"""Images of each token in figure 1."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Values = dict[str, float]


@dataclass(frozen=True)
class RecognitionConfig(learning.TokenRunConfig):
    """What a run is made of.

    Attributes:
        loss_weights: of table 1, (lambda_SD, lambda_CE); none leaves the table out.
    """

    loss_weights: tuple[tuple[float, float], ...] = LOSS_WEIGHTS

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return super().to_json(encoder) | {"loss_weights": [list(pair) for pair in self.loss_weights]}


@dataclass(frozen=True)
class Sampled:
    """A concept for the figures: its study, and its tokens `[n_vectors, text_width]` by method and loss weights."""

    study: Study
    tokens: dict[str, Tensor]


@dataclass(frozen=True)
class Sides:
    """Features of the pictures that one concept's token is tested on, `[N, embed_dim]` each."""

    concept: Features
    parents: Features
    others: Features


def recognition(
    encoder: Encoder,
    settings: RecognitionConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all methods and loss weights; learned tokens and image features come from the work folder.

    Methods that need a generator are left out, and the report says so, where the model has none.

    Args:
        encoder: a model whose text tower takes custom tokens.
        settings: what to run.
        work: where finished parts are kept; `GAIR_HOME/bench` unless given.
        save_run: keep the rankings of all tested pictures by f(x) . tau_*, too.
        on_progress: called with how many (seed, concept, token) are done, and how many there are.

    Raises:
        DatasetError: the data set is absent or incomplete. ModelError: the tower takes plain prompts only.
        GairError: an unknown method, or images are to be drawn without a generator; ConceptError: too few
            negative images.
    """
    if settings.dataset == "textual-inversion" and settings.classes is None:
        raise DatasetError(learning.NO_CLASSES)
    lessons = LearnedTokens(encoder, settings, work, asks=any(sd for sd, _ in settings.loss_weights))
    swept, lacking = _swept(settings.loss_weights, lessons)
    report = Report("recognition", settings.to_json(encoder), {}, [])
    report.settings["generator"] = lessons.generator.identity if lessons.generator else None
    found: dict[str, dict[str, Values]] = {name: {} for name in (*lessons.rows, *swept)}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    embeddings = Embeddings(encoder.text_tower)
    samples: list[Sampled] = []
    done = 0
    for seed in settings.seeds:
        trials = settings.trials(seed)[: settings.limit]
        tested = _features(lessons, trials)
        total = len(trials) * len(found) * len(settings.seeds)
        for trial in trials:
            study, label = lessons.study(trial, seed), f"seed{seed}/{trial.concept.name}"
            sampled = Sampled(study, {})
            if seed == settings.seeds[0] and len(samples) < SHOWN:
                samples.append(sampled)
            for name in found:
                vectors, took = lessons.vectors(study, name, swept.get(name))
                told = text_features(encoder.text_tower, trial.concept.parent, vectors)
                found[name][label] = measured(tested[trial.concept.name], *told)
                seconds[name].append(took)
                if len(vectors):
                    embeddings.add(name, study, vectors)
                    sampled.tokens[name] = vectors
                if save_run and name in lessons.rows:
                    _keep_run(report, name, label, trial, tested[trial.concept.name], told[0])
                done += 1
                if on_progress:
                    on_progress(done, total)
    values = {name: _values(own, found.get(PROMPT_TUNING, {}), seconds[name]) for name, own in found.items()}
    report.values = {
        "methods": {name: values[name] for name in lessons.rows},
        "loss weights": {name: values[name] for name in swept},
        "embeddings": embeddings.values,
        "skipped": lessons.skipped | lacking,
    }
    report.tables = [_table_3(report, lessons.learning)]
    if swept:
        report.tables.append(_table_1(report, swept))
    if embeddings.values:
        report.tables.append(_table_of_figure_4(report))
        report.figures["recognition-embeddings"] = partial(_figure_4, report.values["embeddings"])
    if samples and (learned := [name for name in samples[0].tokens if name in lessons.rows]):
        report.figures["recognition-affinity"] = partial(_figure_4_affinity, samples[0], learned)
    if swept and lessons.generator:
        report.pictures["recognition-loss-weights"] = partial(
            _figure_1, lessons, samples, found, report.values["loss weights"], work
        )
    return report


def text_features(tower: TextTower, parent: str, vectors: Tensor) -> tuple[Features, Features]:
    """tau_* of 'image of a * c' and tau_parent of 'image of a c', `[embed_dim]` each.

    Args:
        vectors: a token, `[n_vectors, text_width]`; none gives the parent twice.
    """
    slot = Slot.template(tower, CLASSIFICATION, parent)
    with inference_mode():
        own, plain = (slot.encode(tower, rows).features[0].cpu().numpy() for rows in (vectors, vectors[:0]))
    return own, plain


def measured(tested: Sides, concept: Features, parent: Features) -> Values:
    """All measures of one token, in 0..1; those that lack a side are left out.

    Args:
        tested: what to score.
        concept, parent: tau_* and tau_parent, `[embed_dim]`.
    """
    sides = dict(
        zip(
            AUCS,
            (
                (tested.concept, tested.parents),
                (tested.concept, tested.others),
                (tested.parents, tested.others),
            ),
            strict=True,
        )
    )
    found = {
        name: roc_auc(np.concatenate([high, low]) @ concept, [True] * len(high) + [False] * len(low))
        for name, (high, low) in sides.items()
        if len(high) and len(low)
    }
    more = concept - parent
    if len(tested.parents):
        found[ACCURACIES[0]] = float((tested.parents @ more <= 0).mean())
    return found | {ACCURACIES[1]: float((tested.concept @ more > 0).mean())}


def correlations(vectors: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """What figure 4 shows of a token: the L2 norms of its vectors, `[n_vectors]`, and the cosines of their mean to
    each attribute, `[A]`; 0 with a zero vector.

    Args:
        vectors: `[n_vectors, text_width]`.
        attributes: average token embeddings, `[A, text_width]`.
    """
    return vectors.norm(dim=1), cosine_similarity(vectors.mean(0, keepdim=True), attributes)


class Embeddings:
    """Figure 4: norms of learned vectors and their cosines to attributes, beside the attributes' own."""

    def __init__(self, tower: TextTower) -> None:
        """`tower` embeds the attributes."""
        self._tower = tower
        self._attributes: dict[str, Tensor] = {}  # by parent: all concepts of one have the same
        self._found: dict[str, tuple[list[float], list[float]]] = {}

    def add(self, name: str, study: Study, vectors: Tensor) -> None:
        """A token `[n_vectors, text_width]` by a method or by loss weights."""
        parent = study.concept.parent
        if parent not in self._attributes:
            rows = average_embeddings(self._tower, study.attributes).float()
            self._attributes[parent] = rows
            unit = normalize(rows)
            pairs = (unit @ unit.T)[torch.ones(len(rows), len(rows)).triu(1).bool()]
            self._keep(ATTRIBUTES, rows.norm(dim=1), pairs)
        self._keep(name, *correlations(vectors.float(), self._attributes[parent]))

    def _keep(self, name: str, norms: Tensor, cosines: Tensor) -> None:
        kept = self._found.setdefault(name, ([], []))
        for values, new in zip(kept, (norms, cosines), strict=True):
            values += new.tolist()

    @property
    def values(self) -> dict[str, Any]:
        """Name -> `norm` and `cosine`, each as mean, deviation, count and quantiles; {} where nothing was learned."""
        return {
            name: {"norm": _spread(norms), "cosine": _spread(cosines)}
            for name, (norms, cosines) in self._found.items()
        }


def _spread(values: ArrayLike) -> dict[str, Any]:
    """Mean, deviation, count, and the quantiles that a box is drawn of."""
    return asdict(summary(values)) | {"quantiles": np.quantile(np.asarray(values), _QUANTILES).tolist()}


def _swept(
    weights: Sequence[tuple[float, float]], lessons: LearnedTokens
) -> tuple[dict[str, Learning], dict[str, str]]:
    """Loss weights as `(sd, ce)` -> settings, without projection as in section 4.2; those left out -> why."""
    named = {
        f"({sd:g}, {ce:g})": replace(lessons.learning, lambda_sd=sd, lambda_ce=ce, projection=False)
        for sd, ce in weights
    }
    lacking = {name: lessons.why for name, how in named.items() if how.lambda_sd and not lessons.generator}
    return {name: how for name, how in named.items() if name not in lacking}, lacking


def _features(lessons: LearnedTokens, trials: Sequence[Trial]) -> dict[str, Sides]:
    """Concept -> its features; a picture that many concepts are tested on is embedded once."""
    shown = {p.id: p for trial in trials for p in (*trial.held_out, *trial.parents, *trial.others)}
    features = lessons.kept.work.features(lessons.encoder, list(shown.values()))
    row = {name: i for i, name in enumerate(shown)}
    return {
        trial.concept.name: Sides(
            *(features[[row[p.id] for p in some]] for some in (trial.held_out, trial.parents, trial.others))
        )
        for trial in trials
    }


def _keep_run(report: Report, name: str, label: str, trial: Trial, tested: Sides, concept: Features) -> None:
    """A concept is a query, its held-out pictures are relevant."""
    pictures = (*trial.held_out, *trial.parents, *trial.others)
    scores = np.concatenate([tested.concept, tested.parents, tested.others]) @ concept
    run: dict[str, dict[str, float]] = report.runs.setdefault(name, {})  # type: ignore[assignment]
    run[label] = {picture.id: float(score) for picture, score in zip(pictures, scores, strict=True)}
    qrels: dict[str, dict[str, int]] = report.qrels  # type: ignore[assignment]
    qrels[label] = {picture.id: 1 for picture in trial.held_out}


def _values(
    concepts: Mapping[str, Values], others: Mapping[str, Values], seconds: Sequence[float]
) -> dict[str, Any]:
    """A token's figures: each measure over the concepts, its means by seed, and its AUCs against prompt tuning."""
    found: dict[str, Any] = {"n": len(concepts), "seconds a concept": float(np.mean(seconds))}
    for measure in (*AUCS, *ACCURACIES):
        by_seed: dict[str, list[float]] = {}
        for label, values in concepts.items():
            if measure in values:
                by_seed.setdefault(label.split("/")[0], []).append(values[measure])
        if by_seed:
            means = [float(np.mean(own)) for own in by_seed.values()]
            found[measure] = asdict(summary(np.concatenate(list(by_seed.values())))) | {
                "by seed": means,
                "sd of seeds": summary(means).sd,
            }
    if others and others is not concepts and len(concepts) > 1:
        ours, theirs = ([_mean_auc(own[label]) for label in concepts] for own in (concepts, others))
        found["against prompt tuning"] = asdict(paired_bootstrap(ours, theirs))
    return found


def _mean_auc(values: Values) -> float:
    return float(np.mean([values[name] for name in AUCS if name in values]))


def _table_3(report: Report, how: Learning) -> Table:
    head = ("", *AUCS, "mean - prompt tuning [95%]", "p", "s a concept", *(f"paper: {name}" for name in AUCS))
    rows = []
    for name, found in report.values["methods"].items():
        against = found.get("against prompt tuning")
        compared = Comparison(**against) if against else None
        rows.append(
            (
                f"{name} (joint + projection)" if name == OURS else name,
                *(_percent(found.get(measure)) for measure in AUCS),
                f"{compared.difference:+.1%} [{compared.low:+.1%}, {compared.high:+.1%}]" if compared else "",
                f"{compared.p:.4f}" if compared else "",
                f"{found['seconds a concept']:.2f}",
                *PAPER_TABLE_3.get(name, ("",) * len(AUCS)),
            )
        )
    s = report.settings
    first: dict[str, Any] = next(iter(report.values["methods"].values()), {})
    with_parents = first.get(AUCS[0], {}).get("n", 0)
    note = (
        f"{s['dataset']}, {s['model']}: ROC AUC in percent of f(x) . tau_*, of n = {first.get('n', 0)} concepts over "
        f"{len(s['seeds'])} seeds ({with_parents} with pictures of the parent); {s['shots']} "
        f"concept images, {how.steps} steps at a rate of {how.learning_rate:g}, {how.n_vectors} vectors, loss weights "
        f"({how.lambda_sd:g}, {how.lambda_ce:g}). ± is the standard deviation over the concepts, as in the paper; in "
        f"brackets that of the seeds' means. The difference is of the mean of the three, resampled in pairs over "
        f"concepts. The paper: five concepts of Textual Inversion among Caltech-256, Stable Diffusion 1.4, 10 vectors."
    )
    if report.values["skipped"]:
        skipped = report.values["skipped"]
        note += f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}."
    return Table("Table 3: what a token tells apart", head, tuple(rows), note)


def _table_1(report: Report, swept: Mapping[str, Learning]) -> Table:
    head = ("(lambda_SD, lambda_CE)", *ACCURACIES, *AUCS, *(f"paper: {name}" for name in ACCURACIES))
    rows = []
    for name, how in swept.items():
        found = report.values["loss weights"][name]
        rows.append(
            (
                name,
                *(_percent(found.get(measure)) for measure in (*ACCURACIES, *AUCS)),
                *PAPER_TABLE_1.get((how.lambda_sd, how.lambda_ce), ("", "")),
            )
        )
    note = (
        "Without projection. Accuracy: of pictures of the parent and of the concept, told by the larger of "
        "f(x) . tau_parent and f(x) . tau_*. In percent, ± over the concepts, in brackets that of the seeds' means. "
        "The paper: one teapot of Caltech-256."
    )
    return Table("Table 1: loss weights", head, tuple(rows), note)


def _percent(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    both = Summary(100 * found["mean"], 100 * found["sd"], found["n"])
    return f"{both:.1f} ({100 * found['sd of seeds']:.1f})"


def _table_of_figure_4(report: Report) -> Table:
    """Norms and cosines as numbers."""
    values = report.values["embeddings"]
    own = values[ATTRIBUTES]
    rows = tuple(
        (
            _named(name, report.values["loss weights"]),
            *(f"{Summary(v['mean'], v['sd'], v['n']):.3f}" for v in (found["norm"], found["cosine"])),
            f"{(found['norm']['mean'] - own['norm']['mean']) / own['norm']['sd']:+.2f}",
        )
        for name, found in values.items()
    )
    head = ("", "L2 norm", "cosine to the attributes", "norm, in the attributes' deviations from their mean")
    note = (
        "Norms of all vectors of all tokens; cosines between a token's mean vector and each attribute's average "
        "embedding, of the attributes between each two of them. ± is the standard deviation over these. The paper, "
        "of a teapot: textual inversion has more than 50 times the attributes' norm, joint much less, and with the "
        "projection it is within one deviation of theirs; only then is it similar to them."
    )
    return Table("Figure 4: learned vectors and the attributes' embeddings", head, rows, note)


def _named(name: str, swept: Mapping[str, Any]) -> str:
    return f"loss weights {name}" if name in swept else name


def _figure_4(values: Mapping[str, Any]) -> "Figure":
    """Figure 4: norms (iv), and correlations with the attributes (i to iii), a box a method."""
    figure = new_figure(2, 3.6, 0.9 + 0.25 * len(values))
    names = list(values)
    for axes, (what, said) in zip(
        figure.axes,
        {"norm": "L2 norm of the vectors", "cosine": "cosine of their mean to each attribute"}.items(),
        strict=True,
    ):
        for y, name in enumerate(names):
            low, first, middle, third, high = values[name][what]["quantiles"]
            color = "0.6" if name == ATTRIBUTES else "C0"
            axes.hlines(y, low, high, color=color, linewidth=1)
            axes.barh(y, third - first, 0.6, first, color=color, alpha=0.45, linewidth=0)
            axes.vlines(middle, y - 0.3, y + 0.3, color="black", linewidth=1)
            axes.plot(values[name][what]["mean"], y, "k.", markersize=3)
        own = values[ATTRIBUTES][what]
        axes.axvspan(own["mean"] - own["sd"], own["mean"] + own["sd"], color="0.6", alpha=0.2, linewidth=0)
        axes.axvline(own["mean"], color="0.6", linewidth=0.8, linestyle="--")
        axes.set(xlabel=said)
    norms = [found["norm"]["quantiles"] for found in values.values()]
    if max(row[-1] for row in norms) > 20 * min(row[0] for row in norms) > 0:
        figure.axes[0].set_xscale("log")
    figure.axes[0].set_yticks(range(len(names)), [f"loss weights {n}" if n[0] == "(" else n for n in names])
    figure.axes[0].invert_yaxis()
    said = "box: quartiles; line: 5% to 95%; dot: mean; band: the attributes' mean and standard deviation"
    figure.suptitle(said, fontsize=7)
    return figure


def _figure_4_affinity(one: Sampled, names: Sequence[str]) -> "Figure":
    """Figure 4 (i to iii) of one concept: cosines among attributes, and of each method's token with them."""
    tower, words = one.study.encoder.text_tower, one.study.attributes
    rows = []
    for name in names:
        token = CustomToken("c", one.tokens[name].float().cpu().numpy(), tower.table_hash)
        labels, cosines = affinity(token, tower, words)
        rows.append(cosines[-1, :-1])
    matrix, shown = np.vstack([cosines[:-1, :-1], rows]), len(labels) - 1
    figure = new_figure(1, 2.4 + 0.17 * shown, 1.2 + 0.17 * len(matrix))
    (axes,) = figure.axes
    # clipped at 0.4 as in the paper, unless that hides what tokens differ in
    seen = axes.imshow(matrix, "Blues", vmin=0, vmax=max(0.4, float(np.max(rows))))
    axes.axhline(shown - 0.5, color="black", linewidth=1)
    axes.set_xticks(range(shown), labels[:-1], rotation=90, fontsize=7)
    axes.set_yticks(range(len(matrix)), [*labels[:-1], *names], fontsize=7)
    axes.set_title(f"cosines, {one.study.concept.name} ({one.study.concept.parent})", fontsize=8)
    figure.colorbar(seen, ax=axes, shrink=0.5)
    return figure


def _figure_1(
    lessons: LearnedTokens,
    shown: Sequence[Sampled],
    found: Mapping[str, Mapping[str, Values]],
    means: Mapping[str, Any],
    folder: Path | None,
) -> Image.Image:
    """Figure 1: 'image of a * c' by tokens of all loss weights, drawn from the same noise."""
    generator = lessons.generator
    assert generator is not None
    sampling = generator.settled(Sampling())
    facts = {"generator": generator.identity, "sampling": asdict(sampling), "images": SAMPLES}
    work, side = Work("recognition", lessons.image_key(facts), folder), 2 * SIDE
    rows = []
    for study, tokens in ((one.study, one.tokens) for one in shown):
        concept, label = study.concept, f"seed{study.seed}/{study.concept.name}"
        cells = [Cell(concept.images[0].image(side), "learned from")]
        for name in means:

            def draw(parent: str = concept.parent, vectors: Tensor = tokens[name]) -> bytes:
                told = contexts_of(lessons.encoder.text_tower, parent, vectors, ("",))
                return sheet(generator, told, SAMPLES, sampling)

            file = work.file(f"{cell_name(study, name)}.png", draw)
            images = [ImageOps.fit(tile.image(), (SIDE, SIDE)) for tile in tiles(file, 1, SAMPLES)]
            cells.append(Cell(block(images, 2), _accuracies(found[name][label])))
        rows.append((f"{concept.name}\n{concept.parent}", cells))
    feet = ["(lambda_SD, lambda_CE)\nmean accuracy"] + [
        f"{name}\n{_accuracies({m: v['mean'] for m, v in means[name].items() if m in ACCURACIES})}"
        for name in means
    ]
    title = (
        "'image of a * c' by tokens of different loss weights, and what share of held-out pictures they tell"
    )
    return grid(rows, (), feet, title, side)


def _accuracies(values: Mapping[str, float]) -> str:
    """As `c 98%   * c 100%`; what wasn't measured is left out."""
    told = zip(("c", "* c"), ACCURACIES, strict=True)
    return "   ".join(f"{short} {values[name]:.0%}" for short, name in told if name in values)
