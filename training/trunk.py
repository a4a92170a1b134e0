"""Stage 2b: what the image tower's frozen half sees, computed once.

    python -m training.trunk --work build/gair-mini

The first four groups of blocks stay as ImageNet trained them: their output, 14 x 14 places of 80 channels,
is stored for all training images of stage 2c, with the features that the untouched network has of the
composites. Writes `trunk.npy` (float16 `[N, 80, 14, 14]`), world images first, then composites, and
`composites.npy` (float32 `[n, 1280]`). An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as pixels
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import (
    Scene,
    instance,
    render,
    scene,
)
from training.composites import composite
from training.image_tower import imagenet_classifier
from training.towers import CONFIG

N_INSTANCES, VIEWS = 12_000, 2
N_COMPOSITES = 10_000
FROZEN_GROUPS = 4
SHAPE = (80, 14, 14)
BATCH = 50
RENDER_SIZES = (96, 128, 128, 160, 224)


def training_scene(index: int) -> Scene:
    """Scene of a row of `trunk.npy`: two views an instance; every second instance is a twin by its names."""
    number, view = divmod(index, VIEWS)
    item = instance(number)
    if number % 2:  # same words as its neighbour, another cut, fabric, trim and emblem
        other = instance(number - 1)
        item = dataclasses.replace(other, entropy=item.entropy)
    return scene(1_000_000 + VIEWS * number + view, item=item)


def training_image(index: int) -> Image.Image:
    """What a row of `trunk.npy` shows."""
    if index < N_INSTANCES * VIEWS:
        size = RENDER_SIZES[int(np.random.default_rng((5, index)).integers(len(RENDER_SIZES)))]
        return render(training_scene(index), size)
    return composite(index - N_INSTANCES * VIEWS)


def preprocess(images: list[Image.Image]) -> Tensor:
    """As the model wants them: `[B, 3, 224, 224]`."""
    cfg = CONFIG["preprocess_cfg"]
    side = CONFIG["model_cfg"]["vision_cfg"]["image_size"]
    sized = [image.resize((side, side), Image.Resampling.BICUBIC) for image in images]
    batch = torch.stack([pixels.to_dtype(pixels.pil_to_tensor(image), scale=True) for image in sized])
    batch = pixels.normalize(batch, cfg["mean"], cfg["std"])
    return batch.contiguous(memory_format=torch.channels_last)


def halves(net: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """(what stays frozen: pixels -> `SHAPE`; what is trained: `SHAPE` -> pooled features `[B, 1280]`)."""
    front = nn.Sequential(net.conv_stem, net.bn1, *net.blocks[:FROZEN_GROUPS])
    back = nn.Sequential(
        *net.blocks[FROZEN_GROUPS:], net.conv_head, net.bn2, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return front, back


def batches(total: int) -> Iterator[range]:
    """Rows in steps of BATCH."""
    return (range(start, min(start + BATCH, total)) for start in range(0, total, BATCH))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    work = parser.parse_args().work
    n_world, total = N_INSTANCES * VIEWS, N_INSTANCES * VIEWS + N_COMPOSITES
    progress = work / "trunk.progress"
    done = int(progress.read_text()) if progress.exists() else 0
    mode = "r+" if done else "w+"
    states = np.lib.format.open_memmap(work / "trunk.npy", mode, np.float16, (total, *SHAPE))
    features = np.lib.format.open_memmap(work / "composites.npy", mode, np.float32, (N_COMPOSITES, 1280))
    front, back = halves(imagenet_classifier().to(memory_format=torch.channels_last))
    for rows in tqdm(list(batches(total)), mininterval=10):
        if rows.stop <= done:
            continue
        images = preprocess([training_image(i) for i in rows])
        with torch.autocast("cpu", torch.bfloat16):
            seen = front(images)
        states[rows.start : rows.stop] = seen.to(torch.float16).numpy()
        if rows.start >= n_world:
            features[rows.start - n_world : rows.stop - n_world] = back(seen.float()).numpy()
        progress.write_text(str(rows.stop))


if __name__ == "__main__":
    main()
