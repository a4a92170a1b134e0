from dataclasses import replace

import numpy as np
import pytest
from support.gair import PROMPT, QUICK, features_in

from gair_search.engine import Engine
from gair_search.errors import ConceptError
from gair_search.gair.reranking import require_features, rerank_hits
from gair_search.gair.result import GairResult
from gair_search.gallery import Hit
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import Query
from gair_search.tokens.custom_token import CustomToken


def hit(rank: int, name: str) -> Hit:
    return Hit(rank, 0.5, f"/photos/{name}.jpg", name, {"size": rank})


def test_hits_are_ordered_by_the_worse_of_both_scores() -> None:
    vectors = {
        "concept": np.array([1.0, 0.0], np.float32),
        "both": np.array([0.6, 0.8], np.float32),
        "context": np.array([0.0, 1.0], np.float32),
    }
    concept, context = np.array([1.0, 0.1], np.float32), np.array([0.2, 0.5], np.float32)
    hits = [hit(i, name) for i, name in enumerate(("gone", "concept", "context", "both"), start=1)]
    ranked = rerank_hits(iter(hits), vectors, concept, context)
    assert [one.id for one in ranked] == ["both", "concept", "context", "gone"]
    assert [one.score for one in ranked[:3]] == pytest.approx([0.52, 0.2, 0.1])
    assert ranked[0].payload == pytest.approx({"size": 4, "object_score": 0.68, "context_score": 0.52})
    assert [one.rank for one in ranked] == [1, 2, 3, 4]
    assert ranked[3] == replace(hits[0], rank=4)


def test_hits_are_compared_by_direction_however_long_their_vectors() -> None:
    """A collection of another's may hold vectors that are not normalised: (3, 4) counts as (0.6, 0.8)."""
    vectors = {"long": np.array([3.0, 4.0], np.float32), "zero": np.zeros(2, np.float32)}
    short = {"long": np.array([0.03, 0.04], np.float32), "zero": np.zeros(2, np.float32)}
    concept, context = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    for own in (vectors, short):
        first, second = rerank_hits([hit(1, "zero"), hit(2, "long")], own, concept, context)
        assert (first.id, second.id) == ("long", "zero")
        assert (first.payload["object_score"], first.payload["context_score"]) == pytest.approx((0.6, 0.8))
        assert (first.score, second.score) == pytest.approx((0.6, 0.0))


def test_a_result_without_a_concept_has_no_features() -> None:
    query = Query("x", np.ones(2, np.float32), (), ())
    bare = GairResult(0.5, False, (), query, None, (), None, None, SamplingConfig(), (0,), 0, 0, ())
    with pytest.raises(ConceptError, match="without a concept"):
        require_features(bare)
    ones = np.ones(2, np.float32)
    for half in ({"concept_features": ones}, {"context_features": ones}):
        with pytest.raises(ConceptError, match="without a concept"):
            require_features(replace(bare, **half))
    assert all(
        one is ones for one in require_features(replace(bare, concept_features=ones, context_features=ones))
    )


def test_reranking_scores_given_hits_without_a_search(
    engine: Engine, token: CustomToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = engine.search(PROMPT, 6)
    result = engine.gair(PROMPT, QUICK)
    monkeypatch.setattr(engine.gallery, "search", None)
    engine.gallery.delete([hits[1].id])
    ranked = engine.rerank(hits, result)
    assert [hit.rank for hit in ranked] == [1, 2, 3, 4, 5, 6]
    assert {hit.id for hit in ranked} == {hit.id for hit in hits}
    assert ranked[-1] == replace(hits[1], rank=6)
    vectors = engine.gallery.vectors([hit.id for hit in hits])
    for hit in ranked[:-1]:
        both = vectors[hit.id] @ features_in(token), vectors[hit.id] @ result.context_features
        assert hit.score == pytest.approx(min(both), abs=1e-6)
        assert (hit.payload["object_score"], hit.payload["context_score"]) == pytest.approx(both, abs=1e-6)
        assert hit.to_json()["score"] == hit.score
    scores = [hit.score for hit in ranked[:-1]]
    assert scores == sorted(scores, reverse=True)
    again = engine.rerank(hits, PROMPT, QUICK)
    assert [hit.id for hit in again] == [hit.id for hit in ranked]
    assert [hit.score for hit in again] == pytest.approx([hit.score for hit in ranked], abs=1e-5)
