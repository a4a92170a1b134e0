"""Stage 4: the generator's denoiser, on standard-normal latents.

    python -m training.denoiser --work build/gair-mini

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

from gair_search.world import full_caption, scene
from training import checkpoint
from training.corpus import SEED
from training.schedule import rate
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
    """At fresh random weights: 8 x 8 latents of 12 channels, conditioning of the text tower's width."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=12,
        out_channels=12,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
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


def optimizers(unet: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for convolutions, norms and biases."""
    matrices = [p for p in unet.parameters() if p.ndim == 2]
    rest = [p for p in unet.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=1e-3, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=8e-4, weight_decay=0.0, betas=(0.9, 0.99)),
    ]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=8_000, help="steps of 128 latents")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    latents = torch.from_numpy(np.load(args.work / "latents.npy"))
    conditioning = np.load(args.work / "conditioning.npy", mmap_mode="r")
    tower = text_tower().eval()
    tower.load_state_dict(torch.load(args.work / "text.pt", weights_only=True)["tower"])
    shown = [full_caption(scene(i, "val")) for i in range(32)]
    with torch.inference_mode():
        empty = tower.encode_ids([[]], full_context=True).conditioning
        prompts = tower.encode_ids([tower.token_ids(text) for text in shown], full_context=True).conditioning
    empty, prompts = empty.clone(), prompts.clone()
    vae = AutoencoderKL.from_pretrained(args.work / "vae")
    unet, scheduler = denoiser(), DDPMScheduler.from_config(SCHEDULE)
    averaged = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optims, first = optimizers(unet), 0
    peaks = [optim.param_groups[0]["lr"] for optim in optims]
    state = checkpoint.load(args.work / "unet.pt")
    if state:
        unet.load_state_dict(state["unet"])
        averaged.load_state_dict(state["averaged"])
        for optim, saved in zip(optims, state["optims"], strict=True):
            optim.load_state_dict(saved)
        first = state["step"]
    began, losses = time.time(), []
    for step in tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10):
        rng, generator = np.random.default_rng((SEED, 11, step)), torch.Generator().manual_seed(step)
        rows = np.sort(rng.integers(len(latents), size=BATCH))
        told = torch.from_numpy(conditioning[rows]).float()
        told[torch.from_numpy(rng.random(BATCH) < EMPTY_SHARE)] = empty
        for optim, peak in zip(optims, peaks, strict=True):
            optim.param_groups[0]["lr"] = peak * rate(step / args.steps)
        loss = diffusion_loss(unet, scheduler, latents[rows].float(), told, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad()
        averaged.update_parameters(unet)
        losses.append(loss.item())
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            record = {"step": step + 1, "loss": float(np.mean(losses)), "seconds": time.time() - began}
            losses = []
            checkpoint.log(args.work / "unet.log.jsonl", record)
            state = {
                "unet": unet.state_dict(),
                "averaged": averaged.state_dict(),
                "optims": [optim.state_dict() for optim in optims],
                "step": step + 1,
            }
            checkpoint.save(args.work / "unet.pt", state)
        if (step + 1) % 1_000 == 0 or step + 1 == args.steps:
            picture = grid(vae, sample(averaged.module, prompts, empty))
            picture.save(args.work / f"samples-{step + 1:06d}.png")


if __name__ == "__main__":
    main()
