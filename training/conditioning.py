"""Stage 3c: the conditioning of one caption a render, which the denoiser trains on.

    python -m training.conditioning --work build/gair-mini [--device cuda]

Writes `conditioning.npy`, float16 `[N, 77, 256]`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import caption, scene
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.encoder.text_tower import TextTower
from training import parallel
from training.corpus import SEED
from training.renders import N_RENDERS

BATCH = 250


@torch.inference_mode()
def conditioning(tower: TextTower, texts: list[str]) -> Tensor:
    """`[len(texts), n_ctx, width]`; "" is the empty caption."""
    ids = [tower.token_ids(text) for text in texts]
    return tower.encode_ids(ids, full_context=True).conditioning.float().clone()


def write_conditioning(tower: TextTower, n: int, target: Path, device: torch.device) -> None:
    """The full context of one caption a render; every second caption names everything."""
    states = np.lib.format.open_memmap(target, "w+", np.float16, (n, tower.n_ctx, tower.width))
    rng = np.random.default_rng((SEED, 9))
    for start in tqdm(range(0, n, BATCH), desc="conditioning", mininterval=10):
        scenes = [scene(i) for i in range(start, min(start + BATCH, n))]
        texts = [caption(one, rng, full=i % 2 == 0).text for i, one in enumerate(scenes)]
        with torch.autocast(device.type, torch.bfloat16):
            states[start : start + len(texts)] = conditioning(tower, texts).half().cpu().numpy()
    states.flush()


def main() -> None:
    parser = parallel.parser(__doc__)
    parser.add_argument("--n", type=int, default=N_RENDERS, help="as many as there are renders")
    args = parser.parse_args()
    tower = Encoder(resolve("gair-mini"), args.device.type).text_tower
    unfinished = args.work / "conditioning.tmp.npy"
    write_conditioning(tower, args.n, unfinished, args.device)
    unfinished.rename(args.work / "conditioning.npy")


if __name__ == "__main__":
    main()
