import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.generator import tiny_model, tiny_token
from support.photos import make_photos
from support.points import point

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import (
    ConceptError,
    GairError,
    GairWarning,
    GeneratorError,
    ModelError,
)
from gair_search.gair.algorithm import (
    COARSE,
    TENTHS,
    aligned,
    coarse_to_fine,
    concept_places,
    context_score,
    midpoints,
    mix,
    mix_features,
    mixture,
    object_score,
    plain_loop,
    prompt_conditioning,
    select,
)
from gair_search.gair.cache import Drawn, ImageCache
from gair_search.gair.drawing import (
    Visualizer,
    best,
    blank,
    embedded,
)
from gair_search.gair.options import GairConfig
from gair_search.gallery import GalleryConfig
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.images.reading import load_pixels
from gair_search.query.compiler import compile_prompt, query_vector
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.facts import METHOD, PROMPT_TUNING

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
QUICK = GairConfig(seeds=(0,), sampling=SamplingConfig("ddim", 2))
PROMPT = "a * dress on (grass:1.5)"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return Encoder(models.resolve(f"local-dir:{folder}"), "cpu")


@pytest.fixture(scope="module")
def generator(tiny: Encoder) -> Generator:
    return Generator.load(tiny)


@pytest.fixture
def token(tiny: Encoder) -> CustomToken:
    return tiny_token(tiny)


@pytest.fixture
def engine(tiny: Encoder, generator: Generator, token: CustomToken, tmp_path: Path) -> Iterator[Engine]:
    """An engine with one concept, and a gallery of eight unit vectors."""
    with Engine.open(tiny.spec.name, db=tmp_path / "gallery") as opened:
        opened._clip, opened._generator = tiny, generator
        opened.tokens.save(token)
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(8, tiny.spec.embed_dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        opened.gallery.create(tiny.spec.embedder_id, GalleryConfig())
        opened.gallery.upsert([point(i, vector.tolist()) for i, vector in enumerate(vectors)])
        yield opened


def unit(*rows: Sequence[float]) -> np.ndarray:
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


# the method


def test_mixing_is_the_papers_sum_and_its_ends_are_exact() -> None:
    concept, attributes = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.equal(mix(1.0, concept, attributes), concept)
    assert torch.equal(mix(0.0, concept, attributes), attributes)
    assert torch.allclose(mix(0.25, torch.tensor([4.0]), torch.tensor([8.0])), torch.tensor([7.0]))
    one, mean = unit([1, 0])[0], np.array([0.0, 0.5], np.float32)
    assert mix_features(1.0, one, mean) is one
    assert np.allclose(mix_features(0.0, one, mean), [0, 1])
    assert np.allclose(mix_features(0.5, one, mean), np.array([2, 1]) / math.sqrt(5))
    with pytest.raises(GairError, match="cancel each other out"):
        mix_features(0.5, one, -one)


def test_an_attribute_takes_exactly_the_concepts_places() -> None:
    a, b, c = torch.eye(3)
    assert torch.equal(aligned(torch.stack([a]), 3), torch.stack([a, a, a]))
    assert torch.equal(aligned(torch.stack([a, b]), 2), torch.stack([a, b]))
    assert torch.equal(aligned(torch.stack([a, b]), 4), torch.stack([a, a, b, b]))
    assert torch.allclose(aligned(torch.stack([a, b]), 3), torch.stack([a, (a + b) / 2, b]))
    assert torch.allclose(aligned(torch.stack([a, b, c]), 1), (a + b + c)[None] / 3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 12))
