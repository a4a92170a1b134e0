from dataclasses import replace

import numpy as np
import pytest
import torch
from support.gair import PROMPT, QUARTERS, QUICK, features_in, mix

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import GairWarning, GeneratorError
from gair_search.gair.algorithm import COARSE, select
from gair_search.gair.drawing import Visualizer, embed_images
from gair_search.gair.options import GairConfig
from gair_search.gair.scores import object_score
from gair_search.gair.selection import Subject, select_weight
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import compile_query
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken


def test_what_is_gathered_before_anything_is_drawn(tiny: Encoder, token: CustomToken) -> None:
    query = compile_query(PROMPT, tiny, lambda _: token)
    subject = Subject.of(query, tiny, GairConfig(attributes=("red",)))
    assert (subject.query, subject.token, subject.attributes) == (query, token, ["red"])
    assert np.array_equal(subject.concept_features, facts.concept_features(token))


def test_the_batch_equals_the_loop_image_by_image(
    tiny: Encoder, generator: Generator, token: CustomToken
) -> None:
    mixture = mix(PROMPT, tiny, token, ["blue", "old"])
    features = features_in(token)
    config = replace(QUICK, candidates=QUARTERS, seeds=(3, 4))
    together = select_weight(mixture, features, Visualizer(tiny, generator), config)
    assert [one.mixing_weight for one in together.candidates] == list(QUARTERS)
    for candidate in together.candidates:
        w = candidate.mixing_weight
        conditioning = mixture.conditioning(w).unsqueeze(0)
        alone = [generator.sample(conditioning, [seed], config.sampling)[0] for seed in config.seeds]
        assert np.abs(candidate.images.astype(int) - torch.stack(alone).numpy()).max() <= 1
        by_hand = replace(config, candidates=None, mixing_weight=w)
        single = select_weight(mixture, features, Visualizer(tiny, generator), by_hand)
        (one,) = [one for one in single.candidates if one.mixing_weight == w]
        assert one.score == pytest.approx(candidate.score, abs=1e-4)
        shown = embed_images(torch.from_numpy(candidate.images), tiny)
        context = together.context_features
        assert candidate.object_score == pytest.approx(object_score(shown, features), abs=1e-5)
        assert candidate.context_score == pytest.approx(float((shown @ context).mean()), abs=1e-5)
        assert candidate.score == min(candidate.object_score, candidate.context_score)
    assert not np.array_equal(together.candidates[0].images, together.candidates[-1].images)


def test_context_images_are_shown_and_selected_only_where_w_0_is_a_candidate(
    tiny: Encoder, generator: Generator, token: CustomToken
) -> None:
    mixture = mix(PROMPT, tiny, token, ["blue"])
    features = features_in(token)
    for candidates in (None, (0.6, 1.0), (0.0, 1.0)):
        config = replace(QUICK, candidates=candidates)
        selection = select_weight(mixture, features, Visualizer(tiny, generator), config)
        asked = candidates is not None and 0 in candidates
        found = {one.mixing_weight: one for one in selection.candidates}
        assert [w for w, one in found.items() if one.context_only] == ([] if asked else [0.0])
        assert found[0.0].context_score == pytest.approx(1, abs=1e-5)  # it is compared with itself
        assert selection.mixing_weight == select({w: one.score for w, one in found.items() if w or asked})
    worst = select_weight(mixture, -features, Visualizer(tiny, generator), replace(QUICK, candidates=(1.0,)))
    assert worst.mixing_weight == 1.0  # however well w = 0 does


def test_denoiser_rows_of_a_search(tiny: Encoder, generator: Generator, token: CustomToken) -> None:
    mixture = mix(PROMPT, tiny, token, ["blue"])
    steps: list[tuple[int, int]] = []
    visualizer = Visualizer(
        tiny, generator, on_progress=lambda done, total, note="": steps.append((done, total))
    )
    config = replace(QUICK, candidates=QUARTERS, seeds=(0, 1), sampling=SamplingConfig("ddim", 3))
    select_weight(mixture, features_in(token), visualizer, config)
    # ten images; at the first step one unconditional row a seed, at the two others one an image
    assert visualizer.denoiser_rows == (10 + 2) + 2 * 20
    assert steps == [(10, 30), (20, 30), (30, 30)]


