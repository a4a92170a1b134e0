"""Stage 4: the generator's denoiser, on standard-normal latents.

    torchrun --nproc-per-node 2 -m training.denoiser --work build/gair-mini

(One process a core is faster than two threads of one; plain `python -m` works, too, with the same batches.)
v-prediction (Salimans and Ho 2022) with min-SNR weights (Hang et al. 2023), a tenth of the captions empty
(classifier-free guidance), an average of the weights. Writes `unet.pt` (resumable), `unet.log.jsonl` and, now
and then, `samples-STEP.png`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from gair_search.clip import TextTower
from gair_search.world import full_caption, scene
from training import checkpoint, parallel
from training.autoencoder import LATENT_CHANNELS
from training.corpus import SEED
from training.optim import MuonAdamW
from training.towers import CONFIG, text_tower

BATCH = 128
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
    share = scheduler.alphas_cumprod[steps]
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
    noise = torch.randn(latents.shape, generator=generator)
    steps = torch.randint(len(scheduler.alphas_cumprod), (len(latents),), generator=generator)
    noisy = scheduler.add_noise(latents, noise, steps)
    with torch.autocast("cpu", torch.bfloat16):
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
    both = torch.cat([empty.expand_as(conditioning), conditioning])
    for step in scheduler.timesteps:
        without, told = unet(torch.cat([latents, latents]), step, both).sample.chunk(2)
        latents = scheduler.step(without + guidance * (told - without), step, latents).prev_sample
    return latents


@torch.inference_mode()
def grid(vae: AutoencoderKL, latents: Tensor, columns: int = 8) -> Image.Image:
    """The decoded images in rows, twice as large."""
    images = vae.decode(latents).sample.clamp(-1, 1).add(1).mul(127.5).byte()
    rows = [torch.cat(list(row), dim=2) for row in images.split(columns)]
    array = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
    return Image.fromarray(array).resize((2 * array.shape[1], 2 * array.shape[0]), Image.Resampling.BICUBIC)


class Data:
    """Latents and the conditioning of their captions; some captions are empty."""

    def __init__(self, work: Path, empty: Tensor) -> None:
        self.latents = torch.from_numpy(np.load(work / "latents.npy"))
        self.conditioning = np.load(work / "conditioning.npy", mmap_mode="r")
        self.empty = empty

    def batch(self, step: int, part: slice) -> tuple[Tensor, Tensor]:
        """Part of a step's latents `[B, C, h, w]` and conditioning `[B, n_ctx, width]`."""
        rng = np.random.default_rng((SEED, 11, step))
        rows = np.sort(rng.integers(len(self.latents), size=BATCH))[part]
        told = torch.from_numpy(self.conditioning[rows]).float()
        told[torch.from_numpy(rng.random(BATCH) < EMPTY_SHARE)[part]] = self.empty
        return self.latents[rows].float(), told


@torch.inference_mode()
def conditioning(tower: TextTower, texts: list[str]) -> Tensor:
    """`[len(texts), n_ctx, width]`; "" is the empty caption."""
    ids = [tower.token_ids(text) for text in texts]
    return tower.encode_ids(ids, full_context=True).conditioning.clone()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=6_000, help="steps of 128 latents")
    args = parser.parse_args()
    rank, ranks = parallel.start()
    part = parallel.part(BATCH, rank, ranks)
    torch.manual_seed(SEED)
    tower = text_tower().eval()
    tower.load_state_dict(torch.load(args.work / "text.pt", weights_only=True)["tower"])
    empty = conditioning(tower, [""])
    prompts = conditioning(tower, [full_caption(scene(i, "val")) for i in range(32)])
    data, vae = Data(args.work, empty), AutoencoderKL.from_pretrained(args.work / "vae")
    unet, scheduler = denoiser(), DDPMScheduler.from_config(SCHEDULE)
    averaged = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(0.998))
    optim, first = MuonAdamW(unet, muon_lr=5e-3, adamw_lr=1.5e-3), 0
    state = checkpoint.load(args.work / "unet.pt")
    if state:
        unet.load_state_dict(state["unet"])
        averaged.load_state_dict(state["averaged"])
        optim.load_state_dict(state["optim"])
        first = state["step"]
    began, losses = time.time(), []
    for step in tqdm(
        range(first, args.steps), initial=first, total=args.steps, mininterval=10, disable=rank > 0
    ):
        generator = torch.Generator().manual_seed(step * ranks + rank)
        loss = diffusion_loss(unet, scheduler, *data.batch(step, part), generator)
        loss.backward()
        parallel.average_gradients(unet)
        optim.step(step / args.steps)
        averaged.update_parameters(unet)
        losses.append(loss.item())
        done = step + 1
        if rank == 0 and (done % 250 == 0 or done == args.steps):
            record = {"step": done, "loss": float(np.mean(losses)), "seconds": time.time() - began}
            losses = []
            checkpoint.log(args.work / "unet.log.jsonl", record)
            state = {
                "unet": unet.state_dict(),
                "averaged": averaged.state_dict(),
                "optim": optim.state_dict(),
                "step": done,
            }
            checkpoint.save(args.work / "unet.pt", state)
        if rank == 0 and (done % 1_000 == 0 or done == args.steps):
            picture = grid(vae, sample(averaged.module, prompts, empty))
            picture.save(args.work / f"samples-{done:06d}.png")


if __name__ == "__main__":
    main()
