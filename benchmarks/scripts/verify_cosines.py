"""What `Engine.verify` has to tell apart: cosines between a photo's vector and the same photo's, embedded otherwise.

    python -m gair_search.benchmarks.scripts.verify_cosines --photos PHOTOS [--every 5]

Prints a Markdown table. `gair_search.indexer.verify` takes its two bounds from it.
"""

import argparse
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gair_search import Encoder
from gair_search.images.preprocessing import Preprocessing


def embed_pixels(
    encoder: Encoder, images: list[Image.Image], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Features by the same image tower with another preprocessing."""
    other = Encoder(replace(encoder.spec, preprocessing=preprocessing), str(encoder.device))
    return other.encode_images(images)


def embed_half(encoder: Encoder, images: list[Image.Image]) -> NDArray[np.float32]:
    """Features in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        own = encoder.preprocessing
        pixels = torch.from_numpy(np.stack([own.pixels(image) for image in images])).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (own.mean, own.std))
        with torch.inference_mode():
            features = encoder.image_tower((pixels.float() / 255 - mean) / std).float()
            return torch.nn.functional.normalize(features, dim=-1).numpy()


def compress(image: Image.Image, quality: int) -> Image.Image:
    """The image after one more JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--every", type=int, default=5, help="take one photo in so many")
    options = parser.parse_args()
    files = sorted(file for file in options.photos.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    images = [Image.open(file).convert("RGB") for file in files[:: options.every]]
    encoder = Encoder.load("gair-mini", "cpu")
    stored, own = encoder.encode_images(images), encoder.preprocessing
    swapped = [Image.fromarray(np.asarray(image)[:, :, ::-1].copy()) for image in images]
    random = np.random.default_rng(0).normal(size=stored.shape)
    ways = {
        "bfloat16": embed_half(encoder, images),
        "JPEG again at 95": encoder.encode_images([compress(image, 95) for image in images]),
        "JPEG again at 75": encoder.encode_images([compress(image, 75) for image in images]),
        "bilinear for bicubic": embed_pixels(encoder, images, replace(own, interpolation="bilinear")),
        "colours swapped": encoder.encode_images(swapped),
        "ImageNet's normalisation": embed_pixels(
            encoder, images, replace(own, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        ),
        "another photo": np.roll(stored, 1, axis=0),
        "random vectors": random / np.linalg.norm(random, axis=1, keepdims=True),
    }
    print(f"{len(images)} photos\n\n| otherwise | lowest | median |\n|---|---|---|")
    for name, features in ways.items():
        cosines = (features * stored).sum(axis=1)
        print(f"| {name} | {cosines.min():.4f} | {np.median(cosines):.4f} |")


if __name__ == "__main__":
    main()
