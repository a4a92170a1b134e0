"""What GAIR gathers before it draws, and what becomes of its result. Drawing itself is in `test_gair.py`."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.generator import tiny_model, tiny_token

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GairError, GairWarning
from gair_search.gair.options import GairConfig
from gair_search.gair.result import GairResult
from gair_search.gair.selection import (
    Subject,
    attributes_of,
    both_features,
    features_of,
    mixed_concept,
    mixed_query,
    query_or_plain,
    reranked,
)
from gair_search.gallery import Hit
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import Query, plain_query
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

PROMPT = "a * dress on (grass:1.5)"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return Encoder(models.resolve(f"local-dir:{folder}"), "cpu")


@pytest.fixture
def token(tiny: Encoder) -> CustomToken:
    return tiny_token(tiny)


def result(query: Query, *said: str, features: np.ndarray | None = None) -> GairResult:
    """Of nothing drawn."""
    return GairResult(
        0.5, False, (), query, None, (), features, features, SamplingConfig(), (0,), 0, 0, warnings=said
    )


def hit(rank: int, name: str) -> Hit:
    return Hit(rank, 0.5, f"/photos/{name}.jpg", name, {"size": rank})


def test_a_concept_may_stand_twice_under_both_of_its_names(tiny: Encoder, token: CustomToken) -> None:
    other = replace(token, name="other")

    def lookup(name: str) -> CustomToken:
        return other if name == "other" else token

    assert mixed_concept(f"a * by a <{token.name}>", lookup) is token
    with pytest.raises(ConceptError, match=f"<{token.name}> and <other>"):
        mixed_concept("a * by <other>", lookup)
    with pytest.raises(ConceptError, match="has none"):
        mixed_concept("a dress", lookup)


def test_what_the_options_name_goes_before_the_file(tiny: Encoder, token: CustomToken) -> None:
    assert attributes_of(token, GairConfig()) == facts.attributes(token)
    assert attributes_of(token, GairConfig(attributes=("red",))) == ["red"]
    subject = Subject.of(PROMPT, tiny, lambda _: token, GairConfig(attributes=("red",)))
    assert (subject.prompt, subject.token, subject.attributes) == (PROMPT, token, ["red"])
    assert np.array_equal(subject.concept_features, facts.concept_features(token))
    short = replace(token, facts={**token.facts, facts.CONCEPT_FEATURES: facts.pack(np.ones(3, np.float32))})
    with pytest.raises(ConceptError, match=r"are those of .* learn it again"):
        features_of(short, tiny, GairConfig())


def test_a_mixed_query_tells_its_weight(tiny: Encoder, token: CustomToken) -> None:
    plain = plain_query(PROMPT, tiny, lambda _: token)
    whole = mixed_query(PROMPT, 1.0, tiny, lambda _: token, GairConfig())
    assert np.array_equal(whole.vector, plain.vector)
    assert (whole.tokens, whole.terms) == (plain.tokens, plain.terms)
    assert (whole.mixing_weight, plain.mixing_weight) == (1.0, None)


def test_gair_s_query_or_the_plain_one() -> None:
    plain, mixed = (Query(name, np.ones(2, np.float32), (), ()) for name in ("plain", "mixed"))

    def search(gair: Callable[[], GairResult], auto: bool) -> Query:
        return query_or_plain(gair, lambda: plain, auto=auto)

    def fail() -> GairResult:
        raise GairError("it rained")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert search(lambda: result(mixed), False) is mixed
    with pytest.warns(GairWarning, match="mind the gap") as caught:
        assert search(lambda: result(mixed, "mind the gap"), True) is mixed
    assert caught[0].filename == __file__
    with pytest.raises(GairError, match="it rained"):
        search(fail, False)
    with pytest.warns(GairWarning, match="searched without GAIR: it rained"):
        assert search(fail, True) is plain


def test_hits_are_ordered_by_the_worse_of_both_scores() -> None:
    vectors = {
        "concept": np.array([1.0, 0.0], np.float32),
        "both": np.array([0.6, 0.8], np.float32),
        "context": np.array([0.0, 1.0], np.float32),
    }
    concept, context = np.array([1.0, 0.1], np.float32), np.array([0.2, 0.5], np.float32)
    hits = [hit(i, name) for i, name in enumerate(("gone", "concept", "context", "both"), start=1)]
    ranked = reranked(iter(hits), vectors, concept, context)
    assert [one.id for one in ranked] == ["both", "concept", "context", "gone"]
    assert [one.score for one in ranked[:3]] == pytest.approx([0.52, 0.2, 0.1])
    assert ranked[0].payload == pytest.approx({"size": 4, "object_score": 0.68, "context_score": 0.52})
    assert [one.rank for one in ranked] == [1, 2, 3, 4]
    assert ranked[3] == replace(hits[0], rank=4)


def test_a_result_without_a_concept_has_no_features() -> None:
    query = Query("x", np.ones(2, np.float32), (), ())
    with pytest.raises(ConceptError, match="without a concept"):
        both_features(result(query))
    ones = np.ones(2, np.float32)
    assert all(one is ones for one in both_features(result(query, features=ones)))
