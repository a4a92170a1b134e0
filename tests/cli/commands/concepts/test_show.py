"""`gair concepts show`, on a terminal and as a page."""

import json
from collections.abc import Callable

import numpy as np
from support.cli import Gair
from support.generator import MINI_WIDTH

from gair_search.encoder.clip import Encoder
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


def test_show_prints_all_facts_and_the_nearest_words(
    gair: Gair, stored: Callable[..., CustomToken], encoder: Encoder
) -> None:
    token = stored("my-dress")
    facts = json.loads(gair("concepts", "show", "my-dress", "--json")[1])
    assert (facts["parent"], facts["active"], facts["width"]) == ("dress", True, MINI_WIDTH)
    assert (facts["text_tower"], facts["text_tower_assumed"]) == (encoder.text_tower.table_hash, False)
    assert facts["facts"]["preset"] == "mini"
    assert np.allclose(facts["norms"], np.linalg.norm(token.vectors, axis=1))
    assert [len(row) for row in facts["nearest_words"]] == [5, 5]
    assert -1 <= facts["nearest_words"][0][0]["cosine"] <= 1
    code, out, _ = gair("concepts", "show", "my-dress")
    assert code == 0
    assert "<my-dress>, the active one" in out
    assert "preset" in out
    assert str(TokenStore().path("my-dress")) in out
    assert facts["nearest_words"][1][0]["word"] in out


def test_show_without_the_model_and_with_hostile_text(gair: Gair) -> None:
    facts = {"evil\x1b[2J": "\x1b[31mred\x07"}
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "ViT-B-32:/none.pt", facts=facts))
    code, out, _ = gair("concepts", "show", "x")
    assert code == 0
    assert "not known here; the file of <x> names the model ViT-B-32:/none.pt, which you have not used" in out
    assert "\x1b" not in out
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "gair-mini"))
    answer = json.loads(gair("concepts", "show", "x", "--json")[1])
    assert answer["nearest_words"] is None
    assert "not the token's own" in answer["nearest_words_missing"]
