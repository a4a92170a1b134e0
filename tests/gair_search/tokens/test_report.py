import numpy as np
import torch

from gair_search.clip import Clip
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.report import describe, nearest_rows, nearest_words


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


def test_a_word_of_the_table_is_its_own_nearest(clip: Clip) -> None:
    tower = clip.text_tower
    ids = [*tower.token_ids("dress"), *tower.token_ids("red")]
    vectors = tower.token_embeddings(torch.tensor(ids)).detach().numpy()
    words = nearest_words(CustomToken("x", vectors, tower.table_hash), tower, k=3)
    assert [row[0] for row in words] == [("dress", 1.0), ("red", 1.0)]
    for row in words:
        assert len(row) == len({word for word, _ in row}) == 3