def test_what_is_selected_shows_both_the_object_and_the_context(
    engine: Engine, tiny: Encoder, token: CustomToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images that grow more like the concept, and less like the context, as w grows: only the worse of both finds 0.8.

    By the object alone 1 would be selected, and by the context alone 0.6.
    """
    likeness = {0.0: 0.0, 0.6: 0.2, 0.8: 0.7, 1.0: 0.99}  # to the concept; to the context it is the rest
    concept, context = np.zeros((2, tiny.spec.embed_dim), np.float32)
    concept[0] = context[1] = 1

    def encode(images: torch.Tensor, encoder: Encoder) -> np.ndarray:
        assert len(images) == len(likeness)  # in one batch, w = 0 first
        return np.array([n * concept + (1 - n**2) ** 0.5 * context for n in likeness.values()], np.float32)

    monkeypatch.setattr("gair_search.gair.drawing.embed_images", encode)
    engine.tokens.save(replace(token, facts={**token.facts, facts.CONCEPT_FEATURES: facts.pack(concept)}))
    config = replace(QUICK, candidates=(0.6, 0.8, 1.0), cache=False)
    result = engine.gair(PROMPT, config)
    assert result.selected_weight == 0.8
    found = {one.mixing_weight: (one.object_score, one.context_score, one.score) for one in result.candidates}
    for w, n in likeness.items():
        rest = (1 - n**2) ** 0.5
        assert found[w] == pytest.approx((n, rest, min(n, rest)), abs=1e-6)
    query = engine.compile(PROMPT, mixing_weight=0.8)
    assert np.allclose(result.query.vector, query.vector, atol=1e-6)
    assert [hit.id for hit in engine.search(PROMPT, 5, gair=True, config=config)] == [
        hit.id for hit in engine.search(query, 5)
    ]


def test_blank_images_are_counted_excluded_and_said(
    engine: Engine, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generator.decode

    def broken(bad: list[int]) -> None:
        def decode(latents: torch.Tensor) -> torch.Tensor:
            images = whole(latents).clone()
            images[bad] = float("nan")
            return images

        monkeypatch.setattr(generator, "decode", decode)

    config = replace(QUICK, candidates=(0.0, 0.5, 1.0), seeds=(0, 1), cache=False)
    clean = engine.gair(PROMPT, config)
    assert clean.warnings == ()
    broken([1, 2, 5])  # rows: seed 0 at w = 0, .5, 1, then seed 1; so w = 1 has none left
    result = engine.gair(PROMPT, config)
    assert [one.excluded for one in result.candidates] == [0, 1, 2]
    assert result.candidates[2].score is None
    assert result.selected_weight in (0.0, 0.5)
    assert result.warnings == ("3 of 6 images are black or of one colour and don't count (w = 0.5, 1)",)
    assert result.candidates[2].to_json()["score"] is None
    above_0 = replace(config, candidates=(0.5, 1.0))
    broken([1, 2, 4, 5])
    with pytest.raises(GeneratorError, match="the images of all candidate weights are black"):
        engine.gair(PROMPT, above_0)
    broken([1, 3])  # w = 0 and the weight by hand, of two seeds
    by_hand = engine.gair(PROMPT, replace(config, candidates=None, mixing_weight=1.0))
    assert (by_hand.selected_weight, by_hand.selected.score) == (1.0, None)
    broken(list(range(6)))
    with pytest.raises(GeneratorError, match="all 2 images at w = 0 are black"):
        engine.gair(PROMPT, config)
    with pytest.warns(GairWarning, match="searched without GAIR: all 2 images"):
        hits = engine.search(PROMPT, 3, gair="auto", config=config)
    assert hits == engine.search(PROMPT, 3)


def test_a_search_with_gair_is_a_search_with_the_selected_weight(engine: Engine) -> None:
    result = engine.gair(PROMPT, QUICK, plus=["0.5:grass"])
    scores = {one.mixing_weight: one.score for one in result.candidates if not one.context_only}
    assert result.selected_weight == select(scores)
    assert set(COARSE) <= set(scores)
    expected = engine.compile(PROMPT, mixing_weight=result.selected_weight, plus=["0.5:grass"])
    assert np.allclose(result.query.vector, expected.vector, atol=1e-6)
    assert result.query.terms == expected.terms
    hits = engine.search(PROMPT, 4, gair=True, config=QUICK, plus=["0.5:grass"])
    assert hits == engine.search(result.query, 4)
    by_hand = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.6))
    assert (by_hand.selected_weight, by_hand.by_hand, len(by_hand.candidates)) == (0.6, True, 2)
    assert by_hand.selected is by_hand.candidates[1]
