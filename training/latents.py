"""Stage 3b: what the denoiser trains on: latents of the renders, and the conditioning of their captions.

    python -m training.latents --work build/gair-mini

The autoencoder's `quant_conv` and `post_quant_conv` take up the latents' mean and deviation a channel, so that
latents are standard normal a channel and the pipeline's scaling factor is 1. Writes `vae/` in diffusers' format,
`latents.npy` (float16 `[N, 12, 8, 8]`) and `conditioning.npy` (float16 `[N, 77, 256]`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from gair_search.clip import TextTower
from gair_search.world import caption, scene
from training.autoencoder import autoencoder
from training.corpus import SEED
from training.package import averaged
from training.renders import pixels
from training.towers import text_tower

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
    tower = text_tower().eval()
    tower.load_state_dict(torch.load(work / "text.pt", weights_only=True)["tower"])
    write_conditioning(tower, len(images), work / "conditioning.npy")


if __name__ == "__main__":
    main()