def test_laying_out_keeps_order_loses_no_piece_and_grows_no_norm(m: int, n: int) -> None:
    rows = aligned(torch.eye(m), n)
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
    told = mixture("a * dress on grass", tiny, lambda _: one, ["blue", "old"])
    plain = [tower.token_ids(f"a {word} dress on grass") for word in ("blue", "old")]
    with torch.inference_mode():
        expected = tower.encode_ids(plain, full_context=True)
    assert torch.allclose(told.attributes_mean, expected.conditioning.mean(0), atol=1e-5)
    assert np.allclose(told.attributes_query, expected.features.mean(0), atol=1e-5)
    long = mixture("a * dress on grass", tiny, lambda _: replace(token, vectors=token.vectors), ["blue"])
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
        told = mixture(prompt, tiny, lambda _: same, ["blue"])
        assert torch.allclose(told.concept, told.attributes_mean, atol=1e-6)
        assert np.allclose(told.query_vector(0.0), told.concept_query, atol=1e-5)
        assert torch.allclose(told.concept, prompt_conditioning(prompt, tiny, lambda _: same), atol=1e-5)


def test_places_of_concepts(tiny: Encoder, token: CustomToken) -> None:
    compiled = compile_prompt("a * dress, (* <my-dress>:1.2)", tiny.text_tower, lambda _: token)
    # 0 start, 1 a, 2-3 *, 4 dress, 5 comma, 6-7 *, 8-9 <my-dress>
    assert concept_places(compiled) == [(2, 2), (6, 2), (8, 2)]


def test_scores_are_means_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    images, concept, context = (unit(*rng.normal(size=(n, 5))) for n in (3, 4, 2))
    pairs = np.mean([image @ x for image in images for x in concept])
    assert object_score(images, concept.mean(axis=0)) == pytest.approx(pairs, abs=1e-6)
    pairs = np.mean([image @ x for image in images for x in context])
    assert context_score(images, context) == pytest.approx(pairs, abs=1e-6)


def test_candidates_are_refined_around_the_best_only() -> None:
    scores = {0.0: 1.0, 0.25: 3.0, 0.5: 2.0, 0.75: 0.0, 1.0: 0.0}
    assert midpoints(scores) == [0.125, 0.375]
    assert midpoints(scores, 0.2) == []
    assert midpoints({0.0: 5.0, 0.5: 1.0}) == [0.25]
    assert midpoints({0.4: 1.0}) == []
    assert select({0.0: 1.0, 0.5: 1.0, 0.25: 0.0}) == 0.5  # of equals the nearest to the plain query
    assert midpoints({0.0: 0.0, 0.2: 0.0, 0.4: 1.0, 0.6: 0.0}) == pytest.approx([0.3, 0.5])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1, 1) | st.just(-math.inf), min_size=101, max_size=101))
def test_refining_never_ends_below_what_it_has_seen(values: list[float]) -> None:
    seen: list[float] = []

    def evaluate(weights: Sequence[float]) -> Mapping[float, float]:
        assert not set(weights) & set(seen)  # nothing is drawn twice
        seen.extend(weights)
        return {w: values[round(100 * w)] for w in weights}

    scores = coarse_to_fine(evaluate, QUARTERS)
    assert list(scores) == seen
    assert 5 <= len(seen) <= 7
    assert scores[select(scores)] == max(values[round(100 * w)] for w in seen)


@pytest.mark.parametrize("peak", [0.0, 0.13, 0.31, 0.5, 0.62, 0.88, 1.0])
def test_refining_finds_the_loops_best_of_a_single_peak(peak: float) -> None:
    """Scores of two slopes, as min(object, context) has them: the two selections lie a step apart at most."""

    def evaluate(weights: Sequence[float]) -> Mapping[float, float]:
        return {w: min(w - peak, peak - w) for w in weights}

    loop = plain_loop(evaluate)
    assert list(loop) == [i / 10 for i in range(11)]
    found = select(coarse_to_fine(evaluate, QUARTERS))
    assert abs(found - select(loop)) <= 0.125
    assert abs(found - peak) <= 0.0625 + 1e-9
    # the default tries what the loop tries from 0.6 on, and selects the same
    upper = plain_loop(evaluate, [w for w in TENTHS if w >= min(COARSE)])
    refined = coarse_to_fine(evaluate)
    assert {round(w, 9) for w in refined} <= set(upper)
    assert select(refined) == pytest.approx(select(upper))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mixing_weight": 1.5}, r"mixing weight 1.5: expected 0"),
        ({"candidates": (0.5, -0.1)}, "mixing weight -0.1"),
        ({"candidates": (math.nan,)}, "mixing weight nan"),
        ({"candidates": ()}, "one candidate weight or more"),
        ({"mixing_weight": 0.5, "candidates": (0.5,)}, "not both"),
        ({"step": 0}, "step 0"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
    ],
)
def test_options_out_of_range_are_told(options: dict, said: str) -> None:
    with pytest.raises(GairError, match=said):
        GairConfig(**options)


