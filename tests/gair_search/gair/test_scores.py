import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gair import QUICK, unit
from support.generator import tiny_token
from support.photos import make_photos

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import ConceptError
from gair_search.gair.options import GairConfig
from gair_search.gair.scores import Candidate, concept_features_of, context_score, object_score
from gair_search.images.reading import load_pixels
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken


def test_scores_are_means_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    images, concept, context = (unit(*rng.normal(size=(n, 5))) for n in (3, 4, 2))
    pairs = np.mean([image @ x for image in images for x in concept])
    assert object_score(images, concept.mean(axis=0)) == pytest.approx(pairs, abs=1e-6)
    pairs = np.mean([image @ x for image in images for x in context])
    assert context_score(images, context.mean(axis=0)) == pytest.approx(pairs, abs=1e-6)
    assert object_score(images[:0], concept[0]) == -math.inf


def test_a_candidates_score_is_the_worse_of_the_two() -> None:
    """Algorithm 1's min, by hand: neither the object's score alone nor the context's."""
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    assert Candidate(0.6, pixels, 0.9, 0.2, 0).score == 0.2
    assert Candidate(0.6, pixels, 0.1, 0.8, 0).score == 0.1
    for object_, context in ((None, 0.8), (0.8, None), (None, None)):
        assert Candidate(0.6, pixels, object_, context, 1).score is None
    assert Candidate(0.6, pixels, 0.9, 0.2, 3).to_json() == {
        "mixing_weight": 0.6,
        "object_score": 0.9,
        "context_score": 0.2,
        "score": 0.2,
        "excluded": 3,
        "context_only": False,
    }


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 6), st.integers(0, 2**31))
@settings(max_examples=25)
def test_scores_are_bounded_means_that_know_no_order(s: int, n: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, concept = unit(*rng.normal(size=(s, width))), unit(*rng.normal(size=(n, width)))
    found = object_score(images, concept.mean(axis=0))
    assert -1 - 1e-6 <= found <= 1 + 1e-6
    assert found == pytest.approx(float(np.mean(images @ concept.T)), abs=1e-5)
    assert found == pytest.approx(object_score(images[::-1], concept.mean(axis=0)), abs=1e-6)
    assert found == pytest.approx(-object_score(-images, concept.mean(axis=0)), abs=1e-6)
    assert context_score(images, concept.mean(axis=0)) == found


def test_features_of_another_length_are_refused(tiny: Encoder, token: CustomToken) -> None:
    short = replace(token, facts={**token.facts, facts.CONCEPT_FEATURES: facts.pack(np.ones(3, np.float32))})
    theirs = facts.learned_with(token)
    with pytest.raises(ConceptError, match=r"are those of .* learn it again") as caught:
        concept_features_of(short, tiny, GairConfig())
    assert f"are those of {theirs or 'another'}, and this is {tiny.embedder_id}" in str(caught.value)


def test_concept_images_can_be_given(engine: Engine, tiny: Encoder, tmp_path: Path) -> None:
    engine.tokens.save(tiny_token(tiny, "bare", concept_features=""))
    photos = make_photos(tmp_path / "photos", 2)
    result = engine.gair("a <bare> dress", replace(QUICK, mixing_weight=0.5, concept_images=tuple(photos)))
    pixels = np.stack([load_pixels(path, tiny.preprocessing) for path in photos])
    assert result.concept_features is not None
    assert np.allclose(result.concept_features, tiny.encode_pixels(pixels).mean(axis=0), atol=1e-6)
