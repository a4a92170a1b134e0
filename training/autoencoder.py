"""Stage 3: the generator's autoencoder, 64 px to 8 x 8 latents, on the fashion world.

    python -m training.autoencoder --work build/gair-mini [--device cuda]

Loss: L1 + squared error of the image and of its gradients (edges are what an L1 of few bits smears), how alike
the two look to gair-mini's image tower, and a faint KL. Writes `vae.pt` (resumable), `vae.log.jsonl`.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from training import parallel
from training.corpus import SEED
from training.loop import Loop
from training.perceptual import PerceptualDistance
from training.renders import SIZE, pixels

BATCH = 256
LATENT_CHANNELS = 24
KL_WEIGHT = 1e-5
PERCEPTUAL_WEIGHT = 0.05
LOOKED_AT = 4
"""One image in so many is looked at by the image tower, which costs more than all the rest of a step."""


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


def image_loss(decoded: Tensor, images: Tensor, distance: PerceptualDistance) -> Tensor:
    """What a decoder is trained on: pixels, edges, looks. `[B, 3, H, W]` in -1..1."""
    some = slice(None, None, LOOKED_AT)
    with torch.autocast(images.device.type, torch.bfloat16):
        looks = distance(decoded[some], images[some])
    return reconstruction_loss(decoded, images) + PERCEPTUAL_WEIGHT * looks


def main() -> None:
    parser = parallel.parser(__doc__)
    parser.add_argument("--steps", type=int, default=4_000, help="steps of 256 images")
    args = parser.parse_args()
    parallel.start()
    torch.manual_seed(SEED)
    images = parallel.load_array(args.work / "renders.npy", args.device)
    distance = PerceptualDistance(Encoder(resolve("gair-mini"), args.device.type))
    vae = autoencoder().to(args.device, memory_format=torch.channels_last)
    loop = Loop(args.work / "vae.pt", vae, (8e-3, 2e-3), args.steps, decay=0.998)
    for step in loop:
        batch = pixels(images, parallel.rows_of((SEED, 3, step), len(images), BATCH, args.device))
        noise = parallel.noise_source(step, args.device)
        with torch.autocast(args.device.type, torch.bfloat16):
            posterior = vae.encode(batch).latent_dist
            decoded = vae.decode(posterior.sample(noise)).sample.float()
        kl = posterior.kl().float().mean()
        loss = image_loss(decoded, batch, distance) + KL_WEIGHT * kl
        loop.learn(loss, nn.functional.mse_loss(decoded, batch))


if __name__ == "__main__":
    main()
