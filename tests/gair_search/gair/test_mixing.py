import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gair import PROMPT, mix, unit

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import ConceptError, GairError
from gair_search.gair import mixing
from gair_search.gair.mixing import (
    attributes_of,
    concept_of,
    concept_places,
    mix_features,
    mix_query,
    prompt_conditioning,
    spread,
)
from gair_search.gair.options import GairConfig
from gair_search.query.compiler import compile_prompt, compile_query, query_vector
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken


def test_mixing_is_the_papers_sum_and_its_ends_are_exact() -> None:
    concept, attributes = torch.randn(4, 3), torch.randn(4, 3)
    assert mixing.mix(1.0, concept, attributes) is concept
    assert torch.equal(mixing.mix(0.0, concept, attributes), attributes)
    assert torch.allclose(mixing.mix(0.25, torch.tensor([4.0]), torch.tensor([8.0])), torch.tensor([7.0]))
    one, mean = unit([1, 0])[0], np.array([0.0, 0.5], np.float32)
    assert mix_features(1.0, one, mean) is one
    assert np.allclose(mix_features(0.0, one, mean), [0, 1])
    assert np.allclose(mix_features(0.5, one, mean), np.array([2, 1]) / math.sqrt(5))
    with pytest.raises(GairError, match="cancel each other out"):
        mix_features(0.5, one, -one)


FEATURES = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)


@settings(max_examples=40)
@given(st.floats(0, 1), FEATURES, FEATURES)
def test_mixing_is_a_straight_line_between_its_ends(
    w: float, concept: list[float], mean: list[float]
) -> None:
    """q(w) lies w of the way from the attributes' mean to the concept, in every place, and is its own mirror."""
    ends = torch.tensor([concept, mean], dtype=torch.float64)
    mixed = mixing.mix(w, ends[0], ends[1])
    expected = [w * c + (1 - w) * a for c, a in zip(concept, mean, strict=True)]
    assert mixed.tolist() == pytest.approx(expected, abs=1e-9)
    assert torch.allclose(mixed, mixing.mix(1 - w, ends[1], ends[0]), atol=1e-9)
    assert (mixed >= ends.amin(0) - 1e-9).all()
    assert (mixed <= ends.amax(0) + 1e-9).all()


@settings(max_examples=40)
@given(st.floats(0, 1), FEATURES, FEATURES)
def test_mixed_features_have_length_1_or_are_refused(
    w: float, concept: list[float], mean: list[float]
) -> None:
    if np.linalg.norm(concept) < 0.1:
        return
    one, other = unit(concept)[0], np.array(mean, np.float32)
    try:
        found = mix_features(w, one, other)
    except GairError:
        assert np.linalg.norm(w * one + (1 - w) * other) < 1e-5
        return
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    expected = w * one.astype(np.float64) + (1 - w) * other
    assert np.allclose(found * np.linalg.norm(expected), expected, atol=1e-5)


def test_an_attribute_takes_exactly_the_concepts_places() -> None:
    a, b, c = torch.eye(3)
    assert torch.equal(spread(torch.stack([a]), 3), torch.stack([a, a, a]))
    assert torch.equal(spread(torch.stack([a, b]), 2), torch.stack([a, b]))
    assert torch.equal(spread(torch.stack([a, b]), 4), torch.stack([a, a, b, b]))
    assert torch.allclose(spread(torch.stack([a, b]), 3), torch.stack([a, (a + b) / 2, b]))
    assert torch.allclose(spread(torch.stack([a, b, c]), 1), (a + b + c)[None] / 3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 12))
def test_laying_out_keeps_order_loses_no_piece_and_grows_no_norm(m: int, n: int) -> None:
    rows = spread(torch.eye(m), n)
    assert rows.shape == (n, m)
    assert torch.allclose(rows.sum(1), torch.ones(n))  # means
    assert (rows.sum(0) > 0).all()
    assert (rows.norm(dim=1) <= 1 + 1e-6).all()
    middles = rows @ torch.arange(m, dtype=torch.float32)
    assert (middles.diff() >= -1e-6).all()


def test_mixed_words_stand_where_they_stood(tiny: Encoder, token: CustomToken) -> None:
    """Against the plain prompt with the attribute's word written out, at every place of the context."""
    tower = tiny.text_tower
    one = replace(token, vectors=token.vectors[:1])
    mixture = mix("a * dress on grass", tiny, one, ["blue", "old"])
    plain = [tower.token_ids(f"a {word} dress on grass") for word in ("blue", "old")]
    with torch.inference_mode():
        expected = tower.encode_ids(plain, full_context=True)
    assert torch.allclose(mixture.attributes_mean, expected.conditioning.mean(0), atol=1e-5)
    assert np.allclose(mixture.attributes_query, expected.features.mean(0), atol=1e-5)
    long = mix("a * dress on grass", tiny, replace(token, vectors=token.vectors), ["blue"])
    with torch.inference_mode():
        doubled = tower.encode_ids([tower.token_ids("a blue blue dress on grass")], full_context=True)
    assert torch.allclose(long.attributes_mean, doubled.conditioning[0], atol=1e-5)


