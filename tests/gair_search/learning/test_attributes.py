"""The vocabulary of adjectives, and the choice among them."""

import pytest
import torch

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError
from gair_search.learning.attributes import average_embeddings, nearest, parse, vocabulary


def test_the_vocabulary_is_of_single_words_each_once():
    words = vocabulary()
    assert len(words) > 600
    assert len(set(words)) == len(words)
    assert all(word.isalpha() and word.islower() for word in words)
    assert {"red", "old", "bright", "dark", "pink", "worn"} <= set(words)


def test_the_nearest_are_nearest(encoder: Encoder):
    words = ("frozen", "woolen", "edible", "quilted")
    with torch.inference_mode():
        target = encoder.encode_texts(["sweater"])
        cosines = {word: float((encoder.encode_texts([word]) @ target.T).item()) for word in words}
    best = sorted(words, key=lambda word: -cosines[word])
    assert nearest(encoder.text_tower, "sweater", 3, words) == best[:3]


def test_of_equals_the_earlier_is_nearer(encoder: Encoder):
    """A tokenizer knows no capitals: these are one word to the model, in a row too long for luck."""
    words = [*("RED" if i % 2 else "red" for i in range(40)), "blue"]
    found = nearest(encoder.text_tower, "a red dress", 40, words)
    assert found == words[:40]


def test_average_embeddings_are_means_of_pieces(encoder: Encoder):
    tower = encoder.text_tower
    ids = tower.token_ids("bespectacled")
    assert len(ids) > 1
    rows = tower.token_embeddings(torch.tensor(ids))
    assert torch.allclose(average_embeddings(tower, ["bespectacled"])[0], rows.mean(0), atol=1e-6)


def test_parse():
    assert parse("red, old ,red,very  bright") == ["red", "old", "very bright"]
    assert parse("red,old") == ["red", "old"]
    with pytest.raises(ConceptError, match="two or more"):
        parse("red,")
