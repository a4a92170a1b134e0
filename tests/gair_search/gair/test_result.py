import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gair import PROMPT, QUICK
from support.generator import tiny_token

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import ConceptError, GairError, GairWarning, GeneratorError, ModelError
from gair_search.gair.mixing import prompt_conditioning
from gair_search.gair.result import GairResult, choose_query
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import Query
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.facts import METHOD, PROMPT_TUNING


def result(query: Query, *warnings: str) -> GairResult:
    """Of nothing drawn."""
    return GairResult(
        0.5, False, (), query, None, (), None, None, SamplingConfig(), (0,), 0, 0, warnings=warnings
    )


def test_at_w_of_one_gair_s_query_is_the_plain_one_bit_for_bit(engine: Engine) -> None:
    plain = engine.compile(PROMPT).vector
    by_hand = engine.gair(PROMPT, replace(QUICK, mixing_weight=1.0))
    assert np.array_equal(by_hand.query.vector, plain)
    assert by_hand.by_hand
    assert not engine.gair(PROMPT, replace(QUICK, candidates=(1.0,))).by_hand


def test_gair_s_query_or_the_plain_one() -> None:
    plain, mixed = (Query(name, np.ones(2, np.float32), (), ()) for name in ("plain", "mixed"))

    def search(gair: Callable[[], GairResult], auto: bool) -> Query:
        return choose_query(gair, plain, auto=auto)

    def fail() -> GairResult:
        raise GairError("it rained")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert search(lambda: result(mixed), False) is mixed
    inner = search.__code__.co_firstlineno + 1
    with pytest.warns(GairWarning, match="mind the gap") as caught:
        assert search(lambda: result(mixed, "mind the gap"), True) is mixed
    assert caught[0].filename == __file__
    assert inner < caught[0].lineno < inner + 20  # at the caller's caller, which is here
    with pytest.raises(GairError, match="it rained"):
        search(fail, False)
    with pytest.warns(GairWarning, match="searched without GAIR: it rained") as caught:
        assert search(fail, True) is plain
    assert caught[0].filename == __file__
    assert inner < caught[0].lineno < inner + 20


def test_prompts_and_tokens_that_gair_cant_mix(engine: Engine, tiny: Encoder, token: CustomToken) -> None:
    engine.tokens.save(tiny_token(tiny, "bare", attributes="", concept_features=""))
    engine.tokens.save(
        tiny_token(tiny, "elsewhere", learned_with="other (arch, weights 00, preprocessing 11)")
    )
    engine.tokens.use("my-dress")
    for prompt, message in (
        ("a red dress", "the prompt has none; write <name> or \\*"),
        ("a * by <bare>", "the prompt has <my-dress> and <bare>"),
        ("a <bare> dress", "<bare> names no attributes"),
        ("a <elsewhere> dress", "are those of other"),
        ("a <nothing> dress", "unknown concept <nothing>"),
    ):
        with pytest.raises(ConceptError, match=message):
            engine.gair(prompt, QUICK)
    with pytest.raises(ConceptError, match="holds no features of its concept images"):
        engine.gair("a <bare> dress", replace(QUICK, attributes=("red",)))
    with pytest.warns(GairWarning, match="searched without GAIR: GAIR mixes a concept"):
        assert engine.search("a dress", 3, gair="auto") == engine.search("a dress", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GairWarning)
        assert len(engine.search(PROMPT, 3, gair="auto", config=QUICK)) == 3


def test_the_selected_candidate_is_that_of_the_selected_weight(engine: Engine, home: Path) -> None:
    """And nothing is kept on disk where the options say so."""
    found = engine.gair(PROMPT, replace(QUICK, candidates=(0.3, 0.9), cache=False))
    assert found.selected.mixing_weight == found.selected_weight == found.query.mixing_weight
    assert not (home / "cache" / "generated").exists()
    engine.gair(PROMPT, replace(QUICK, mixing_weight=1.0))
    assert (home / "cache" / "generated").is_dir()


def test_a_plain_prompt_whose_images_are_blank(
    engine: Engine, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generator.decode
    monkeypatch.setattr(generator, "decode", lambda latents: whole(latents) * float("nan"))
    drawn = engine.visualize("a red dress", replace(QUICK, cache=False))
    assert drawn.candidates[0].excluded == 1
    assert "1 of 1 images are black or of one colour and don't count (w = 1)" in drawn.warnings


def test_prompt_tuned_tokens_come_with_a_warning(engine: Engine, tiny: Encoder) -> None:
    engine.tokens.save(tiny_token(tiny, "tuned", **{METHOD: PROMPT_TUNING}))
    (warning,) = engine.gair("a <tuned> dress", replace(QUICK, mixing_weight=0.5)).warnings
    assert "<tuned> was learned by prompt tuning" in warning


def test_a_model_without_a_generator(engine: Engine, tiny: Encoder, tmp_path: Path) -> None:
    bare = Encoder(replace(tiny.spec, name="bare", architecture="ViT-B-32"), "cpu")
    bare._text = tiny.text_tower
    other = Engine(bare.spec, engine.gallery, engine.tokens)
    other._encoder = bare
    with pytest.raises(ModelError, match="bare has no generator"):
        other.visualize("a dress")
    elsewhere = Engine(tiny.spec, engine.gallery, engine.tokens, generator=tmp_path / "none")
    elsewhere._encoder = tiny
    with pytest.raises(GeneratorError, match="there is no generator"):
        elsewhere.visualize("a dress")
    with pytest.warns(GairWarning, match="searched without GAIR: there is no generator"):
        assert elsewhere.search(PROMPT, 3, gair="auto") == engine.search(PROMPT, 3)


def test_prompts_without_a_concept_are_drawn_as_they_are(
    engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    drawn = engine.visualize("a red (dress:1.5)", replace(QUICK, seeds=(2, 3)))
    (one,) = drawn.candidates
    assert (drawn.by_hand, drawn.selected_weight, one.mixing_weight) == (False, 1.0, 1.0)
    assert drawn.selected is one
    assert not engine.visualize("a red dress", replace(QUICK, mixing_weight=0.5)).by_hand  # nothing is mixed
    assert (drawn.concept, one.score, one.images.shape) == (None, None, (2, 16, 16, 3))
    assert "drawn as it is, without scores: GAIR mixes a concept" in drawn.warnings[0]
    conditioning = prompt_conditioning(engine.compile("a red (dress:1.5)"), tiny).expand(2, -1, -1)
    assert np.array_equal(one.images, generator.sample(conditioning, [2, 3], QUICK.sampling).numpy())
    with pytest.raises(ConceptError, match="without a concept"):
        engine.rerank([], drawn)
