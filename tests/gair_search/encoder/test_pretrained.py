"""What the bundled model can do, on scenes that its training never saw; the figures are in RESULTS.md."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    Scene,
    full_caption,
    instance,
    noun_phrase,
    render,
    scene,
)
from gair_search.encoder import checksums, models
from gair_search.encoder.clip import Encoder
from gair_search.generation.export import pipeline_folder
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig

N = 120


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(i, "test") for i in range(N)]


def image_features(encoder: Encoder, scenes: list[Scene]) -> np.ndarray:
    return encoder.encode_images([render(one) for one in scenes])


def text_features(encoder: Encoder, texts: list[str]) -> np.ndarray:
    return encoder.encode_texts(texts)


@pytest.fixture(scope="module")
def features(encoder: Encoder, scenes: list[Scene]) -> np.ndarray:
    return image_features(encoder, scenes)


PROMPTS = {
    "kind": {kind: noun_phrase(kind) for kind in KINDS},
    "color": {color: noun_phrase("", color=color, noun="thing") for color in COLORS},
    "pattern": {pattern: noun_phrase("", pattern=pattern, noun="thing") for pattern in PATTERNS},
    "background": {name: f"a thing {phrases[0]}" for name, phrases in BACKGROUNDS.items()},
}


@pytest.mark.parametrize("attribute", PROMPTS)
def test_words_of_the_fashion_world_are_seen(
    encoder: Encoder, scenes: list[Scene], features: np.ndarray, attribute: str
) -> None:
    values = list(PROMPTS[attribute])
    found = (features @ text_features(encoder, list(PROMPTS[attribute].values())).T).argmax(1)
    shown = [s.background if attribute == "background" else getattr(s.item, attribute) for s in scenes]
    assert np.mean([values[i] == value for i, value in zip(found, shown, strict=True)]) > 0.9


def test_full_captions_find_their_images(encoder: Encoder, scenes: list[Scene], features: np.ndarray) -> None:
    similarity = text_features(encoder, [full_caption(one) for one in scenes]) @ features.T
    assert (similarity.argmax(1) == np.arange(N)).mean() > 0.85


@pytest.mark.slow
def test_an_instance_is_recognised_elsewhere(encoder: Encoder) -> None:
    items = [instance(i, "test") for i in range(60)]
    places = list(BACKGROUNDS)
    views = [
        image_features(
            encoder,
            [
                scene(2 * i + k, "test", item=item, background=places[(i + 5 * k) % 12])
                for i, item in enumerate(items)
            ],
        )
        for k in range(2)
    ]
    assert ((views[0] @ views[1].T).argmax(1) == np.arange(60)).mean() > 0.85


def test_it_is_small_and_its_weights_are_named() -> None:
    folder = models.resolve("gair-mini").folder
    assert folder is not None
    weights = list(folder.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in weights) < 60e6
    named = {line.split("  ")[1] for line in (folder / checksums.CHECKSUMS).read_text().splitlines()}
    assert named == {path.relative_to(folder).as_posix() for path in weights}


def test_its_card_names_sources_and_licences() -> None:
    folder = Path(models.resolve("gair-mini").folder or "")
    card = (folder / "README.md").read_text("utf-8")
    for word in ("EfficientNet-Lite0", "all-MiniLM-L6-v2", "WordNet", "openclipart", "Apache-2.0"):
        assert word in card
    dimensions = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["embed_dim"]
    assert f"{dimensions} dimensions" in card


@pytest.fixture(scope="module")
def generator(encoder: Encoder) -> Generator:
    return Generator.load(encoder)


def told(encoder: Encoder, captions: list[str]) -> torch.Tensor:
    tower = encoder.text_tower
    with torch.inference_mode():
        return tower.encode_ids([tower.token_ids(text) for text in captions], full_context=True).conditioning


def test_the_generator_draws_what_a_caption_says(
    encoder: Encoder, generator: Generator, scenes: list[Scene]
) -> None:
    drawn = generator.sample(told(encoder, [full_caption(one) for one in scenes[:24]]), range(24))
    assert drawn.shape == (24, 64, 64, 3)
    pixels = [encoder.preprocessing.pixels(Image.fromarray(image)) for image in drawn.numpy()]
    features = encoder.encode_pixels(np.stack(pixels))
    for attribute, least in (("kind", 0.4), ("color", 0.7), ("background", 0.4)):
        values = list(PROMPTS[attribute])
        found = (features @ text_features(encoder, list(PROMPTS[attribute].values())).T).argmax(1)
        shown = [
            s.background if attribute == "background" else getattr(s.item, attribute) for s in scenes[:24]
        ]
        assert np.mean([values[i] == value for i, value in zip(found, shown, strict=True)]) >= least, (
            attribute
        )


@pytest.mark.slow
def test_diffusers_loads_the_generator_and_draws_the_same(encoder: Encoder, generator: Generator) -> None:
    folder = pipeline_folder(encoder.spec)
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    sampling = SamplingConfig("dpm++", 6, 4.0)
    noise = generator.noise([3], sampling)
    theirs = pipe(
        "a red dress on a beach", num_inference_steps=6, guidance_scale=4.0, latents=noise, output_type="np"
    )
    ours = generator.sample(told(encoder, ["a red dress on a beach"]), [3], sampling)
    assert np.abs(theirs.images[0] * 255 - ours[0].numpy()).max() < 1.5
