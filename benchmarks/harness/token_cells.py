"""Finished tokens and GAIR's queries of tables 1 to 4, a kept cell each."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gair_search.benchmarks.harness.cells import Work, digest
from gair_search.benchmarks.methods.concepts import (
    CONSTANT,
    CONTROLS,
    GAIR,
    NEEDS_GENERATOR,
    PALAVRA,
    POLAR,
    UNLEARNED,
    Features,
    Study,
    gair_queries,
    learn_polar_update,
    learn_token,
    learn_token_by,
    palavra,
    query_features,
    query_features_with_update,
    query_mixture,
)
from gair_search.encoder.clip import Encoder
from gair_search.gair.mixing import mix_features
from gair_search.gair.options import GairConfig
from gair_search.learning.config import LearningConfig
from gair_search.tokens import facts

CONSTANT_WEIGHT = 0.8
"""Of the control, unless given: what validation seeds chose (benchmarks/PROTOCOL.md)."""


@dataclass(frozen=True)
class MixedFeatures:
    """q(w) of a query by its two ends, text features `[embed_dim]` each, as `Mixture` has them."""

    concept: Features
    attributes: Features

    def at(self, w: float) -> Features:
        """q(w), L2-normalised."""
        return mix_features(w, self.concept, self.attributes)


class TokenCells:
    """Finished tokens and GAIR's queries, a cell each (seed, concept, method).

    Attributes:
        work: keeps tokens that no generator has seen; they stay good when the generator is another.
        work_with_generator: keeps tokens and queries that the generator made.
    """

    def __init__(
        self,
        encoder: Encoder,
        key: Mapping[str, Any],
        generator: str | None,
        folder: Path | None,
        constant_weight: float = CONSTANT_WEIGHT,
    ) -> None:
        """Open the folder.

        Args:
            encoder: the model.
            key: all that a token depends on, besides the model's weights and the generator.
            generator: the generator's identity; None without one.
            folder: where cells are kept; `GAIR_HOME/bench` unless given.
            constant_weight: of the control with a constant mixing weight.
        """
        self.constant_weight = constant_weight
        needed = dict(key) | {"embedder": encoder.embedder_id.to_metadata()}
        self.work = Work("retrieval", needed, folder)
        self.work_with_generator = Work("retrieval", needed | {"generator": generator}, folder)

    def query_vectors(self, study: Study, name: str) -> tuple[Features, dict[str, Any]]:
        """Query vectors `[Q, embed_dim]` of a method, and the seconds (and mixing weights) that it took."""
        if name in UNLEARNED:
            began = time.perf_counter()
            return UNLEARNED[name](study), {"seconds": time.perf_counter() - began}
        if name in GAIR:
            return self._gair_queries(study, name)
        if name in CONTROLS:
            return self._controls(study, name)
        cell = self.token(study, name)
        if name == POLAR:
            return query_features_with_update(study, np.stack(np.split(token_vectors(study, cell), 2))), cell
        return query_features(study, token_vectors(study, cell), with_parent=name != PALAVRA), cell

    def mixtures(self, study: Study, method: str) -> list[MixedFeatures]:
        """The two ends of q(w) of every query, by a method's token."""

        def mix() -> list[list[str]]:
            vectors = token_vectors(study, self.token(study, method))
            found = [query_mixture(study, query, vectors) for query in study.queries]
            return [[facts.pack(one.concept_query), facts.pack(one.attributes_query)] for one in found]

        asked = digest([[query.text("") for query in study.queries], study.mixed_attributes])
        rows = self._work_of(method).cell(f"{cell_name(study, method)}-mixture-{asked}", mix)
        return [MixedFeatures(facts.unpack(concept), facts.unpack(rest)) for concept, rest in rows]

    def _controls(self, study: Study, name: str) -> tuple[Features, dict[str, Any]]:
        """Queries at a constant weight, or at weights drawn from GAIR's range by the concept's and the study's seed."""
        began = time.perf_counter()
        mixtures = self.mixtures(study, CONTROLS[name])
        if name.endswith(CONSTANT):
            weights = [self.constant_weight] * len(mixtures)
        else:
            low, high = min(GairConfig().first_weights), max(GairConfig().first_weights)
            draws = np.random.default_rng([study.seed, *study.concept.name.encode()])
            weights = draws.uniform(low, high, len(mixtures)).tolist()
        rows = np.stack([mixed.at(w) for mixed, w in zip(mixtures, weights, strict=True)])
        return rows, {"seconds": time.perf_counter() - began, "weights": weights}

    def _gair_queries(self, study: Study, name: str) -> tuple[Features, dict[str, Any]]:
        options = GairConfig()

        def search() -> dict[str, Any]:
            began = time.perf_counter()
            vectors = token_vectors(study, self.token(study, GAIR[name]))
            found = gair_queries(study, vectors, options)
            return {
                "queries": {q.id: facts.pack(v) for q, (_, v) in zip(study.queries, found, strict=True)},
                "weights": [w for w, _ in found],
                "seconds": time.perf_counter() - began,
            }

        queries = digest([repr(options), [query.text("") for query in study.queries], study.mixed_attributes])
        cell = self.work_with_generator.cell(f"{cell_name(study, name)}-{queries}", search)
        return np.stack([facts.unpack(cell["queries"][query.id]) for query in study.queries]), cell

    def token(self, study: Study, name: str, learning: LearningConfig | None = None) -> dict[str, Any]:
        """A token's cell: packed `vectors`, the best `step`, and the `seconds` that it took.

        Args:
            study: of the concept.
            name: of the method; any other name for a token of another configuration.
            learning: that other configuration.
        """

        def learn() -> dict[str, Any]:
            if name not in (PALAVRA, POLAR):
                _ = study.problem  # what the methods share is nobody's time
            began = time.perf_counter()
            step, vectors = 0, None
            if name == PALAVRA:
                vectors = palavra(study)
            elif name == POLAR:
                vectors = learn_polar_update(study)
            else:
                learned = learn_token(study, learning) if learning else learn_token_by(study, name)
                step, vectors = learned.step, learned.vectors
            rows = vectors.float().cpu().numpy()
            return {
                "vectors": facts.pack(rows.ravel()),
                "step": step,
                "seconds": time.perf_counter() - began,
            }

        work = self._work_of(name) if learning is None else self._work_of("", bool(learning.lambda_sd))
        found: dict[str, Any] = work.cell(cell_name(study, name), learn)
        return found

    def _work_of(self, method: str, sees_generator: bool = False) -> Work:
        """Where a method's tokens are kept."""
        return self.work_with_generator if sees_generator or method in NEEDS_GENERATOR else self.work


def cell_name(study: Study, name: str) -> str:
    """The name of a cell of what is learned for a study: other pictures make another name."""
    return f"seed{study.seed}/{study.concept.name}-{study.digest}/{name.replace(' ', '-')}"


def token_vectors(study: Study, cell: Mapping[str, Any]) -> Features:
    """A kept token, `[n_vectors, text_width]`; of POLAR the rows of both factors."""
    return facts.unpack(cell["vectors"]).reshape(-1, study.encoder.text_tower.width)
