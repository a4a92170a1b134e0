"""The learning rate of every stage."""

from __future__ import annotations

import math


def rate(progress: float, warmup: float = 0.01) -> float:
    """Share of the peak learning rate at a progress of 0..1: linear warm-up, then a half cosine to 2%."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
