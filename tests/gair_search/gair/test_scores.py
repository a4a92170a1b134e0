import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gair import QUICK, unit
from support.generator import tiny_token
from support.photos import make_photos

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import ConceptError
from gair_search.gair.options import GairConfig
from gair_search.gair.scores import concept_features_of, context_score, object_score
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


def test_features_of_another_length_are_refused(tiny: Encoder, token: CustomToken) -> None:
    short = replace(token, facts={**token.facts, facts.CONCEPT_FEATURES: facts.pack(np.ones(3, np.float32))})
    with pytest.raises(ConceptError, match=r"are those of .* learn it again"):
        concept_features_of(short, tiny, GairConfig())


def test_concept_images_can_be_given(engine: Engine, tiny: Encoder, tmp_path: Path) -> None:
    engine.tokens.save(tiny_token(tiny, "bare", concept_features=""))
    photos = make_photos(tmp_path / "photos", 2)
    result = engine.gair("a <bare> dress", replace(QUICK, mixing_weight=0.5, concept_images=tuple(photos)))
    pixels = np.stack([load_pixels(path, tiny.preprocessing) for path in photos])
    assert result.concept_features is not None
    assert np.allclose(result.concept_features, tiny.encode_pixels(pixels).mean(axis=0), atol=1e-6)
