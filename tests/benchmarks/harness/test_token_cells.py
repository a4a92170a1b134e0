"""Kept tokens, and the queries between a concept and its attributes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.harness.token_cells import TokenCells
from gair_search.benchmarks.methods.concepts import CONSTANT, PROMPT_TUNING, RANDOM, Study
from gair_search.encoder.clip import Encoder
from gair_search.gair.options import GairConfig
from gair_search.learning.config import PAPER

WORDS = ("red", "striped")


@pytest.fixture
def study(encoder: Encoder) -> Study:
    """A concept whose negatives are the whole gallery."""
    data = fashion_world(0, concepts=1, views=3, distractors=4, kinds=1, shots=2, size=64, elsewhere=False)
    (concept,) = data.concepts

    def features(pictures: tuple) -> np.ndarray:
        return encoder.encode_images([picture.image() for picture in pictures])

    images, others = features(concept.images), features(data.gallery)
    learning = replace(PAPER, n_vectors=1, steps=3, learning_rate=0.01)
    return Study(encoder, concept, data.queries, images, others, learning, WORDS, 3, all_negative=True)


def test_the_ends_of_a_mixture_and_gair_s_controls(study: Study, tmp_path: Path) -> None:
    cells = TokenCells(study.encoder, {}, None, tmp_path, constant_weight=0.7)
    plain, _ = cells.query_vectors(study, PROMPT_TUNING)
    mixtures = cells.mixtures(study, PROMPT_TUNING)
    for mixed, row, query in zip(mixtures, plain, study.queries, strict=True):
        assert np.allclose(mixed.at(1), row, atol=1e-5)
        texts = study.encoder.encode_texts([query.text(f"{word} {study.concept.parent}") for word in WORDS])
        mean = texts.mean(0) / np.linalg.norm(texts.mean(0))
        assert np.allclose(mixed.at(0), mean, atol=1e-4)  # one vector stands for one word
    rows, cell = cells.query_vectors(study, f"{PROMPT_TUNING}, {CONSTANT}")
    assert cell["weights"] == [0.7] * 3
    assert np.allclose(rows, [mixed.at(0.7) for mixed in mixtures], atol=1e-6)
    rows, cell = cells.query_vectors(study, f"{PROMPT_TUNING}, {RANDOM}")
    low, *_, high = GairConfig().first_weights
    assert len(set(cell["weights"])) == 3
    assert all(low <= w <= high for w in cell["weights"])
    assert np.allclose(rows, [m.at(w) for m, w in zip(mixtures, cell["weights"], strict=True)], atol=1e-6)
    assert cells.query_vectors(study, f"{PROMPT_TUNING}, {RANDOM}")[1]["weights"] == cell["weights"]
