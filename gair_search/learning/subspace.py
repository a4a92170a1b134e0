"""The attribute subspace (Perera et al., section 4.3): where words live that compose well with a parent.

Pure functions over tensors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_NO_DIRECTION = 1e-5
"""Singular values below this share of the largest are rounding, no direction of the attributes."""


@dataclass(frozen=True)
class Subspace:
    """An affine subspace of token embeddings.

    Attributes:
        mean: mu, `[text_width]`.
        basis: orthonormal rows, the main direction first, `[rank, text_width]`; P = basis^T basis.
        spread: the attributes' standard deviation along each row, `[rank]`.
    """

    mean: Tensor
    basis: Tensor
    spread: Tensor

    @property
    def rank(self) -> int:
        """Dimensions that a projected vector can move in."""
        return len(self.basis)


def attribute_subspace(embeddings: Tensor, rank: int | None = None) -> Subspace:
    """Mean and principal directions of the attributes' average token embeddings.

    Args:
        embeddings: one attribute a row, `[N, text_width]`, N >= 2.
        rank: how many directions to keep; as many as there are (at most N - 1) unless given.
    """
    mean = embeddings.mean(0)
    _, values, directions = torch.linalg.svd(embeddings - mean, full_matrices=False)
    real = int((values > _NO_DIRECTION * values[0]).sum())
    kept = real if rank is None else min(rank, real)
    return Subspace(mean, directions[:kept], values[:kept] / (len(embeddings) - 1) ** 0.5)


def project(vectors: Tensor, subspace: Subspace | None) -> Tensor:
    """P (e - mu) + mu: the nearest vectors in the subspace, `[..., text_width]`; as they are where it is None."""
    if subspace is None:
        return vectors
    return (vectors - subspace.mean) @ subspace.basis.T @ subspace.basis + subspace.mean


def coordinates(vectors: Tensor, subspace: Subspace) -> Tensor:
    """Where vectors lie in the subspace, in the attributes' standard deviations: `[..., rank]`."""
    return (vectors - subspace.mean) @ subspace.basis.T / subspace.spread


def from_coordinates(places: Tensor, subspace: Subspace) -> Tensor:
    """The vectors `[..., text_width]` with these coordinates; `from_coordinates(coordinates(e))` is `project(e)`."""
    return (places * subspace.spread) @ subspace.basis + subspace.mean
