"""Stage 3b: the renders as latents, which the denoiser trains on.

    python -m training.latents --work build/gair-mini

The autoencoder's `quant_conv` and `post_quant_conv` take up the latents' mean and deviation a channel, so that
latents are standard normal a channel and the pipeline's scaling factor is 1. Writes `vae/` in diffusers' format
and `latents.npy` (float16 `[N, 24, 8, 8]`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from training.autoencoder import autoencoder
from training.corpus import SEED
from training.package import averaged
from training.renders import pixels

BATCH = 250


@torch.no_grad()
def standardise(vae: AutoencoderKL, latents: torch.Tensor) -> None:
    """Fold the latents' mean and deviation a channel into the 1 x 1 convolutions beside them.

    Args:
        vae: changed in place; what it decodes stays the same.
        latents: `[N, C, h, w]` as it makes them now.
    """
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    n = len(mean)
    quant, back = vae.quant_conv, vae.post_quant_conv
    quant.weight[:n] /= std[:, None, None, None]
    quant.bias[:n] = (quant.bias[:n] - mean) / std
    quant.bias[n:] -= 2 * std.log()  # the posterior's log variances
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= std[None, :, None, None]


@torch.inference_mode()
def encode_images(vae: AutoencoderKL, images: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    """Latent means of some renders, float32 `[len(rows), C, 8, 8]`."""
    parts = []
    for start in tqdm(range(0, len(rows), BATCH), desc="latents", mininterval=10):
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(vae.encode(pixels(images, rows[start : start + BATCH])).latent_dist.mode().float())
    return torch.cat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    work = parser.parse_args().work
    images = np.load(work / "renders.npy", mmap_mode="r")
    vae = autoencoder().eval()
    vae.load_state_dict(averaged(torch.load(work / "vae.pt", weights_only=True)["averaged"]))
    sample = np.random.default_rng((SEED, 10)).permutation(len(images))[:4_000]
    standardise(vae, encode_images(vae, images, np.sort(sample)))
    vae.register_to_config(scaling_factor=1.0)
    vae.save_pretrained(work / "vae")
    latents = encode_images(vae, images, np.arange(len(images)))
    np.save(work / "latents.npy", latents.half().numpy())


if __name__ == "__main__":
    main()