# drawing


def test_the_batch_equals_the_loop_image_by_image(
    tiny: Encoder, generator: Generator, token: CustomToken
) -> None:
    told = mixture(PROMPT, tiny, lambda _: token, ["blue", "old"])
    features = tiny_features(token)
    options = replace(QUICK, candidates=QUARTERS, seeds=(3, 4))
    together, context = Visualizer(tiny, generator).explore(told, features, options)
    assert list(together) == list(QUARTERS)
    for w, candidate in together.items():
        alone = [
            generator.sample(told.conditioning([w]), [seed], options.sampling)[0] for seed in options.seeds
        ]
        assert np.abs(candidate.images.astype(int) - torch.stack(alone).numpy()).max() <= 1
        one = Visualizer(tiny, generator).explore(
            told, features, replace(options, candidates=None, mixing_weight=w)
        )[0][w]
        assert one.score == pytest.approx(candidate.score, abs=1e-4)
        shown = embedded(torch.from_numpy(candidate.images), tiny)
        assert candidate.object_score == pytest.approx(object_score(shown, features), abs=1e-5)
        assert candidate.context_score == pytest.approx(float((shown @ context).mean()), abs=1e-5)
        assert candidate.score == min(candidate.object_score, candidate.context_score)
    assert not np.array_equal(together[0.0].images, together[1.0].images)


def test_context_images_are_shown_and_selected_only_where_w_0_is_a_candidate(
    tiny: Encoder, generator: Generator, token: CustomToken
) -> None:
    told = mixture(PROMPT, tiny, lambda _: token, ["blue"])
    features = tiny_features(token)
    for candidates in (None, (0.6, 1.0), (0.0, 1.0)):
        options = replace(QUICK, candidates=candidates)
        found, _ = Visualizer(tiny, generator).explore(told, features, options)
        asked = candidates is not None and 0 in candidates
        assert [w for w, one in found.items() if one.context_only] == ([] if asked else [0.0])
        assert found[0.0].context_score == pytest.approx(1, abs=1e-5)  # it is compared with itself
        scores = {w: one.score for w, one in found.items()}
        assert best(found) == select({w: scores[w] for w in scores if w or asked})
    alone = {0.0: replace(found[0.0], context_only=True), 1.0: replace(found[1.0], object_score=-1.0)}
    assert best(alone) == 1.0


def tiny_features(token: CustomToken) -> np.ndarray:
    from gair_search.tokens.facts import concept_features

    features = concept_features(token)
    assert features is not None
    return features


def test_denoiser_rows_of_a_search(tiny: Encoder, generator: Generator, token: CustomToken) -> None:
    told = mixture(PROMPT, tiny, lambda _: token, ["blue"])
    steps: list[tuple[int, int]] = []
    visualizer = Visualizer(tiny, generator, on_progress=lambda *both: steps.append(both))
    options = replace(QUICK, candidates=QUARTERS, seeds=(0, 1), sampling=SamplingConfig("ddim", 3))
    visualizer.explore(told, tiny_features(token), options)
    # ten images; at the first step one unconditional row a seed, at the two others one an image
    assert visualizer.denoiser_rows == (10 + 2) + 2 * 20
    assert steps == [(10, 30), (20, 30), (30, 30)]


