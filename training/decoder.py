"""Stage 3d: the autoencoder's decoder alone, for longer; latents, and with them the denoiser, stay as they are.

    torchrun --nproc-per-node 2 -m training.decoder --work build/gair-mini

Writes `decoder.pt` (resumable), `decoder.log.jsonl`, and at the end the decoder into `vae/`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from training import checkpoint, parallel
from training.autoencoder import BATCH, reconstruction_loss
from training.corpus import SEED
from training.optim import MuonAdamW
from training.renders import pixels

NOISE = 0.1
"""Deviation of the noise on standard-normal latents: the denoiser's are not exact either."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=1_200, help="steps of 64 images")
    args = parser.parse_args()
    rank, ranks = parallel.start()
    part = parallel.part(BATCH, rank, ranks)
    images = np.load(args.work / "renders.npy", mmap_mode="r")
    latents = torch.from_numpy(np.load(args.work / "latents.npy"))
    vae = AutoencoderKL.from_pretrained(args.work / "vae")
    model = nn.Sequential(vae.post_quant_conv, vae.decoder).train()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optim, first = MuonAdamW(model, muon_lr=5e-3, adamw_lr=1e-3), 0
    state = checkpoint.load(args.work / "decoder.pt")
    if state:
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optim.load_state_dict(state["optim"])
        first = state["step"]
    began, errors = time.time(), []
    steps = range(first, args.steps)
    for step in tqdm(steps, initial=first, total=args.steps, mininterval=10, disable=rank > 0):
        rows = np.sort(np.random.default_rng((SEED, 13, step)).integers(len(images), size=BATCH))[part]
        generator = torch.Generator().manual_seed(step * ranks + rank)
        clean, target = latents[rows].float(), pixels(images, rows)
        noisy = clean + NOISE * torch.randn(clean.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            decoded = model(noisy).float()
        reconstruction_loss(decoded, target).backward()
        parallel.average_gradients(model)
        optim.step(step / args.steps)
        averaged.update_parameters(model)
        errors.append(nn.functional.mse_loss(decoded.detach(), target).item())
        done = step + 1
        if rank == 0 and (done % 100 == 0 or done == args.steps):
            record = {"step": done, "mse": float(np.mean(errors)), "seconds": time.time() - began}
            errors = []
            checkpoint.log(args.work / "decoder.log.jsonl", record)
            state = {"model": model.state_dict(), "averaged": averaged.state_dict()}
            checkpoint.save(args.work / "decoder.pt", {**state, "optim": optim.state_dict(), "step": done})
    if rank == 0:
        model.load_state_dict(averaged.module.state_dict())
        vae.save_pretrained(args.work / "vae")


if __name__ == "__main__":
    main()
