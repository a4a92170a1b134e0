"""From photos to a token, on a tiny model with its generator at random weights."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageOps
from support.photos import picture

from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.errors import ConceptError, ModelError
from gair_search.generation.generator import Generator
from gair_search.learning import attributes, lessons, several
from gair_search.learning.config import PAPER, LearningConfig, choose_method, config_for
from gair_search.learning.joint import Objective, learn_vectors
from gair_search.learning.preparation import (
    draw_views,
    encode_latents,
    first_vectors,
    prepare_problem,
    split_numbers,
    split_photos,
)
from gair_search.learning.report import QUALITY, SEPARATION, quality, read_quality
from gair_search.tokens import facts

QUICK = LearningConfig(
    n_vectors=2, lambda_ce=0.1, learning_rate=1e-2, steps=4, check_every=2, views=1, held_out_noises=2
)
WORDS = ("red", "old", "striped")


@pytest.fixture
def photos() -> list[Image.Image]:
    return [picture(i) for i in range(5)]


def unit(n: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_views_are_square_and_seeded():
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append([np.asarray(view) for view in draw_views(picture(0, (96, 64)), 4)])
    assert [view.shape for view in drawn[0]] == [(64, 64, 3)] * 4
    assert all(np.array_equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert draw_views(picture(0), 0) == []


def test_settings_are_the_model_s_own_else_the_paper_s(tiny_folder: Path, tmp_path: Path):
    spec = resolve(f"local-dir:{tiny_folder}")
    assert config_for(spec) == PAPER
    own = replace(spec, architecture=f"local-dir:{tmp_path}")
    (tmp_path / "learning.json").write_text('{"n_vectors": 3, "steps": 70}')
    assert config_for(own) == replace(PAPER, n_vectors=3, steps=70)
    assert config_for(own, changes={"steps": 9}) == replace(PAPER, n_vectors=3, steps=9)
    assert config_for(own, paper=True) == PAPER
    for text in ("{", '{"stepz": 70}', "[1]", '{"steps": "many"}', '{"steps": 7.5}', '{"steps": true}'):
        (tmp_path / "learning.json").write_text(text)
        with pytest.raises(ModelError, match="no file of learning settings"):
            config_for(own)
    (tmp_path / "learning.json").write_text('{"rank": "all"}')
    with pytest.raises(ModelError, match='rank is "all", expected int or null'):
        config_for(own)
    (tmp_path / "learning.json").write_text('{"rank": null, "scale": 20, "projection": false}')
    assert config_for(own) == replace(PAPER, scale=20.0, projection=False)
    assert config_for(replace(spec, architecture="ViT-B-32")) == PAPER
    assert config_for(resolve("gair-mini")).steps == 300  # they ship with it


def test_the_method_is_joint_where_there_is_a_generator(generator: Generator):
    def load() -> Generator:
        return generator

    def fail() -> Generator:
        raise ModelError("it has no generator")

    for method in ("joint", "textual inversion"):
        assert choose_method(method, load, False) == (method, generator)
        with pytest.raises(ModelError, match="no generator"):
            choose_method(method, fail, False)
    assert choose_method(None, load, False) == ("joint", generator)
    assert choose_method(None, fail, False) == ("prompt tuning", None)
    assert choose_method("prompt tuning", fail, True) == ("prompt tuning", None)
    with pytest.raises(ModelError, match="no generator"):
        choose_method(None, fail, True)


def test_latents_are_the_vae_s_mode_scaled_photos_then_mirrored(generator: Generator):
    height, width = generator.size
    photos = [picture(i, (width, height)) for i in range(2)]
    vae = generator.vae
    with torch.inference_mode():
        pixels = VaeImageProcessor().preprocess([*photos, *map(ImageOps.mirror, photos)])
        expected = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
    found = encode_latents(photos, generator)
    assert torch.allclose(found, expected, atol=1e-5)
    wide = encode_latents([picture(0, (3 * width, height))], generator)
    assert wide.shape == (2, *expected.shape[1:])


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, (1, 0, 0)), (3, (3, 0, 0)), (4, (3, 0, 1)), (5, (3, 1, 1)), (11, (7, 2, 2))]
)
def test_photos_are_split_into_three_sets(n: int, sizes: tuple[int, int, int]):
    for seed in range(3):
        split = split_photos(n, seed)
        sets = (split.train, split.choose, split.report)
        assert tuple(map(len, sets)) == sizes
        assert sorted(np.concatenate(sets).tolist()) == list(range(n))
        assert all(own.tolist() == sorted(own.tolist()) for own in sets)
    assert len({tuple(split_photos(5, seed).report) for seed in range(9)}) > 1
    assert split_numbers(4, 0, 0, seed=3).train.tolist() == [0, 1, 2, 3]


def test_what_is_frozen_is_computed_once_and_split(
    tiny: Encoder, generator: Generator, photos: list[Image.Image]
):
    negatives = unit(9, 16)
    seen = {}

    def find(plain: np.ndarray, concept: np.ndarray) -> np.ndarray:
        seen.update(plain=plain, concept=concept)
        return negatives

    settings = replace(QUICK, views=3)
    problem = prepare_problem(photos, "dress", tiny, find, settings, WORDS, generator, 0, hold_out=True)
    split, features = split_photos(5, 0), seen["concept"]
    assert features.shape == (5, 1 + 3, 16)
    pixels = np.stack([tiny.preprocessing.pixels(photo) for photo in photos])
    assert np.allclose(features[:, 0], tiny.encode_pixels(pixels), atol=1e-5)
    with torch.inference_mode():
        assert np.allclose(seen["plain"], tiny.encode_texts(["image of a dress"])[0], atol=1e-5)
    latents = encode_latents(photos, generator)
    for numbers, own, drawn in (
        (split.train, problem.concept, problem.denoiser.latents),
        (split.choose, problem.choose.concept, problem.choose.latents),
        (split.report, problem.report.concept, problem.report.latents),
    ):
        assert np.array_equal(own.numpy(), features[numbers].reshape(-1, 16))
        assert torch.equal(drawn, torch.cat([latents[numbers], latents[5 + numbers]]))
    sets = (problem.negatives, problem.choose.negatives, problem.report.negatives)
    assert [len(own) for own in sets] == [5, 2, 2]  # a quarter each is held out
    assert sorted(torch.cat(sets).tolist()) == sorted(negatives.tolist())
    assert (problem.choose.n_photos, problem.report.n_photos) == (1, 1)
    assert np.array_equal(problem.photos.numpy(), features[:, 0])
    table = attributes.average_embeddings(tiny.text_tower, WORDS)
    assert not torch.equal(problem.first[0], problem.first[1])
    assert all((row == table).all(1).any() for row in problem.first)  # attributes
    assert problem.subspace.rank == 2

    whole = prepare_problem(photos, "dress", tiny, find, settings, WORDS, generator, 0)
    assert (len(whole.concept), len(whole.negatives)) == (20, 9)
    assert torch.equal(whole.denoiser.latents, latents)
    assert (whole.choose, whole.report) == (None, None)
    plain = replace(settings, projection=False).with_method("prompt tuning")
    alone = prepare_problem(photos, "dress", tiny, find, plain, WORDS, generator, 0)
    assert alone.subspace is None
    assert alone.denoiser is None


def test_neither_the_step_nor_the_report_sees_what_is_learned_from(
    tiny: Encoder, generator: Generator, photos: list[Image.Image]
):
    """Other training photos move neither the held-out loss nor the separation of given vectors, and so for each set."""
    problem = prepare_problem(
        photos, "dress", tiny, lambda *_: unit(16, 16), QUICK, WORDS, generator, 0, hold_out=True
    )
    noise = torch.from_numpy(unit(len(problem.concept), 16, 5))
    trained = replace(
        problem,
        concept=noise,
        negatives=noise[:3],
        denoiser=replace(problem.denoiser, latents=torch.randn_like(problem.denoiser.latents)),
    )
    chosen = replace(problem, choose=replace(problem.choose, concept=noise, latents=trained.denoiser.latents))
    reported = replace(problem, report=replace(problem.report, concept=noise[:2]))
    losses, separations = (
        [how(one) for one in (problem, trained, chosen, reported)]
        for how in (
            lambda one: Objective(one, tiny.text_tower, QUICK).held_out(one.first),
            lambda one: quality(one.first, one, tiny.text_tower, WORDS)["separation"],
        )
    )
    assert losses[0] == losses[1] == losses[3] != losses[2]
    assert separations[0] == separations[1] == separations[2] != separations[3]


def test_without_anything_to_choose_on_the_last_step_is_taken(tiny: Encoder, photos: list[Image.Image]):
    tuning = QUICK.with_method("prompt tuning")
    problem = prepare_problem(photos, "dress", tiny, lambda *_: unit(8, 16), tuning, WORDS, None, 0)
    learned = learn_vectors(problem, tiny.text_tower, tuning)
    assert learned.step == 4
    assert [(look.step, look.held_out, look.best) for look in learned.losses] == [
        (2, None, None),
        (4, None, None),
    ]
    longer = learn_vectors(problem, tiny.text_tower, replace(tuning, check_every=1))
    assert torch.equal(longer.vectors, learned.vectors)


def test_learning_starts_at_different_attributes():
    embeddings = torch.arange(6.0).reshape(3, 2)
    first = first_vectors(embeddings, 5, seed=0)
    assert sorted(first[:3].tolist()) == embeddings.tolist()
    assert torch.equal(first[3:], first[:2])  # again from the front where there are no more
    assert torch.equal(first, first_vectors(embeddings, 5, seed=0))
    starts = {tuple(first_vectors(embeddings, 1, seed=seed)[0].tolist()) for seed in range(9)}
    assert len(starts) == 3


def test_a_token_and_what_its_file_says(tiny: Encoder, generator: Generator, photos: list[Image.Image]):
    def learned(seed: int, **how: object) -> lessons.Lesson:
        return lessons.learn_token(
            "my-dress",
            photos,
            "dress",
            tiny,
            lambda *_: unit(8, 16),
            config=QUICK,
            adjectives=WORDS,
            generator=generator,
            seed=seed,
            **how,
        )

    lesson = learned(1)
    token = lesson.token
    assert token.vectors.shape == (2, 32)
    assert (token.name, token.parent, token.text_tower) == ("my-dress", "dress", tiny.text_tower.table_hash)
    assert token.embedder == str(tiny.embedder_id)
    assert facts.attributes(token) == list(WORDS)
    assert token.facts[facts.METHOD] == "joint"
    pixels = np.stack([tiny.preprocessing.pixels(photo) for photo in photos])
    mean = tiny.encode_pixels(pixels).mean(axis=0)
    assert np.allclose(facts.concept_features(token), mean, atol=1e-5)
    assert LearningConfig(**json.loads(token.facts["settings"])) == QUICK
    assert (token.facts["seed"], token.facts["n_images"]) == ("1", "5")
    assert [step for step, _ in facts.held_out(token)] == [2, 4]
    best = min(facts.held_out(token), key=lambda look: look[1])
    assert (token.facts["step"], lesson.learned.step) == (str(best[0]), best[0])
    told = read_quality(token)
    assert set(told) == {*QUALITY, *SEPARATION}
    assert (told["n_photos"], told["n_negatives"]) == (1, 2)
    everything = learned(1, hold_out=False)
    assert set(read_quality(everything.token)) == set(QUALITY)
    assert facts.held_out(everything.token) == []
    assert everything.learned.step == 4
    assert np.allclose(facts.concept_features(everything.token), mean, atol=1e-5)
    assert all(
        look.diffusion is not None and look.classification is not None for look in lesson.learned.losses
    )
    assert np.array_equal(learned(1).token.vectors, token.vectors)
    assert not np.array_equal(learned(2).token.vectors, token.vectors)


def test_a_generator_in_half_precision_as_on_cuda(tiny_folder: Path, photos: list[Image.Image]):
    encoder = Encoder(resolve(f"local-dir:{tiny_folder}"), "cpu")
    encoder.dtype = torch.bfloat16
    own = Generator.load(encoder)
    assert own.unet.dtype == torch.bfloat16
    lesson = lessons.learn_token(
        "x", photos, "dress", encoder, lambda *_: unit(8, 16), config=QUICK, adjectives=WORDS, generator=own
    )
    assert lesson.token.vectors.dtype == np.float32
    assert all(np.isfinite(look.held_out) for look in lesson.learned.losses)


def test_what_can_t_be_learned_is_told_before_anything_is_computed(tiny: Encoder, photos: list[Image.Image]):
    def never(*_: object) -> np.ndarray:
        raise AssertionError

    tuning = {"config": QUICK, "method": "prompt tuning", "adjectives": WORDS}
    for images, parent, how, said in (
        ([], "dress", tuning, "no photo to learn from"),
        (photos, "  ", tuning, "no parent"),
        (photos, "dress", {**tuning, "method": "joint"}, "needs a generator"),
    ):
        with pytest.raises(ConceptError, match=said):
            lessons.learn_token("x", images, parent, tiny, never, **how)
    long = {**tuning, "config": replace(QUICK, n_vectors=70)}
    with pytest.raises(ConceptError, match=r"70 vectors and the parent take 7\d places of 77"):
        lessons.learn_token("x", photos, "dress", tiny, lambda *_: unit(8, 16), **long)


def test_several_together_with_a_generator(tiny: Encoder, generator: Generator):
    concepts = {"a": [picture(i) for i in range(4)], "b": [picture(7)]}
    settings = replace(QUICK, n_vectors=1)
    learned = several.learn_together(concepts, tiny, config=settings, generator=generator)
    assert [token.name for token in learned.tokens] == list(learned.classifier.names) == ["a", "b"]
    assert learned.accuracy in (0, 1)  # one photo of four is left out, and none of one
    for token, own in zip(learned.tokens, concepts.values(), strict=True):
        pixels = np.stack([tiny.preprocessing.pixels(photo) for photo in own])
        assert np.allclose(facts.concept_features(token), tiny.encode_pixels(pixels).mean(axis=0), atol=1e-5)
        assert (token.facts["method"], token.facts["n_images"]) == ("joint", str(len(own)))
        assert json.loads(token.facts["settings"]) == asdict(settings)
        assert [step for step, _ in facts.held_out(token)] == [2, 4]
        assert token.facts["step"] == "4"
    everything = several.learn_together(concepts, tiny, config=settings, generator=generator, hold_out=False)
    assert everything.accuracy is None
    assert facts.held_out(everything.tokens[0]) == []
    assert everything.tokens[0].facts["step"] == "4"
    again = several.learn_together(concepts, tiny, config=settings, generator=generator)
    assert again.tokens[0].facts["held_out"] == token.facts["held_out"]
    for short, said in (({"a": concepts["a"]}, "1 concept"), ({**concepts, "c": []}, "<c>: no photo")):
        with pytest.raises(ConceptError, match=said):
            several.learn_together(short, tiny, config=settings, generator=generator)