@pytest.mark.parametrize("side", [16, 64, 96])
def test_embedding_on_the_device_equals_embedding_a_file(tiny: Encoder, side: int) -> None:
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)) for _ in "ab"]
    images = np.stack([np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in coarse])
    expected = tiny.encode_pixels(
        np.stack([tiny.preprocessing.pixels(Image.fromarray(image)) for image in images])
    )
    assert ((embedded(torch.from_numpy(images), tiny) * expected).sum(1) > 0.9999).all()
    wide = torch.from_numpy(np.concatenate([images, images], axis=2))
    assert embedded(wide, tiny).shape == (2, 16)


def test_blank_images() -> None:
    image = np.full((4, 4, 3), 7, np.uint8)
    assert blank(image)
    image[0, 0, 1] = 9
    assert blank(image)
    image[0, 0, 1] = 10
    assert not blank(image)


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

    options = replace(QUICK, candidates=(0.0, 0.5, 1.0), seeds=(0, 1), cache=False)
    clean = engine.gair(PROMPT, options)
    assert clean.warnings == ()
    broken([1, 2, 5])  # rows: seed 0 at w = 0, .5, 1, then seed 1; so w = 1 has none left
    seen = engine.gair(PROMPT, options)
    assert [one.excluded for one in seen.candidates] == [0, 1, 2]
    assert seen.candidates[2].score is None
    assert seen.selected_weight in (0.0, 0.5)
    assert seen.warnings == ("3 of 6 images are black or of one colour and don't count (w = 0.5, 1)",)
    assert seen.candidates[2].to_json()["score"] is None
    broken(list(range(6)))
    with pytest.raises(GeneratorError, match="all 2 images at w = 0 are black"):
        engine.gair(PROMPT, options)
    with pytest.warns(GairWarning, match="searched without GAIR: all 2 images"):
        hits = engine.search(PROMPT, 3, gair="auto", options=options)
    assert hits == engine.search(PROMPT, 3)


# on disk


def test_what_is_on_disk_is_not_drawn_again(engine: Engine) -> None:
    first = engine.gair(PROMPT, QUICK)
    assert (first.cached, first.denoiser_rows > 0) == (0, True)
    again = engine.gair(PROMPT, QUICK)
    assert (again.cached, again.denoiser_rows) == (len(first.candidates), 0)
    assert again.to_json()["candidates"] == first.to_json()["candidates"]
    assert np.array_equal(again.query.vector, first.query.vector)
    for one, other in zip(first.candidates, again.candidates, strict=True):
        assert np.array_equal(one.images, other.images)
    changes = [
        replace(QUICK, seeds=(1,)),
        replace(QUICK, sampling=SamplingConfig("ddim", 3)),
        replace(QUICK, sampling=SamplingConfig("dpm++", 2)),
        replace(QUICK, sampling=SamplingConfig("ddim", 2, guidance=3.0)),
        replace(QUICK, sampling=SamplingConfig("ddim", 2, height=24)),
        replace(QUICK, attributes=("green",)),
    ]
    for options in changes:
        # at w = 1 the attributes have no part
        assert engine.gair(PROMPT, replace(options, candidates=(0.0, 0.5))).cached == 0


def test_damaged_files_are_drawn_again(engine: Engine, home: Path) -> None:
    first = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5))
    files = sorted((home / "cache" / "generated").glob("*.png"))
    assert len(files) == 2  # w = 0 and 0.5
    files[0].write_bytes(b"nonsense")
    Image.new("RGB", (16, 16)).save(files[1])  # an image, but without features
    again = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5))
    assert again.cached == 0
    assert again.to_json()["candidates"] == first.to_json()["candidates"]
    assert engine.gair(PROMPT, replace(QUICK, mixing_weight=0.5)).cached == 2


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = Drawn(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), rng.normal(size=4).astype(np.float32))
    cache = ImageCache(tmp_path / "cache", limit=10**6)
    for i, key in enumerate("abc"):
        cache.put(key, drawn)
        os.utime(tmp_path / "cache" / f"{key}.png", (i, i))
    found = cache.get("a")  # the oldest, now used
    assert found is not None
    assert np.array_equal(found.image, drawn.image)
    assert np.array_equal(found.features, drawn.features)
    cache.trim()
    assert len(list(cache.folder.iterdir())) == 3
    cache.limit = 2 * (tmp_path / "cache" / "a.png").stat().st_size
    cache.trim()
    assert sorted(path.stem for path in cache.folder.iterdir()) == ["a", "c"]
    assert cache.get("b") is None


