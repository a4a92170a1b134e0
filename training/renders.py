"""The fashion world's training images at the generator's size, drawn once.

    python -m training.renders --work build/gair-mini [--n 160000]

Writes `renders.npy`, uint8 `[n, 64, 64, 3]`: image i shows `scene(i)` of the training split.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import render, scene

SIZE = 64
N_RENDERS = 160_000
CHUNK = 1_000


def render_chunk(first: int) -> np.ndarray:
    """Scenes `first` to `first + CHUNK`, uint8 `[CHUNK, SIZE, SIZE, 3]`."""
    return np.stack([np.asarray(render(scene(i), SIZE)) for i in range(first, first + CHUNK)])


def pixels(images: Tensor, rows: Tensor | slice) -> Tensor:
    """Some of the renders `[N, SIZE, SIZE, 3]` as `[B, 3, SIZE, SIZE]` in -1..1."""
    batch = images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--n", type=int, default=N_RENDERS)
    args = parser.parse_args()
    images = np.lib.format.open_memmap(
        args.work / "renders.tmp.npy", "w+", dtype=np.uint8, shape=(args.n, SIZE, SIZE, 3)
    )
    with ProcessPoolExecutor() as pool:
        starts = range(0, args.n, CHUNK)
        for start, chunk in zip(starts, tqdm(pool.map(render_chunk, starts), total=len(starts)), strict=True):
            images[start : start + CHUNK] = chunk
    images.flush()
    (args.work / "renders.tmp.npy").rename(args.work / "renders.npy")


if __name__ == "__main__":
    main()
