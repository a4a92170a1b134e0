import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gair_search.encoder.clip import Encoder
from gair_search.learning.attributes import average_embeddings, nearest, vocabulary
from gair_search.learning.report import (
    CONTEXTS,
    QUALITY,
    affinity,
    auc,
    composition,
    describe,
    nearest_rows,
    nearest_words,
    norm_range,
    read_quality,
    related_words,
)
from gair_search.tokens.custom_token import CustomToken


def test_the_facts_of_a_token() -> None:
    vectors = np.array([[3, 4], [0, 0]], np.float32)
    facts = {"imported_at": "2026-01-02T03:04:05+00:00", "text_tower_assumed": "yes"}
    embedder = "local-dir:/a (b) (config-1, weights ab, preprocessing cd)"
    described = describe(CustomToken("x", vectors, "abc", embedder, "dress", facts))
    assert (described["norms"], described["n_vectors"], described["width"]) == ([5, 0], 2, 2)
    assert (described["model"], described["embedder"]) == ("local-dir:/a (b)", embedder)
    assert (described["made_at"], described["text_tower_assumed"]) == (facts["imported_at"], True)
    assert describe(CustomToken("x", vectors, "abc", "gair-mini"))["model"] == "gair-mini"


def test_nearest_rows_are_those_of_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((3, 6)).astype(np.float32)
    table = generator.standard_normal((50, 6)).astype(np.float32)
    rows, cosines = nearest_rows(vectors, table, 4)
    for i, vector in enumerate(vectors):
        expected = [float(row @ vector / np.linalg.norm(row) / np.linalg.norm(vector)) for row in table]
        assert list(rows[i]) == sorted(range(50), key=lambda j, e=expected: -e[j])[:4]  # type: ignore[misc]
        assert np.allclose(cosines[i], sorted(expected, reverse=True)[:4], atol=1e-6)


def test_zero_vectors_and_short_tables() -> None:
    table = np.array([[1, 0], [0, 0]], np.float32)
    rows, cosines = nearest_rows(np.zeros((1, 2), np.float32), table, 5)
    assert (rows.tolist(), cosines.tolist()) == ([[0, 1]], [[0, 0]])


def test_a_word_of_the_table_is_its_own_nearest(encoder: Encoder) -> None:
    tower = encoder.text_tower
    ids = [*tower.token_ids("dress"), *tower.token_ids("red")]
    vectors = tower.token_embeddings(torch.tensor(ids)).detach().numpy()
    words = nearest_words(CustomToken("x", vectors, tower.table_hash), tower, k=3)
    assert [row[0] for row in words] == [("dress", 1.0), ("red", 1.0)]
    for row in words:
        assert len(row) == len({word for word, _ in row}) == 3


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
@pytest.mark.slow
def test_auc_with_ties_equals_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores, flags = np.array([float(score) for score, _ in pairs]), np.array([flag for _, flag in pairs])
    if flags.all() or not flags.any():
        with pytest.raises(ValueError, match="it needs both"):
            auc(scores[flags], scores[~flags])
        return
    assert auc(scores[flags], scores[~flags]) == pytest.approx(roc_auc_score(flags, scores), abs=1e-9)


def test_auc_is_scikit_learn_s_with_ties_and_at_its_ends() -> None:
    generator = np.random.default_rng(0)
    for n, k in ((1, 1), (7, 3), (40, 60)):
        scores = generator.integers(0, 6, n + k).astype(np.float32) / 4  # many ties
        labels = np.arange(n + k) < n
        assert auc(scores[:n], scores[n:]) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    high, low = np.float32([2, 3]), np.float32([0, 1])
    assert (auc(high, low), auc(low, high), auc(high, high)) == (1, 0, 0.5)


def test_a_word_in_the_token_s_place_composes_as_itself(encoder: Encoder) -> None:
    tower = encoder.text_tower
    rows = average_embeddings(tower, ["red", "old"])
    assert composition(rows[:1], "dress", tower, ["red"]) == pytest.approx(1, abs=1e-3)
    with torch.inference_mode():
        beach, snow = (
            torch.from_numpy(encoder.encode_texts([f"a {word} dress {where}" for word in ("red", "old")]))
            for where in CONTEXTS
        )
    red, old = (1 - (beach * snow).sum(dim=1)).tolist()
    assert composition(rows[1:], "dress", tower, ["red"]) == pytest.approx(old / red, rel=1e-3)
    assert composition(rows[1:], "dress", tower, ["red", "old"]) == pytest.approx(
        2 * old / (red + old), rel=1e-3
    )


def test_affinity_is_of_cosines(encoder: Encoder) -> None:
    tower, words = encoder.text_tower, ["red", "old", "bespectacled"]
    rows = average_embeddings(tower, words)
    token = CustomToken("x", rows[:2].numpy() * 3, tower.table_hash)
    labels, cosines = affinity(token, tower, words)
    assert labels == [*words, "<x>"]
    assert np.allclose(np.diag(cosines), 1)
    assert np.array_equal(cosines, cosines.T)
    expected = torch.nn.functional.cosine_similarity(rows[0] + rows[1], rows, dim=-1)
    assert np.allclose(cosines[3, :3], expected, atol=1e-6)
    same = affinity(CustomToken("x", rows[1:2].numpy(), tower.table_hash), tower, words)[1]
    assert same[3, 1] == pytest.approx(1)
    nothing = affinity(CustomToken("x", rows[:1].numpy() * 0, tower.table_hash), tower, words)[1]
    assert nothing[3].tolist() == [0, 0, 0, 0]
    assert len(affinity(token, tower, vocabulary()[:50])[0]) == 21


def test_the_range_of_norms(encoder: Encoder) -> None:
    rows = average_embeddings(encoder.text_tower, ["red", "old", "bespectacled"]).numpy()
    norms = [float(np.sqrt((row**2).sum())) for row in rows]
    found = norm_range(encoder.text_tower, ["red", "old", "bespectacled"])
    assert found == pytest.approx((min(norms), max(norms)), rel=1e-5)


def test_words_to_compare_with_are_its_own_else_its_parent_s_else_the_commonest(encoder: Encoder) -> None:
    tower, row = encoder.text_tower, np.ones((1, encoder.text_tower.width), np.float32)
    own = CustomToken("x", row, tower.table_hash, parent="dress", facts={"attributes": "red, old"})
    assert related_words(own, tower) == ["red", "old"]
    assert related_words(CustomToken("x", row, tower.table_hash, parent="dress"), tower) == nearest(
        tower, "dress", 20
    )
    assert related_words(CustomToken("x", row, tower.table_hash), tower) == list(vocabulary())


def test_a_quality_that_makes_no_sense_is_none() -> None:
    def told(quality: str) -> dict[str, float] | None:
        return read_quality(CustomToken("x", np.ones((1, 2), np.float32), "t", facts={"quality": quality}))

    good = dict.fromkeys(QUALITY, 0.5)
    assert told(json.dumps(good)) == good
    for bad in ("", "null", "[1]", '{"separation": 1}', json.dumps({**good, "composition": float("nan")})):
        assert told(bad) is None
