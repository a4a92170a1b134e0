"""Stage 4: the generator's denoiser, on standard-normal latents.

    python -m training.denoiser --work build/gair-mini [--device cuda]

v-prediction (Salimans and Ho 2022) with min-SNR weights (Hang et al. 2023), a tenth of the captions empty
(classifier-free guidance), an average of the weights. Writes `unet.pt` (resumable), `unet.log.jsonl` and, now
and then, `samples-STEP.png`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from gair_search.benchmarks.fashion_world import full_caption, scene
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from training import parallel
from training.autoencoder import LATENT_CHANNELS
from training.conditioning import conditioning
from training.corpus import SEED
from training.loop import Loop
from training.towers import CONFIG

BATCH = 512
EMPTY_SHARE = 0.1
SNR_CAP = 5.0
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
}
"""Stable Diffusion's noise, with v-prediction."""


def denoiser() -> UNet2DConditionModel:
    """At fresh random weights: 8 x 8 latents, conditioning of the text tower's width."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        # attention where it is cheap: with it at 8 x 8, too, a step takes twice as long
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(96, 144),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=16,
        cross_attention_dim=CONFIG["model_cfg"]["text_cfg"]["width"],
    )


def min_snr_weights(scheduler: DDPMScheduler, steps: Tensor) -> Tensor:
    """Hang et al. 2023, for v-prediction: min(SNR, cap) / (SNR + 1), `[B]`."""
    share = scheduler.alphas_cumprod.to(steps.device)[steps]
    snr = share / (1 - share)
    return snr.clamp(max=SNR_CAP) / (snr + 1)


def diffusion_loss(
    unet: nn.Module,
    scheduler: DDPMScheduler,
    latents: Tensor,
    conditioning: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Squared error of v at random steps. Latents `[B, C, h, w]`, conditioning `[B, n_ctx, width]`."""
    device = latents.device
    noise = torch.randn(latents.shape, generator=generator, device=device)
    steps = torch.randint(len(scheduler.alphas_cumprod), (len(latents),), generator=generator, device=device)
    noisy = scheduler.add_noise(latents, noise, steps)
    with torch.autocast(device.type, torch.bfloat16):
        predicted = unet(noisy, steps, conditioning).sample.float()
    error = (predicted - scheduler.get_velocity(latents, noise, steps)).square().mean((1, 2, 3))
    return (min_snr_weights(scheduler, steps) * error).mean()


@torch.inference_mode()
def sample(
    unet: UNet2DConditionModel, conditioning: Tensor, empty: Tensor, steps: int = 20, guidance: float = 4.0
) -> Tensor:
    """DPM-Solver++ with classifier-free guidance: `[B, n_ctx, width]`, `[1, n_ctx, width]` -> latents."""
    scheduler = DPMSolverMultistepScheduler.from_config(SCHEDULE, algorithm_type="dpmsolver++")
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(SEED)
    latents = torch.randn(len(conditioning), unet.config.in_channels, 8, 8, generator=generator)
    latents = latents.to(conditioning)
    both = torch.cat([empty.expand_as(conditioning), conditioning])
    for step in scheduler.timesteps:
        unguided, guided = unet(torch.cat([latents, latents]), step, both).sample.chunk(2)
        latents = scheduler.step(unguided + guidance * (guided - unguided), step, latents).prev_sample
    return latents


@torch.inference_mode()
def grid(vae: AutoencoderKL, latents: Tensor, columns: int = 8) -> Image.Image:
    """The decoded images in rows, twice as large."""
    images = vae.decode(latents).sample.clamp(-1, 1).add(1).mul(127.5).byte()
    rows = [torch.cat(list(row), dim=2) for row in images.split(columns)]
    array = torch.cat(rows, dim=1).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array).resize((2 * array.shape[1], 2 * array.shape[0]), Image.Resampling.BICUBIC)


class Data:
    """Latents and the conditioning of their captions; some captions are empty."""

    def __init__(self, work: Path, empty: Tensor) -> None:
        self.latents = parallel.load_array(work / "latents.npy", empty.device)
        self.conditioning = parallel.load_array(work / "conditioning.npy", empty.device)
        self.empty = empty

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """This process's part of a step's latents `[B, C, h, w]` and conditioning `[B, n_ctx, width]`."""
        device = self.empty.device
        rows = parallel.rows_of((SEED, 11, step), len(self.latents), BATCH, device)
        empty = torch.rand(len(rows), generator=generator, device=device) < EMPTY_SHARE
        conditioning = torch.where(empty[:, None, None], self.empty, self.conditioning[rows].float())
        return self.latents[rows].float(), conditioning


def main() -> None:
    parser = parallel.parser(__doc__)
    parser.add_argument("--steps", type=int, default=8_000, help="steps of 512 latents")
    args = parser.parse_args()
    parallel.start()
    torch.manual_seed(SEED)
    tower = Encoder(resolve("gair-mini"), args.device.type).text_tower
    empty = conditioning(tower, [""])
    prompts = conditioning(tower, [full_caption(scene(i, "val")) for i in range(32)])
    data, vae = Data(args.work, empty), AutoencoderKL.from_pretrained(args.work / "vae").to(args.device)
    unet, scheduler = denoiser().to(args.device), DDPMScheduler.from_config(SCHEDULE)
    loop = Loop(args.work / "unet.pt", unet, (5e-3, 1.5e-3), args.steps, decay=0.999)
    for step in loop:
        generator = parallel.noise_source(step, args.device)
        loop.learn(diffusion_loss(unet, scheduler, *data.batch(step, generator), generator))
        if loop.rank == 0 and (loop.done % 2_000 == 0 or loop.done == args.steps):
            picture = grid(vae, sample(loop.averaged.module, prompts, empty))
            picture.save(args.work / f"samples-{loop.done:06d}.png")


if __name__ == "__main__":
    main()
