"""A generator on the fashion world: does it draw what a caption says?

    python -m training.generator_accuracy --judge build/gair-mini/judge.pt [--model gair-mini] [--n 500]

- accuracy of kind, colour, pattern and background on images drawn from full captions of the test split, judged by a
  classifier that was trained on renderings alone (`training/judge.py`); beside it what the judge reads on the
  renderings of the same scenes, and on these through the autoencoder: the ceilings;
- the same with fewer steps;
- seconds an image alone, and in a batch of 8, the best of five.

Prints a Markdown table; `--picture FILE` draws the first 24.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gair_search.benchmarks.fashion_world import full_caption, render, scene
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from training.codes import scene_labels
from training.judge import JudgeNetwork, accuracies

STEPS = (20, 10, 8, 4)
SHOWN = ("kind", "color", "pattern", "background")


def to_judge_input(images: Tensor) -> Tensor:
    """uint8 `[N, 64, 64, 3]` -> `[N, 3, 64, 64]` in -1..1."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruct(generator: Generator, images: Tensor) -> Tensor:
    """Renderings as the autoencoder gives them back, uint8."""
    with torch.inference_mode():
        parts = [generator.vae.encode(batch).latent_dist.mode() for batch in to_judge_input(images).split(50)]
        decoded = [generator.decode(part * generator.vae.config.scaling_factor) for part in parts]
    return (torch.cat(decoded) * 255).round().byte().permute(0, 2, 3, 1)


def best_seconds(draw: object, times: int = 5) -> float:
    """Seconds of the fastest of some calls, after one that warms up."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        draw()  # type: ignore[operator]
        found.append(time.perf_counter() - began)
    return min(found[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--judge", type=Path, required=True, help="judge.pt of training/judge.py")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--guidance", type=float, default=SamplingConfig().guidance)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    encoder = Encoder(resolve(args.model), "cpu")
    generator, tower = Generator.load(encoder), encoder.text_tower
    judge = JudgeNetwork().eval()
    judge.load_state_dict(torch.load(args.judge, weights_only=True))
    scenes = [scene(i, "test") for i in range(args.n)]
    truth = torch.from_numpy(np.stack([scene_labels(one) for one in scenes]))
    size = generator.size[0]
    renderings = torch.from_numpy(np.stack([np.asarray(render(one, size)) for one in scenes]))
    with torch.inference_mode():
        ids = [tower.token_ids(full_caption(one)) for one in scenes]
        conditioning = torch.cat(
            [
                tower.encode_ids(ids[i : i + 50], full_context=True).conditioning
                for i in range(0, len(ids), 50)
            ]
        )
    rows = {
        "renderings": accuracies(judge, to_judge_input(renderings), truth),
        "renderings through the autoencoder": accuracies(
            judge, to_judge_input(reconstruct(generator, renderings)), truth
        ),
    }
    for steps in STEPS:
        images = generator.sample(conditioning, range(args.n), SamplingConfig("dpm++", steps, args.guidance))
        rows[f"drawn, {steps} steps"] = accuracies(judge, to_judge_input(images), truth)
        if steps == STEPS[0] and args.picture:
            grid = (
                images[:24].reshape(3, 8, size, size, 3).permute(0, 2, 1, 3, 4).reshape(3 * size, 8 * size, 3)
            )
            Image.fromarray(grid.numpy()).save(args.picture)
    print(f"{args.model}, n = {args.n}, guidance {args.guidance}\n")
    print("| images | " + " | ".join(SHOWN) + " |\n|---|" + "---|" * len(SHOWN))
    for name, found in rows.items():
        print(f"| {name} | " + " | ".join(f"{found[key]:.3f}" for key in SHOWN) + " |")
    twenty = SamplingConfig("dpm++", 20, args.guidance)
    alone = best_seconds(lambda: generator.sample(conditioning[:1], (0,), twenty))
    together = best_seconds(lambda: generator.sample(conditioning[:8], range(8), twenty)) / 8
    print(f"\n20 steps: {alone:.3f} s for one image, {together:.3f} s an image in a batch of 8")


if __name__ == "__main__":
    main()