def test_a_full_disk_is_said_and_the_answer_is_given(engine: Engine, home: Path) -> None:
    expected = engine.gair(PROMPT, replace(QUICK, cache=False))
    home.joinpath("cache").mkdir(parents=True, exist_ok=True)
    home.joinpath("cache", "generated").write_text("a file is in the way")
    seen = engine.gair(PROMPT, QUICK)
    assert np.array_equal(seen.query.vector, expected.query.vector)
    (said,) = seen.warnings
    assert "the images can't be kept in" in said
    with pytest.warns(GairWarning, match="can't be kept"):
        assert len(engine.search(PROMPT, 3, gair=True, options=QUICK)) == 3


# the engine


def test_w_of_one_is_the_plain_query_bit_for_bit_and_of_zero_the_attributes_mean(
    engine: Engine, tiny: Encoder, token: CustomToken
) -> None:
    plain = engine.compile(PROMPT).vector
    assert np.array_equal(engine.compile(PROMPT, mixing_weight=1.0).vector, plain)
    assert np.array_equal(engine.gair(PROMPT, replace(QUICK, mixing_weight=1.0)).query.vector, plain)
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


def test_a_search_with_gair_is_a_search_with_the_selected_weight(engine: Engine) -> None:
    seen = engine.gair(PROMPT, QUICK, plus=["0.5:grass"])
    scores = {one.mixing_weight: one.score for one in seen.candidates if not one.context_only}
    assert seen.selected_weight == select(scores)
    assert set(COARSE) <= set(scores)
    expected = engine.compile(PROMPT, mixing_weight=seen.selected_weight, plus=["0.5:grass"])
    assert np.allclose(seen.query.vector, expected.vector, atol=1e-6)
    assert seen.query.terms == expected.terms
    hits = engine.search(PROMPT, 4, gair=True, options=QUICK, plus=["0.5:grass"])
    assert hits == engine.search(seen.query, 4)
    by_hand = engine.gair(PROMPT, replace(QUICK, mixing_weight=0.6))
    assert (by_hand.selected_weight, by_hand.by_hand, len(by_hand.candidates)) == (0.6, True, 2)
    assert by_hand.selected is by_hand.candidates[1]


def test_prompts_and_tokens_that_gair_cant_mix(engine: Engine, tiny: Encoder, token: CustomToken) -> None:
    engine.tokens.save(tiny_token(tiny, "bare", attributes="", concept_features=""))
    engine.tokens.save(
        tiny_token(tiny, "elsewhere", learned_with="other (arch, weights 00, preprocessing 11)")
    )
    engine.tokens.use("my-dress")
    for prompt, said in (
        ("a red dress", "the prompt has none; write <name> or \\*"),
        ("a * by <bare>", "the prompt has <my-dress> and <bare>"),
        ("a <bare> dress", "<bare> names no attributes"),
        ("a <elsewhere> dress", "are those of other"),
        ("a <nothing> dress", "unknown concept <nothing>"),
    ):
        with pytest.raises(ConceptError, match=said):
            engine.gair(prompt, QUICK)
    with pytest.raises(ConceptError, match="holds no features of its concept images"):
        engine.gair("a <bare> dress", replace(QUICK, attributes=("red",)))
    with pytest.warns(GairWarning, match="searched without GAIR: GAIR mixes a concept"):
        assert engine.search("a dress", 3, gair="auto") == engine.search("a dress", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GairWarning)
        assert len(engine.search(PROMPT, 3, gair="auto", options=QUICK)) == 3


