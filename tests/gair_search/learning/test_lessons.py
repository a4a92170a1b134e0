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
from gair_search.learning.preparation import draw_views, encode_latents, first_vectors, prepare_problem
from gair_search.learning.report import QUALITY, read_quality
from gair_search.tokens import facts

QUICK = LearningConfig(
    n_vectors=2, lambda_ce=0.1, learning_rate=1e-2, steps=4, check_every=2, views=1, held_out_noises=2
)
WORDS = ("red", "old", "striped")


@pytest.fixture
def photos() -> list[Image.Image]:
    return [picture(i) for i in range(3)]


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


def test_what_is_frozen_is_computed_once_and_split(
    tiny: Encoder, generator: Generator, photos: list[Image.Image]
):
    negatives = unit(9, 16)
    seen = {}

    def find(plain: np.ndarray, concept: np.ndarray) -> np.ndarray:
        seen.update(plain=plain, concept=concept)
        return negatives

    settings = replace(QUICK, views=3)
    problem = prepare_problem(photos, "dress", tiny, find, settings, WORDS, generator, 0)
    assert (len(problem.concept), len(problem.held_out_concept)) == (3 + 9, 3 * 2)
    assert (len(problem.negatives), len(problem.held_out_negatives)) == (7, 2)  # a quarter is held out
    both = torch.cat([problem.held_out_negatives, problem.negatives]).numpy()
    assert sorted(both.tolist()) == sorted(negatives.tolist())
    with torch.inference_mode():
        assert np.allclose(seen["plain"], tiny.encode_texts(["image of a dress"])[0], atol=1e-5)
    assert np.array_equal(seen["concept"], torch.cat([problem.concept, problem.held_out_concept]).numpy())
    pixels = np.stack([tiny.preprocessing.pixels(photo) for photo in photos])
    assert np.allclose(problem.concept[:3], tiny.encode_pixels(pixels), atol=1e-5)
    table = attributes.average_embeddings(tiny.text_tower, WORDS)
    assert not torch.equal(problem.first[0], problem.first[1])
    assert all((row == table).all(1).any() for row in problem.first)  # attributes
    assert problem.subspace.rank == 2
    assert problem.denoiser.latents.shape == (6, 4, 8, 8)
    alone = prepare_problem(
        photos,
        "dress",
        tiny,
        find,
        replace(settings, projection=False).with_method("prompt tuning"),
        WORDS,
        generator,
        0,
    )
    assert alone.subspace is None
    assert alone.denoiser is None


def test_learning_starts_at_different_attributes():
    embeddings = torch.arange(6.0).reshape(3, 2)
    first = first_vectors(embeddings, 5, seed=0)
    assert sorted(first[:3].tolist()) == embeddings.tolist()
    assert torch.equal(first[3:], first[:2])  # again from the front where there are no more
    assert torch.equal(first, first_vectors(embeddings, 5, seed=0))
    starts = {tuple(first_vectors(embeddings, 1, seed=seed)[0].tolist()) for seed in range(9)}
    assert len(starts) == 3


def test_a_token_and_what_its_file_says(tiny: Encoder, generator: Generator, photos: list[Image.Image]):
    def learned(seed: int) -> lessons.Lesson:
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
    assert (token.facts["seed"], token.facts["n_images"]) == ("1", "3")
    assert [step for step, _ in facts.held_out(token)] == [2, 4]
    best = min(facts.held_out(token), key=lambda look: look[1])
    assert (token.facts["step"], lesson.learned.step) == (str(best[0]), best[0])
    assert set(read_quality(token)) == set(QUALITY)
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
    concepts = {"a": [picture(0), picture(1)], "b": [picture(7)]}
    settings = replace(QUICK, n_vectors=1)
    learned = several.learn_together(concepts, tiny, config=settings, generator=generator)
    assert [token.name for token in learned.tokens] == list(learned.classifier.names) == ["a", "b"]
    assert 0 <= learned.accuracy <= 1
    for token, own in zip(learned.tokens, concepts.values(), strict=True):
        pixels = np.stack([tiny.preprocessing.pixels(photo) for photo in own])
        assert np.allclose(facts.concept_features(token), tiny.encode_pixels(pixels).mean(axis=0), atol=1e-5)
        assert (token.facts["method"], token.facts["n_images"]) == ("joint", str(len(own)))
        assert json.loads(token.facts["settings"]) == asdict(settings)
        assert [step for step, _ in facts.held_out(token)] == [2, 4]
        assert token.facts["step"] == "4"
    again = several.learn_together(concepts, tiny, config=settings, generator=generator)
    assert again.tokens[0].facts["held_out"] == token.facts["held_out"]
    for short, said in (({"a": concepts["a"]}, "1 concept"), ({**concepts, "c": []}, "<c>: no photo")):
        with pytest.raises(ConceptError, match=said):
            several.learn_together(short, tiny, config=settings, generator=generator)
