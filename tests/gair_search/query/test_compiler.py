from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, ModelError, PromptError
from gair_search.query.compiler import compile_prompt, compile_query, encode, query_vector
from gair_search.tokens.custom_token import CustomToken


def nobody(name: str) -> CustomToken:
    raise ConceptError(f"unknown {name}")


def token_of(encoder: Encoder, words: str, name: str = "thing") -> CustomToken:
    """A custom token whose vectors are those of ordinary words, so that its features are known."""
    tower = encoder.text_tower
    rows = tower.token_embeddings(torch.tensor(tower.token_ids(words))).detach().numpy()
    return CustomToken(name, rows.copy(), tower.table_hash, "gair-mini")


def vector(encoder: Encoder, prompt: str, token: CustomToken | None = None) -> NDArray[np.float32]:
    return query_vector(prompt, encoder, (lambda _: token) if token else nobody)[0]


@pytest.mark.parametrize(
    "prompt", ["a red dress", "a (red:1) dress", "a ([red:2]:0.5) dress", "a red dress "]
)
def test_weight_1_is_plain_encoding_bit_for_bit(encoder: Encoder, prompt: str) -> None:
    assert np.array_equal(
        vector(encoder, prompt.replace("([red:2]:0.5)", "red")), encoder.encode_texts(["a red dress"])[0]
    )


def test_all_pieces_of_a_span_carry_its_weight(encoder: Encoder) -> None:
    compiled = compile_prompt("a (corduroyish brick-wall:1.5) here", encoder.text_tower, nobody)
    inside = [t for t in compiled.tokens if t.weight != 1]
    assert len(inside) > 3
    assert {t.weight for t in inside} == {1.5}
    assert compiled.token_weights[0, 0] == compiled.token_weights[0, -1] == 1
    assert compiled.embeddings.shape[1] == len(compiled.tokens) + 2


def test_a_token_made_of_words_is_those_words(encoder: Encoder) -> None:
    """Replaced embeddings give the same features as the words themselves, at any place."""
    for words in ("dress", "brick wall"):
        token = token_of(encoder, words)
        for prompt in ("a <thing> on grass", "<thing>", "on grass a <thing>", "a * on grass"):
            plain = prompt.replace("<thing>", words).replace("*", words)
            assert np.allclose(vector(encoder, prompt, token), encoder.encode_texts([plain])[0], atol=1e-6)


def test_a_token_of_huge_norm_does_not_move_the_pooling(encoder: Encoder) -> None:
    """Pooling goes by place: features come from the end token, whatever the token's vectors are."""
    token = CustomToken("thing", np.full((3, 256), 50.0, np.float32), encoder.text_tower.table_hash)
    compiled = compile_prompt("a <thing>", encoder.text_tower, lambda _: token)
    assert compiled.end.tolist() == [5]
    assert [t.text for t in compiled.tokens] == ["a", "<thing>[0]", "<thing>[1]", "<thing>[2]"]
    assert torch.isfinite(encode(compiled, encoder).features).all()


def test_up_and_down_weights_pull_towards_and_away(encoder: Encoder) -> None:
    """More weight on a word brings the query nearer to that word alone."""
    alone = encoder.encode_texts(["grass"])[0]
    nearness = [float(vector(encoder, f"a dog on (grass:{w})") @ alone) for w in (0.3, 1, 3)]
    assert nearness == sorted(nearness)


def test_a_token_of_another_tower_is_refused_with_both_ids(encoder: Encoder) -> None:
    own = encoder.text_tower.table_hash
    for token in (
        CustomToken("thing", np.zeros((1, 256), np.float32), "f" * 16, "ViT-X"),
        CustomToken("thing", np.zeros((1, 768), np.float32), own, "ViT-X"),
    ):
        with pytest.raises(ConceptError, match=f"ViT-X.*{own}.*learn it again"):
            vector(encoder, "a <thing>", token)


def test_too_long_a_prompt_is_never_cut(encoder: Encoder) -> None:
    assert len(compile_prompt("word " * 75, encoder.text_tower, nobody).tokens) == 75
    with pytest.raises(PromptError, match="76 tokens and the model takes 75") as caught:
        compile_prompt("word " * 75 + "(end:2)", encoder.text_tower, nobody)
    assert caught.value.position == 376
    with pytest.raises(PromptError, match='the first too many is "end"') as caught:
        compile_prompt("word " * 75 + "end", encoder.text_tower, nobody)
    assert caught.value.position is None


def test_a_prompt_without_tokens_is_refused(encoder: Encoder) -> None:
    with pytest.raises(PromptError):
        compile_prompt("&nbsp;", encoder.text_tower, nobody)


def test_explanation_places_every_token(encoder: Encoder) -> None:
    prompt = "a (red dress:1.5)"
    tokens = query_vector(prompt, encoder, nobody)[1]
    assert [(t.text, t.weight, prompt[t.start : t.end]) for t in tokens] == [
        ("a", 1.0, "a "),
        ("red", 1.5, "red dress"),
        ("dress", 1.5, "red dress"),
    ]


class PlainEncoder:
    """Stands for an encoder whose text tower takes plain prompts only, as SigLIP's."""

    takes_plain_prompts_only = True

    @property
    def text_tower(self) -> None:
        raise ModelError("takes plain prompts only")

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        assert texts == ["a (dog)"]
        return np.ones((1, 2), np.float32)


def test_a_tower_that_takes_plain_prompts_only_gets_them_as_they_are() -> None:
    encoder: Any = PlainEncoder()
    query = compile_query(r"a \(dog\)", encoder, nobody)
    assert query.vector.tolist() == [1, 1]
    assert [(token.text, token.weight) for token in query.tokens] == [("a (dog)", 1.0)]
    assert query.compiled is None
    with pytest.raises(ModelError, match="plain prompts only"):
        compile_query("a (dog:2)", encoder, nobody)
