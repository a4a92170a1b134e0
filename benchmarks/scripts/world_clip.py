"""A CLIP on the fashion world: captions, words and instances, on scenes of the test split.

    python -m gair_search.benchmarks.scripts.world_clip [--model gair-mini] [--seed 0] [--size 128]

- caption to image: R@1 of full captions among 1,000 scenes, no two of which go by the same caption;
- zero-shot accuracy of kind, colour, pattern and background over the same scenes, one prompt a value;
- image to image: the nearest other of 1,000 images, two renderings of each of 500 instances in different
  places, is the same instance;
- images embedded per second, pixels to vectors, in batches of 32, the best of five, with the batch norms folded
  into the convolutions and, the baseline, without;
- milliseconds to draw a scene, mean of 300, one process.

Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import count
from unittest import mock

import numpy as np
from numpy.typing import NDArray
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
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve

N_SCENES, N_INSTANCES = 1_000, 500
BATCH = 50


def distinct_scenes(seed: int, n: int) -> list[Scene]:
    """The first `n` scenes from a seed on that all have captions of their own."""
    found: dict[str, Scene] = {}
    for i in count(seed * 100_000):
        one = scene(i, "test")
        found.setdefault(full_caption(one), one)
        if len(found) == n:
            return list(found.values())
    raise AssertionError("count() ends")


def two_views(seed: int, n: int) -> list[Scene]:
    """`n` instances, each seen twice, on two backgrounds; views of one instance follow each other."""
    views: list[Scene] = []
    for i in range(seed * 100_000, seed * 100_000 + n):
        item = instance(i, "test")
        first = scene(1_000_000 + 2 * i, "test", item=item)
        others = [name for name in BACKGROUNDS if name != first.background]
        views += [first, scene(1_000_001 + 2 * i, "test", item=item, background=others[i % len(others)])]
    return views


def image_features(encoder: Encoder, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """`[N, embed_dim]`, normalised."""
    batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    pixels = (np.stack([encoder.preprocessing.pixels(image) for image in batch]) for batch in batches)
    return np.concatenate([encoder.encode_pixels(batch) for batch in pixels])


def text_features(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """`[N, embed_dim]`, normalised."""
    return encoder.encode_texts(texts)


def prompts() -> dict[str, dict[str, str]]:
    """Attribute -> value -> the one prompt that stands for it."""
    return {
        "kind": {kind: f"a photo of {noun_phrase(kind)}" for kind in KINDS},
        "color": {color: f"a photo of {noun_phrase('', color=color, noun='thing')}" for color in COLORS},
        "pattern": {
            pattern: f"a photo of {noun_phrase('', pattern=pattern, noun='thing')}" for pattern in PATTERNS
        },
        "background": {name: f"a photo of a thing {phrases[0]}" for name, phrases in BACKGROUNDS.items()},
    }


def zero_shot(encoder: Encoder, images: NDArray[np.float32], scenes: Sequence[Scene]) -> dict[str, float]:
    """Attribute -> accuracy of the nearest prompt; images `[N, embed_dim]`."""
    accuracy = {}
    for attribute, by_value in prompts().items():
        shown = [s.background if attribute == "background" else getattr(s.item, attribute) for s in scenes]
        nearest = (images @ text_features(encoder, list(by_value.values())).T).argmax(1)
        values = list(by_value)
        accuracy[attribute] = float(np.mean([values[i] == v for i, v in zip(nearest, shown, strict=True)]))
    return accuracy


def recall_at_1(encoder: Encoder, images: NDArray[np.float32], scenes: Sequence[Scene]) -> float:
    """How often a full caption's nearest image is its own."""
    similarity = text_features(encoder, [full_caption(one) for one in scenes]) @ images.T
    return float((similarity.argmax(1) == np.arange(len(scenes))).mean())


def same_instance(images: NDArray[np.float32]) -> float:
    """How often the nearest other image shows the same instance; rows 2i and 2i + 1 do."""
    similarity = images @ images.T
    np.fill_diagonal(similarity, -np.inf)
    return float((similarity.argmax(1) // 2 == np.arange(len(images)) // 2).mean())


def images_per_second(encoder: Encoder, batch: int = 32, runs: int = 5) -> float:
    """How fast `encode_images` is on preprocessed pixels."""
    height, width = encoder.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    encoder.encode_pixels(pixels)
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        encoder.encode_pixels(pixels)
        seconds.append(time.perf_counter() - began)
    return batch / min(seconds)


def load_without_folding(model: str) -> Encoder:
    """The model as open_clip builds it, its batch norms where they were."""
    encoder = Encoder(resolve(model))
    with mock.patch("gair_search.encoder.clip.folded", lambda tower, example: tower):
        encoder.encode_pixels(np.zeros((1, *encoder.preprocessing.size, 3), np.uint8))
    return encoder


def milliseconds_to_draw(size: int, n: int = 300) -> float:
    """Mean time to draw one scene."""
    scenes = [scene(i, "test") for i in range(n)]
    render(scenes[0], size)
    began = time.perf_counter()
    for one in scenes:
        render(one, size)
    return (time.perf_counter() - began) / n * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128, help="side of the renderings in pixels")
    args = parser.parse_args()
    encoder = Encoder(resolve(args.model))
    scenes = distinct_scenes(args.seed, N_SCENES)
    images = image_features(encoder, [render(one, args.size) for one in scenes])
    views = image_features(encoder, [render(one, args.size) for one in two_views(args.seed, N_INSTANCES)])
    figures = {f"caption to image, R@1 among {N_SCENES}": recall_at_1(encoder, images, scenes)}
    figures |= {f"zero-shot {name}": value for name, value in zero_shot(encoder, images, scenes).items()}
    figures |= {f"image to the same instance, R@1 among {N_INSTANCES}": same_instance(views)}
    speed, baseline = images_per_second(encoder), images_per_second(load_without_folding(args.model))
    print(f"| fashion world, test split, seed {args.seed}, {args.size} px | {args.model} |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.3f} |")
    print(f"| images embedded per second | {speed:.1f} |")
    print(f"| the same, batch norms not folded | {baseline:.1f} ({speed / baseline:.2f} times) |")
    print(f"| milliseconds to draw a scene | {milliseconds_to_draw(args.size):.1f} |")


if __name__ == "__main__":
    main()