def test_concept_images_can_be_given(engine: Engine, tiny: Encoder, tmp_path: Path) -> None:
    engine.tokens.save(tiny_token(tiny, "bare", concept_features=""))
    photos = make_photos(tmp_path / "photos", 2)
    seen = engine.gair("a <bare> dress", replace(QUICK, mixing_weight=0.5, concept_images=tuple(photos)))
    pixels = np.stack([load_pixels(path, tiny.preprocessing) for path in photos])
    assert seen.concept_features is not None
    assert np.allclose(seen.concept_features, tiny.encode_pixels(pixels).mean(axis=0), atol=1e-6)


def test_prompt_tuned_tokens_come_with_a_warning(engine: Engine, tiny: Encoder) -> None:
    engine.tokens.save(tiny_token(tiny, "tuned", **{METHOD: PROMPT_TUNING}))
    (said,) = engine.gair("a <tuned> dress", replace(QUICK, mixing_weight=0.5)).warnings
    assert "<tuned> was learned by prompt tuning" in said


def test_a_model_without_a_generator(engine: Engine, tiny: Encoder, tmp_path: Path) -> None:
    bare = Encoder(replace(tiny.spec, name="bare", architecture="ViT-B-32"), "cpu")
    bare._text = tiny.text_tower
    other = Engine(bare.spec, engine.gallery, engine.tokens)
    other._clip = bare
    with pytest.raises(ModelError, match="bare has no generator"):
        other.visualize("a dress")
    elsewhere = Engine(tiny.spec, engine.gallery, engine.tokens, generator=tmp_path / "none")
    elsewhere._clip = tiny
    with pytest.raises(GeneratorError, match="there is no generator"):
        elsewhere.visualize("a dress")
    with pytest.warns(GairWarning, match="searched without GAIR: there is no generator"):
        assert elsewhere.search(PROMPT, 3, gair="auto") == engine.search(PROMPT, 3)


def test_prompts_without_a_concept_are_drawn_as_they_are(
    engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    seen = engine.visualize("a red (dress:1.5)", replace(QUICK, seeds=(2, 3)))
    (one,) = seen.candidates
    assert (seen.concept, one.score, one.images.shape) == (None, None, (2, 16, 16, 3))
    assert "drawn as it is, without scores: GAIR mixes a concept" in seen.warnings[0]
    told = prompt_conditioning("a red (dress:1.5)", tiny, engine.tokens.lookup()).expand(2, -1, -1)
    assert np.array_equal(one.images, generator.sample(told, [2, 3], QUICK.sampling).numpy())
    with pytest.raises(ConceptError, match="without a concept"):
        engine.rerank([], seen)


def test_reranking_scores_given_hits_without_a_search(
    engine: Engine, token: CustomToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = engine.search(PROMPT, 6)
    seen = engine.gair(PROMPT, QUICK)
    monkeypatch.setattr(engine.gallery, "search", None)
    engine.gallery.delete([hits[1].id])
    ranked = engine.rerank(hits, seen)
    assert [hit.rank for hit in ranked] == [1, 2, 3, 4, 5, 6]
    assert {hit.id for hit in ranked} == {hit.id for hit in hits}
    assert ranked[-1] == replace(hits[1], rank=6)
    vectors = engine.gallery.vectors([hit.id for hit in hits])
    for hit in ranked[:-1]:
        both = vectors[hit.id] @ tiny_features(token), vectors[hit.id] @ seen.context_features
        assert hit.score == pytest.approx(min(both), abs=1e-6)
        assert (hit.payload["object_score"], hit.payload["context_score"]) == pytest.approx(both, abs=1e-6)
        assert hit.to_json()["score"] == hit.score
    scores = [hit.score for hit in ranked[:-1]]
    assert scores == sorted(scores, reverse=True)
    again = engine.rerank(hits, PROMPT, QUICK)
    assert [hit.id for hit in again] == [hit.id for hit in ranked]
    assert [hit.score for hit in again] == pytest.approx([hit.score for hit in ranked], abs=1e-5)
