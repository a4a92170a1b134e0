"""`gair bench recognition`: what a token recognises (Perera et al., sections 4.2 and 5, tables 1 and 3).

A concept's token is learned from its few images. Then pictures that nothing was learned from are scored by the text
features of 'image of a * c': the concept's own, others of its parent, and those of other classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, inference_mode
from torch.nn.functional import cosine_similarity, normalize

from gair_search.benchmarks.datasets.trials import Trial
from gair_search.benchmarks.harness.learned_tokens import (
    NO_CLASSES,
    LearnedTokens,
    TrialsConfig,
)
from gair_search.benchmarks.harness.measures import summary
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import ProgressCounter
from gair_search.benchmarks.harness.sheets import SHOWN
from gair_search.benchmarks.harness.summaries import paired_comparison, seeds_summary
from gair_search.benchmarks.methods.concepts import PROMPT_TUNING, Features, Study
from gair_search.benchmarks.presentation.recognition import (
    ACCURACIES,
    ATTRIBUTES,
    AUCS,
    FigureConcept,
    affinity_figure,
    embeddings_figure,
    embeddings_table,
    loss_weights_picture,
    loss_weights_table,
    token_aucs_table,
)
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import DatasetError
from gair_search.learning.attributes import average_embeddings
from gair_search.learning.config import LearningConfig
from gair_search.learning.report import auc
from gair_search.learning.templates import CLASSIFICATION, Slot
from gair_search.progress import Progress

LOSS_WEIGHTS = ((0.0, 1.0), (1.0, 0.1), (1.0, 0.001), (1.0, 0.0))
"""Table 1's (lambda_SD, lambda_CE)."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class RecognitionConfig(TrialsConfig):
    """What a run is made of.

    Attributes:
        loss_weights: of table 1, (lambda_SD, lambda_CE); none leaves the table out.
    """

    loss_weights: tuple[tuple[float, float], ...] = LOSS_WEIGHTS


@dataclass(frozen=True)
class TrialFeatures:
    """Features of the pictures that one concept's token is tested on, `[N, embed_dim]` each."""

    concept: Features
    parents: Features
    others: Features


