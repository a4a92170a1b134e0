"""SToRI (Kim et al. 2024): token weights as additions to the attention mask. Pure functions over tensors."""

import torch
from torch import Tensor

PAPER_START_FRACTION = 6 / 12
"""The paper reweights from the 7th of 12 blocks on; other towers from the same fraction of their depth."""


def start_block(n_blocks: int, fraction: float = PAPER_START_FRACTION) -> int:
    """0-based index of the first reweighted block: 6 of 12 (the paper's 7th), 2 of 4.

    Args:
        n_blocks: depth of the text tower.
        fraction: share of the blocks, in 0..1, that is left alone. 0 reweights every block.
    """
    return min(max(round(n_blocks * fraction), 0), n_blocks)


def causal_mask(n_ctx: int, device: torch.device | None = None) -> Tensor:
    """CLIP's additive mask `[n_ctx, n_ctx]`: 0 on and below the diagonal, -inf above."""
    return torch.full((n_ctx, n_ctx), float("-inf"), device=device).triu(1)


def reweighted_mask(mask: Tensor, token_weights: Tensor) -> Tensor:
    """Equation 4 as a mask: softmax(q k + log w) = w exp(q k) / sum_j w_j exp(q k_j), exactly.

    Args:
        mask: additive attention mask `[n_ctx, n_ctx]`.
        token_weights: `[B, n_ctx]`, >= 0. 1 changes nothing, 0 masks the token. The start token's
            must be positive, or the first row would have nothing to attend to.

    Returns:
        `[B, n_ctx, n_ctx]`; column n of row m is `mask[m, n] + log w_n`. Differentiable where w > 0.
    """
    return mask.unsqueeze(0) + token_weights.log().unsqueeze(1)
