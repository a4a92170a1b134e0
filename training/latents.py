"""Stage 3b: the renders as latents, which the denoiser trains on.

    python -m training.latents --work build/gair-mini [--device cuda]

The autoencoder's `quant_conv` and `post_quant_conv` take up the latents' mean and deviation a channel, so that
latents are standard normal a channel and the pipeline's scaling factor is 1. Writes `vae/` in diffusers' format
and `latents.npy` (float16 `[N, 24, 8, 8]`).
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from training import parallel
from training.autoencoder import autoencoder
from training.checkpoint import averaged_weights
from training.corpus import SEED
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
def encode_images(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Latent means of renders uint8 `[N, 64, 64, 3]`, float32 `[N, C, 8, 8]`."""
    parts = []
    for start in tqdm(range(0, len(images), BATCH), desc="latents", mininterval=10):
        with torch.autocast(images.device.type, torch.bfloat16):
            some = pixels(images, slice(start, start + BATCH))
            parts.append(vae.encode(some).latent_dist.mode().float())
    return torch.cat(parts)


def main() -> None:
    args = parallel.parser(__doc__).parse_args()
    images = parallel.load_array(args.work / "renders.npy", args.device)
    vae = autoencoder().eval()
    state = torch.load(args.work / "vae.pt", weights_only=True, map_location="cpu")
    vae.load_state_dict(averaged_weights(state["averaged"]))
    vae.to(args.device)
    sample = np.random.default_rng((SEED, 10)).permutation(len(images))[:4_000]
    standardise(vae, encode_images(vae, images[torch.from_numpy(np.sort(sample)).to(args.device)]))
    vae.register_to_config(scaling_factor=1.0)
    vae.save_pretrained(args.work / "vae")
    np.save(args.work / "latents.npy", encode_images(vae, images).half().cpu().numpy())


if __name__ == "__main__":
    main()
