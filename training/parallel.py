"""Stages under torchrun: one process a core, each with its part of a batch, all with the same weights."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


def start() -> tuple[int, int]:
    """(number of this process, how many there are); (0, 1) without torchrun."""
    if not dist.is_torchelastic_launched():
        return 0, 1
    dist.init_process_group("gloo")
    return dist.get_rank(), dist.get_world_size()


def part(size: int, rank: int, ranks: int) -> slice:
    """A process's part of a batch."""
    return slice(rank * size // ranks, (rank + 1) * size // ranks)


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
