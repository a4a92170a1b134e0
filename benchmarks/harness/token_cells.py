"""Finished tokens and GAIR's queries of tables 1 to 4, a kept cell each."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gair_search.benchmarks.harness.cells import Work, digest
from gair_search.benchmarks.methods.concepts import (
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
)
from gair_search.encoder.clip import Encoder
from gair_search.gair.options import GairConfig
from gair_search.learning.config import LearningConfig
from gair_search.tokens import facts


class TokenCells:
    """Finished tokens and GAIR's queries, a cell each (seed, concept, method).

    Attributes:
        work: keeps tokens that no generator has seen; they stay good when the generator is another.
        work_with_generator: keeps tokens and queries that the generator made.
    """

    def __init__(
        self, encoder: Encoder, key: Mapping[str, Any], generator: str | None, folder: Path | None
    ) -> None:
        """Open the folder.

        Args:
            encoder: the model.
            key: all that a token depends on, besides the model's weights and the generator.
            generator: the generator's identity; None without one.
            folder: where cells are kept; `GAIR_HOME/bench` unless given.
        """
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
        cell = self.token(study, name)
        if name == POLAR:
            return query_features_with_update(study, np.stack(np.split(token_vectors(study, cell), 2))), cell
        return query_features(study, token_vectors(study, cell), with_parent=name != PALAVRA), cell

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

        queries = digest([repr(options), [query.text("") for query in study.queries]])
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

        sees_generator = bool(learning.lambda_sd) if learning else name in NEEDS_GENERATOR
        work = self.work_with_generator if sees_generator else self.work
        found: dict[str, Any] = work.cell(cell_name(study, name), learn)
        return found


def cell_name(study: Study, name: str) -> str:
    """The name of a cell of what is learned for a study: other pictures make another name."""
    return f"seed{study.seed}/{study.concept.name}-{study.digest}/{name.replace(' ', '-')}"


def token_vectors(study: Study, cell: Mapping[str, Any]) -> Features:
    """A kept token, `[n_vectors, text_width]`; of POLAR the rows of both factors."""
    return facts.unpack(cell["vectors"]).reshape(-1, study.encoder.text_tower.width)
