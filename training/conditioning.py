"""Stage 3c: the conditioning of one caption a render, which the denoiser trains on.

    python -m training.conditioning --work build/gair-mini [--n 80000]

Writes `conditioning.npy`, float16 `[N, 77, 256]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from gair_search.clip import TextTower
from gair_search.world import caption, scene
from training.corpus import SEED
from training.towers import text_tower

BATCH = 250


@torch.inference_mode()
def write_conditioning(tower: TextTower, n: int, target: Path) -> None:
    """The full context of one caption a render; every second caption names everything."""
    states = np.lib.format.open_memmap(target, "w+", np.float16, (n, tower.n_ctx, tower.width))
    rng = np.random.default_rng((SEED, 9))
    for start in tqdm(range(0, n, BATCH), desc="conditioning", mininterval=10):
        scenes = [scene(i) for i in range(start, min(start + BATCH, n))]
        ids = [tower.token_ids(caption(one, rng, full=i % 2 == 0).text) for i, one in enumerate(scenes)]
        with torch.autocast("cpu", torch.bfloat16):
            encoding = tower.encode_ids(ids, full_context=True)
        states[start : start + len(ids)] = encoding.conditioning.to(torch.float16).numpy()
    states.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--n", type=int, default=80_000, help="as many as there are renders")
    args = parser.parse_args()
    tower = text_tower().eval()
    tower.load_state_dict(torch.load(args.work / "text.pt", weights_only=True)["tower"])
    unfinished = args.work / "conditioning.tmp.npy"
    write_conditioning(tower, args.n, unfinished)
    unfinished.rename(args.work / "conditioning.npy")


if __name__ == "__main__":
    main()
