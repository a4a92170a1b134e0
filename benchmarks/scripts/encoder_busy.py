"""How busy the encoder is while indexing: its share of the wall time, by architecture.

    python -m gair_search.benchmarks.scripts.encoder_busy [--models gair-mini ViT-B-32 ViT-L-14] [--images 2000]

Architectures of open_clip's run at random weights (a seeded checkpoint is written first and loaded like a
user's own). The images are JPEGs of `side` pixels, made from the photos in --photos by crops and turns, or
from seeded noise pictures without it. Then one query per model. Prints a Markdown table.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

from gair_search import Engine


def make_images(folder: Path, n: int, side: int, photos: Path | None, seed: int) -> None:
    """`n` different JPEGs of `side` x `side` pixels."""
    rng = random.Random(seed)
    sources = sorted(photos.rglob("*.jpg")) if photos else []
    folder.mkdir(parents=True)
    for i in range(n):
        if sources:
            image = Image.open(sources[i % len(sources)]).convert("RGB")
            cut = rng.randint(0, min(image.size) // 5)
            image = image.crop((cut, cut, image.width, image.height)).rotate(rng.uniform(-8, 8))
        else:
            noise = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            image = Image.fromarray(noise)
        image.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.jpg", quality=90)


def checkpoint(model: str, folder: Path, seed: int) -> str:
    """The name of a model, with random weights written for an architecture of open_clip's."""
    if model == "gair-mini":
        return model
    torch.manual_seed(seed)
    state = open_clip.create_model(model).state_dict()
    file = folder / f"{model}.safetensors"
    save_file({k: v.half().contiguous() for k, v in state.items()}, file)
    return f"{model}:{file}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["gair-mini", "ViT-B-32", "ViT-L-14"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| model | images | images/s | encoder busy | with loading the model | seconds | query s |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder / "images", args.images, args.side, args.photos, args.seed)
        for model in args.models:
            name = checkpoint(model, folder, args.seed)
            with Engine.open(name, db=folder / f"gallery-{model}") as engine:
                report = engine.index(folder / "images", workers=args.workers)
                assert report.total == args.images
                began = time.perf_counter()
                assert len(engine.search("a photo of a (dog:1.5)", 10)) == 10
                query = time.perf_counter() - began
            busy, loading = report.embed_seconds, report.load_model_seconds
            print(
                f"| {model} | {args.images} | {args.images / report.seconds:.1f} | {busy / report.seconds:.3f} "
                f"| {(busy + loading) / report.seconds:.3f} | {report.seconds:.1f} | {query:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
