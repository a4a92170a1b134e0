"""Stage 3: the generator's autoencoder, 64 px to 8 x 8 latents, on the fashion world.

    torchrun --nproc-per-node 2 -m training.autoencoder --work build/gair-mini

Loss: L1 + squared error of the image and of its gradients (edges are what an L1 of few bits smears), and a
faint KL. Writes `vae.pt` (resumable), `vae.log.jsonl`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from tqdm import tqdm

from training import checkpoint, parallel
from training.corpus import SEED
from training.optim import MuonAdamW
from training.renders import SIZE, pixels

BATCH = 64
LATENT_CHANNELS = 24
KL_WEIGHT = 1e-5


def autoencoder() -> AutoencoderKL:
    """At fresh random weights: 64 px RGB <-> 8 x 8 latents of 24 channels."""
    return AutoencoderKL(
        sample_size=SIZE,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=LATENT_CHANNELS,
        mid_block_add_attention=False,
    )


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, across and down."""
    return images[..., :, 1:] - images[..., :, :-1], images[..., 1:, :] - images[..., :-1, :]


def reconstruction_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """L1 and squared error of the pixels, L1 of the edges. `[B, 3, H, W]` in -1..1."""
    edges = sum(
        nn.functional.l1_loss(a, b) for a, b in zip(gradients(decoded), gradients(images), strict=True)
    )
    return nn.functional.l1_loss(decoded, images) + nn.functional.mse_loss(decoded, images) + edges


def step_loss(vae: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, squared error of the decoded sample)."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample()).sample.float()
    kl = posterior.kl().float().mean()
    return reconstruction_loss(decoded, images) + KL_WEIGHT * kl, nn.functional.mse_loss(decoded, images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=2_400, help="steps of 64 images")
    args = parser.parse_args()
    rank, ranks = parallel.start()
    part = parallel.part(BATCH, rank, ranks)
    torch.manual_seed(SEED)
    images = np.load(args.work / "renders.npy", mmap_mode="r")
    vae = autoencoder()
    optim = MuonAdamW(vae, muon_lr=8e-3, adamw_lr=2e-3)
    averaged = torch.optim.swa_utils.AveragedModel(
        vae, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    first, state = 0, checkpoint.load(args.work / "vae.pt")
    if state:
        vae.load_state_dict(state["vae"])
        averaged.load_state_dict(state["averaged"])
        optim.load_state_dict(state["optim"])
        first = state["step"]
    began, errors = time.time(), []
    for step in tqdm(
        range(first, args.steps), initial=first, total=args.steps, mininterval=10, disable=rank > 0
    ):
        rows = np.random.default_rng((SEED, 3, step)).integers(len(images), size=BATCH)
        torch.manual_seed(step * ranks + rank)
        loss, error = step_loss(vae, pixels(images, rows[part]))
        loss.backward()
        parallel.average_gradients(vae)
        optim.step(step / args.steps)
        averaged.update_parameters(vae)
        errors.append(error.item())
        if rank == 0 and ((step + 1) % 100 == 0 or step + 1 == args.steps):
            record = {"step": step + 1, "mse": float(np.mean(errors)), "seconds": time.time() - began}
            errors = []
            checkpoint.log(args.work / "vae.log.jsonl", record)
            state = {
                "vae": vae.state_dict(),
                "averaged": averaged.state_dict(),
                "optim": optim.state_dict(),
                "step": step + 1,
            }
            checkpoint.save(args.work / "vae.pt", state)


if __name__ == "__main__":
    main()
