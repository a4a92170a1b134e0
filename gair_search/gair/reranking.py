"""Given hits in the order of GAIR's two scores of the images themselves, without a second search."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError
from gair_search.gair.algorithm import score
from gair_search.gair.result import GairResult
from gair_search.gallery import Hit, PointId


def require_features(result: GairResult) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean features `[embed_dim]` of the concept images and of the context images. Raises ConceptError."""
    if result.concept_features is None or result.context_features is None:
        raise ConceptError("these images were drawn of a prompt without a concept, so they have no scores")
    return result.concept_features, result.context_features


def rerank_hits(
    hits: Iterable[Hit],
    vectors: Mapping[PointId, NDArray[np.float32]],
    concept_features: NDArray[np.float32],
    context_features: NDArray[np.float32],
) -> list[Hit]:
    """Hits by the worse of their images' own object and context score, best first.

    Args:
        hits: of a gallery.
        vectors: of the hits' images, `[embed_dim]` by id; hits without one come last, as they were.
        concept_features, context_features: mean features `[embed_dim]`.
    """
    scored: list[Hit] = []
    gone: list[Hit] = []
    for hit in hits:
        if hit.id not in vectors:
            gone.append(hit)
            continue
        vector = vectors[hit.id] / max(float(np.linalg.norm(vectors[hit.id])), 1e-12)
        s_o, s_c = float(vector @ concept_features), float(vector @ context_features)
        payload = {**hit.payload, "object_score": s_o, "context_score": s_c}
        scored.append(replace(hit, score=score(s_o, s_c), payload=payload))
    scored.sort(key=lambda hit: -hit.score)
    return [replace(hit, rank=rank) for rank, hit in enumerate([*scored, *gone], start=1)]