def recognition(
    encoder: Encoder,
    config: RecognitionConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all methods and loss weights, a unit of progress for each seed, concept and token.

    Arguments as in `harness.run`; the rankings are of all tested pictures by f(x) . tau_*. Learned tokens and image
    features come from the work folder.

    Raises:
        DatasetError, ModelError: as in `harness.run`. GairError: an unknown method, or images are to be drawn
            without a generator; ConceptError: too few negative images.
    """
    if config.dataset == "textual-inversion" and config.classes is None:
        raise DatasetError(NO_CLASSES)
    lessons = LearnedTokens(encoder, config, work, sweeps_diffusion=any(sd for sd, _ in config.loss_weights))
    swept, lacking = _loss_weight_configs(config.loss_weights, lessons)
    report = Report("recognition", config.to_json(encoder))
    report.settings["generator"] = lessons.generator.identity if lessons.generator else None
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in (*lessons.rows, *swept)}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    embeddings = Embeddings(encoder.text_tower)
    samples: list[FigureConcept] = []
    counter = ProgressCounter(on_progress)
    for seed in config.seeds:
        trials = config.trials(seed)[: config.limit]
        tested = _test_features(lessons, trials)
        counter.total = len(trials) * len(found) * len(config.seeds)
        for trial in trials:
            study, label = lessons.study(trial, seed), f"seed{seed}/{trial.concept.name}"
            sample = FigureConcept(study, {})
            if seed == config.seeds[0] and len(samples) < SHOWN:
                samples.append(sample)
            for name in found:
                vectors, took = lessons.vectors(study, name, swept.get(name))
                features = token_features(encoder.text_tower, trial.concept.parent, vectors)
                found[name][label] = token_measures(tested[trial.concept.name], *features)
                seconds[name].append(took)
                if len(vectors):
                    embeddings.add(name, study, vectors)
                    sample.tokens[name] = vectors
                if save_run and name in lessons.rows:
                    _keep_ranking(report, name, label, trial, tested[trial.concept.name], features[0])
                counter.advance()
    values = {name: _values(own, found.get(PROMPT_TUNING, {}), seconds[name]) for name, own in found.items()}
    report.values = {
        "methods": {name: values[name] for name in lessons.rows},
        "loss weights": {name: values[name] for name in swept},
        "embeddings": embeddings.values,
        "skipped": lessons.skipped | lacking,
    }
    _present(report, lessons, swept, samples, found, work)
    return report


def _present(
    report: Report,
    lessons: LearnedTokens,
    swept: Mapping[str, LearningConfig],
    samples: Sequence[FigureConcept],
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
    work: Path | None,
) -> None:
    """Put tables, figures and pictures into the report."""
    report.tables = [token_aucs_table(report, lessons.learning)]
    if swept:
        report.tables.append(loss_weights_table(report, swept))
    if report.values["embeddings"]:
        report.tables.append(embeddings_table(report))
        report.figures["recognition-embeddings"] = partial(embeddings_figure, report.values["embeddings"])
    if samples and (learned := [name for name in samples[0].tokens if name in lessons.rows]):
        report.figures["recognition-affinity"] = partial(affinity_figure, samples[0], learned)
    if swept and lessons.generator:
        means = report.values["loss weights"]
        report.pictures["recognition-loss-weights"] = partial(
            loss_weights_picture, lessons, samples, found, means, work
        )


def token_features(tower: TextTower, parent: str, vectors: Tensor) -> tuple[Features, Features]:
    """tau_* of 'image of a * c' and tau_parent of 'image of a c', `[embed_dim]` each.

    Args:
        vectors: a token, `[n_vectors, text_width]`; none gives the parent twice.
    """
    slot = Slot.from_template(tower, CLASSIFICATION, parent)
    with inference_mode():
        own, plain = (slot.encode(tower, rows).features[0].cpu().numpy() for rows in (vectors, vectors[:0]))
    return own, plain


def token_measures(tested: TrialFeatures, concept: Features, parent: Features) -> dict[str, float]:
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
        name: auc(high @ concept, low @ concept)
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


def _loss_weight_configs(
    weights: Sequence[tuple[float, float]], lessons: LearnedTokens
) -> tuple[dict[str, LearningConfig], dict[str, str]]:
    """Loss weights as `(sd, ce)` -> settings, without projection as in section 4.2; those left out -> why."""
    named = {
        f"({sd:g}, {ce:g})": replace(lessons.learning, lambda_sd=sd, lambda_ce=ce, projection=False)
        for sd, ce in weights
    }
    lacking = {name: lessons.why for name, how in named.items() if how.lambda_sd and not lessons.generator}
    return {name: how for name, how in named.items() if name not in lacking}, lacking


def _test_features(lessons: LearnedTokens, trials: Sequence[Trial]) -> dict[str, TrialFeatures]:
    """Concept -> its features; a picture that many concepts are tested on is embedded once."""
    shown = {p.id: p for trial in trials for p in (*trial.held_out, *trial.parents, *trial.others)}
    features = lessons.cells.work.features(lessons.encoder, list(shown.values()))
    row = {name: i for i, name in enumerate(shown)}
    return {
        trial.concept.name: TrialFeatures(
            *(features[[row[p.id] for p in some]] for some in (trial.held_out, trial.parents, trial.others))
        )
        for trial in trials
    }


def _keep_ranking(
    report: Report, name: str, label: str, trial: Trial, tested: TrialFeatures, concept: Features
) -> None:
    """A concept is a query, its held-out pictures are relevant."""
    pictures = (*trial.held_out, *trial.parents, *trial.others)
    scores = np.concatenate([tested.concept, tested.parents, tested.others]) @ concept
    ids = [picture.id for picture in pictures]
    report.keep_ranking(
        name, label, dict(zip(ids, scores, strict=True)), [picture.id for picture in trial.held_out]
    )


def _values(
    concepts: Mapping[str, Mapping[str, float]],
    others: Mapping[str, Mapping[str, float]],
    seconds: Sequence[float],
) -> dict[str, Any]:
    """A token's figures: each measure over the concepts, its means by seed, and its AUCs against prompt tuning."""
    found: dict[str, Any] = {"n": len(concepts), "seconds a concept": float(np.mean(seconds))}
    for measure in (*AUCS, *ACCURACIES):
        own = {label: values[measure] for label, values in concepts.items() if measure in values}
        if own:
            over_seeds = seeds_summary(own)
            found[measure] = asdict(summary(list(own.values()))) | {
                "by seed": over_seeds["by seed"],
                "sd of seeds": over_seeds["sd"],
            }
    if others and others is not concepts and len(concepts) > 1:
        ours, theirs = (
            {label: _mean_auc(values) for label, values in some.items()} for some in (concepts, others)
        )
        found["against prompt tuning"] = paired_comparison(ours, theirs)
    return found


def _mean_auc(values: Mapping[str, float]) -> float:
    return float(np.mean([values[name] for name in AUCS if name in values]))
