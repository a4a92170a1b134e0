"""Facts of a learned token survive as strings."""

import numpy as np
import pytest

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.facts import (
    attributes,
    concept_features,
    held_out,
    pack,
    pack_losses,
    unpack,
)


def _token(**facts: str) -> CustomToken:
    return CustomToken("mug", np.zeros((1, 4), np.float32), "tower", facts=facts)


def test_a_vector_comes_back_bit_for_bit():
    vector = np.random.default_rng(0).standard_normal(640).astype(np.float32)
    assert np.array_equal(unpack(pack(vector)), vector)


@pytest.mark.parametrize("text", ["not base64!", "AAA=", pack(np.array([np.nan], np.float32))])
def test_what_is_no_vector_is_refused(text):
    with pytest.raises(ValueError, match=r"base64|buffer|NaN"):
        unpack(text)
    with pytest.raises(ConceptError, match="<mug>: concept_features in its file is damaged"):
        concept_features(_token(concept_features=text))


def test_facts_of_a_token():
    assert attributes(_token(attributes="red, old,")) == ["red", "old"]
    assert attributes(_token()) == []
    assert concept_features(_token()) is None
    assert concept_features(_token(concept_features=pack(np.ones(3, np.float32)))).tolist() == [1, 1, 1]


def test_losses_of_a_run():
    looks = [(10, 0.123456789), (20, 1e-9)]
    assert held_out(_token(held_out=pack_losses(looks))) == [(10, 0.123457), (20, 1e-9)]
    assert held_out(_token()) == []
    for text in ("no json", "3", "[[1]]", '[["a", 1]]', "[[1, Infinity]]", "[[1, null]]"):
        assert held_out(_token(held_out=text)) == []
