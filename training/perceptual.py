"""How alike two images look to an image tower.

Squared differences of pixels wash out what is small and regular: dots become grey, zigzags become stripes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gair_search.encoder.clip import Encoder

STAGES = ("trunk.blocks.0", "trunk.blocks.1", "trunk.blocks.2", "trunk.blocks.4")
"""1/2 to 1/16 of the image's size."""

FEATURES_WEIGHT = 0.5
"""Of 1 - cosine of the image features, beside the stages."""


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018), unweighted, on a CLIP's own image tower, and the cosine of its image features.

    Args:
        encoder: with a tower of timm's.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.tower, self.size = encoder.image_tower, encoder.preprocessing.size
        mean, std = encoder.preprocessing.mean, encoder.preprocessing.std
        self.register_buffer("mean", torch.tensor(mean, device=encoder.device).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, device=encoder.device).view(1, 3, 1, 1))
        self._seen: list[Tensor] = []
        for name in STAGES:
            self.tower.get_submodule(name).register_forward_hook(lambda _m, _i, out: self._seen.append(out))

    def look(self, images: Tensor) -> list[Tensor]:
        """Activations of the stages, a unit vector a place, and the image features; `[B, 3, H, W]` in -1..1."""
        large = nn.functional.interpolate(images, self.size, mode="bicubic", antialias=True)
        self._seen.clear()
        features = self.tower((large / 2 + 0.5 - self.mean) / self.std)
        return [nn.functional.normalize(seen.float(), dim=1) for seen in (*self._seen, features)]

    def forward(self, decoded: Tensor, images: Tensor) -> Tensor:
        """Mean distance of two batches `[B, 3, H, W]`; gradients reach the first one."""
        with torch.no_grad():
            *stages, features = self.look(images)
        *own_stages, own = self.look(decoded)
        total = FEATURES_WEIGHT * (1 - (own * features).sum(1)).mean()
        for a, b in zip(own_stages, stages, strict=True):
            total = total + (a - b).square().sum(1).mean()
        return total