def test_mixing_like_with_like_changes_nothing_token_weights_included(
    tiny: Encoder, token: CustomToken
) -> None:
    """The concept *is* the attribute here, so that w makes no difference, in prompts of all kinds."""
    tower = tiny.text_tower
    vectors = tower.token_embeddings(torch.tensor(tower.token_ids("blue"))).numpy()
    same = replace(token, vectors=np.repeat(vectors, 3, axis=0))
    for prompt in ("a * dress", "a (*:1.5) [dress] by a * (dress:0)", "(<my-dress> <my-dress>:0.5)"):
        mixture = mix(prompt, tiny, same, ["blue"])
        assert torch.allclose(mixture.concept, mixture.attributes_mean, atol=1e-6)
        assert np.allclose(mixture.query_vector(0.0), mixture.concept_query, atol=1e-5)
        assert torch.allclose(
            mixture.concept, prompt_conditioning(compile_query(prompt, tiny, lambda _: same), tiny), atol=1e-5
        )


def test_the_two_ends_of_a_mixture_are_not_each_other(tiny: Encoder, token: CustomToken) -> None:
    """At w = 1 the generator is given the prompt as it is, at w = 0 the prompt with its attributes."""
    prompt = "a (*:1.5) dress on grass"
    mixture = mix(prompt, tiny, token, ["blue", "old"])
    own = prompt_conditioning(compile_query(prompt, tiny, lambda _: token), tiny)
    assert torch.allclose(mixture.conditioning(1.0), own, atol=1e-5)
    single = [mix(prompt, tiny, token, [word]).attributes_mean for word in ("blue", "old")]
    assert torch.allclose(mixture.conditioning(0.0), (single[0] + single[1]) / 2, atol=1e-5)
    assert not torch.allclose(single[0], single[1], atol=1e-3)
    assert not torch.allclose(mixture.concept, mixture.attributes_mean, atol=1e-3)


def test_places_of_concepts(tiny: Encoder, token: CustomToken) -> None:
    compiled = compile_prompt("a * dress, (* <my-dress>:1.2)", tiny.text_tower, lambda _: token)
    # 0 start, 1 a, 2-3 *, 4 dress, 5 comma, 6-7 *, 8-9 <my-dress>
    assert concept_places(compiled) == [(2, 2), (6, 2), (8, 2)]


def test_a_concept_may_stand_twice_under_both_of_its_names(tiny: Encoder, token: CustomToken) -> None:
    other = replace(token, name="other")

    def lookup(name: str) -> CustomToken:
        return other if name == "other" else token

    assert concept_of(compile_query(f"a * by a <{token.name}>", tiny, lookup)) is token
    with pytest.raises(ConceptError, match=f"<{token.name}> and <other>"):
        concept_of(compile_query("a * by <other>", tiny, lookup))
    with pytest.raises(ConceptError, match="has none"):
        concept_of(compile_query("a dress", tiny, lookup))


def test_the_options_attributes_go_before_the_files(token: CustomToken) -> None:
    assert attributes_of(token, GairConfig()) == facts.attributes(token)
    assert attributes_of(token, GairConfig(attributes=("red",))) == ["red"]


def test_a_mixed_query_says_its_weight(tiny: Encoder, token: CustomToken) -> None:
    plain = compile_query(PROMPT, tiny, lambda _: token)
    whole = mix_query(plain, 1.0, tiny)
    assert np.array_equal(whole.vector, plain.vector)
    assert (whole.tokens, whole.terms) == (plain.tokens, plain.terms)
    assert (whole.mixing_weight, plain.mixing_weight) == (1.0, None)


def test_w_of_one_is_the_plain_query_bit_for_bit_and_of_zero_the_attributes_mean(
    engine: Engine, tiny: Encoder, token: CustomToken
) -> None:
    plain = engine.compile(PROMPT).vector
    assert np.array_equal(engine.compile(PROMPT, mixing_weight=1.0).vector, plain)
    one = replace(token, vectors=token.vectors[:1])
    engine.tokens.save(one)
    words = ["blue", "old"]
    mean = np.mean(
        [query_vector(PROMPT.replace("*", word), tiny, lambda _: one)[0] for word in words], axis=0
    )
    zero = engine.compile(PROMPT, mixing_weight=0.0, attributes=words)
    assert np.allclose(zero.vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert zero.explanation()["mixing_weight"] == 0.0
    plain = engine.compile(PROMPT).vector
    half = 0.5 * plain + 0.5 * mean
    assert np.allclose(
        engine.compile(PROMPT, mixing_weight=0.5, attributes=words).vector,
        half / np.linalg.norm(half),
        atol=1e-5,
    )
