"""Stages under torchrun: one process a core, each with its part of a batch, all with the same weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that the generator's stages share."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    made.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    return made


def start() -> None:
    """Meet the other processes of torchrun; without torchrun there are none."""
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    torch.set_float32_matmul_precision("high")


def rank() -> tuple[int, int]:
    """(number of this process, how many there are)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def part(size: int) -> slice:
    """This process's part of a batch."""
    number, ranks = rank()
    return slice(number * size // ranks, (number + 1) * size // ranks)


def average_gradients(model: nn.Module) -> None:
    """The mean of all processes' gradients, in each of them."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def load_array(path: Path, device: torch.device) -> Tensor:
    """An array on disk: mapped into memory for the CPU, copied to any other device."""
    return torch.from_numpy(np.load(path, mmap_mode="c")).to(device)


def rows_of(seed: tuple[int, ...], n: int, batch: int, device: torch.device) -> Tensor:
    """This process's part of a batch of row numbers below n, `[B]`; ascending, which reads a disk in order."""
    rows = np.sort(np.random.default_rng(seed).integers(n, size=batch))[part(batch)]
    return torch.from_numpy(rows).to(device)


def noise_source(step: int, device: torch.device) -> torch.Generator:
    """Noise of a step, another one in each process."""
    number, ranks = rank()
    return torch.Generator(device).manual_seed(step * ranks + number)
