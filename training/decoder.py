"""Stage 3d: the autoencoder's decoder alone, for longer; latents, and with them the denoiser, stay as they are.

    python -m training.decoder --work build/gair-mini [--device cuda]

Writes `decoder.pt` (resumable), `decoder.log.jsonl`, and at the end the decoder into `vae/`.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn

from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from training import parallel
from training.autoencoder import BATCH, image_loss
from training.corpus import SEED
from training.loop import Loop
from training.perceptual import PerceptualDistance
from training.renders import pixels

NOISE = 0.1
"""Deviation of the noise on standard-normal latents: the denoiser's are not exact either."""


def main() -> None:
    parser = parallel.parser(__doc__)
    parser.add_argument("--steps", type=int, default=4_000, help="steps of 256 images")
    args = parser.parse_args()
    parallel.start()
    images = parallel.load_array(args.work / "renders.npy", args.device)
    latents = parallel.load_array(args.work / "latents.npy", args.device)
    distance = PerceptualDistance(Encoder(resolve("gair-mini"), args.device.type))
    vae = AutoencoderKL.from_pretrained(args.work / "vae").to(args.device, memory_format=torch.channels_last)
    model = nn.Sequential(vae.post_quant_conv, vae.decoder).train()
    loop = Loop(args.work / "decoder.pt", model, (5e-3, 1e-3), args.steps, decay=0.998)
    for step in loop:
        rows = parallel.rows_of((SEED, 13, step), len(images), BATCH, args.device)
        clean, target = latents[rows].float(), pixels(images, rows)
        noise = torch.randn(
            clean.shape, generator=parallel.noise_source(step, args.device), device=args.device
        )
        with torch.autocast(args.device.type, torch.bfloat16):
            decoded = model(clean + NOISE * noise).float()
        loop.learn(image_loss(decoded, target, distance), nn.functional.mse_loss(decoded, target))
    if loop.rank == 0:
        model.load_state_dict(loop.averaged.module.state_dict())
        vae.save_pretrained(args.work / "vae")


if __name__ == "__main__":
    main()
