"""Facts of a learned token survive as strings."""

import numpy as np
import pytest

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.facts import attributes, concept_features, pack, unpack


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
