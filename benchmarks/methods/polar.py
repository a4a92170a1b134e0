"""POLAR (Ryan et al., CVPR 2025): a concept as a low-rank update of the text tower's last layer.

From the paper and the authors' code (adobe-research/polar-vl): the model is frozen; the concept goes by a fixed
word, `sks`, before its class; what is learned is B A, added to the value matrix of the last block's attention, of
rank 1, every row of A held at length 1, B from zero on; the loss is the mean squared difference of the prompts'
text features and the concept images' features, plus 0.1 times the mean square of B; Adam, rate 1e-3, 500 steps,
one prompt for each image, drawn once.

Chosen here: the prompts are drawn from our `PARAPHRASES`, theirs from PALAVRA's list; the drawn prompts repeat where
there are more images. Several concepts in one query, which they add up, are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gair_search.encoder.identity import ModelSpec
from gair_search.encoder.model_settings import read_model_settings
from gair_search.encoder.text_tower import TextTower

IDENTIFIER = "sks"

POLAR_FILE = "polar.json"
"""A file of a model's folder: the settings that suit it, found by measurement. Others take the paper's."""


@dataclass(frozen=True)
class PolarConfig:
    """How an update is learned.

    Attributes:
        rank: of the update.
        steps: how many.
        learning_rate: of Adam.
        regularisation: factor of the mean square of B.
    """

    rank: int = 1
    steps: int = 500
    learning_rate: float = 1e-3
    regularisation: float = 0.1


PAPER = PolarConfig()
"""As the authors' code has them for DeepFashion2 and CLIP ViT-L/14."""


def read_polar_config(spec: ModelSpec) -> PolarConfig:
    """The settings in a model's own folder, else the paper's. Raises ModelError as `read_model_settings`."""
    return read_model_settings(spec, POLAR_FILE, PAPER)


def initial_factors(width: int, rank: int, seed: int) -> Tensor:
    """A, drawn, and B transposed, zero: `[2, rank, width]`. Their product, the update, is zero."""
    draws = torch.Generator().manual_seed(seed)
    factors = torch.zeros(2, rank, width)
    nn.init.kaiming_uniform_(factors[0], a=math.sqrt(5), generator=draws)
    return factors


def add_to_values(weight: Tensor, factors: Tensor) -> Tensor:
    """An attention's stacked query, key and value matrix with V + B A in the place of V, `[3 width, width]`.

    Args:
        weight: `[3 width, width]`.
        factors: A, whose rows count by their direction alone, and B transposed, `[2, rank, width]`.
    """
    a, b = nn.functional.normalize(factors[0], dim=-1), factors[1].T
    query, key, value = weight.chunk(3)
    return torch.cat([query, key, value + b @ a])


def polar_loss(features: Tensor, images: Tensor, b: Tensor, regularisation: float) -> Tensor:
    """mean (features - images)^2 + regularisation mean b^2.

    Args:
        features: of each image's prompt, `[N, embed_dim]`, normalised.
        images: `[N, embed_dim]`, normalised.
        b: the factor B.
    """
    return nn.functional.mse_loss(features, images) + regularisation * b.square().mean()


class LastBlock(nn.Module):
    """A text tower from its last block on. Its parameters are the tower's own, and stay as they are."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        blocks = tower.blocks
        self.text = TextTower(tower.transformer, tower.tokenizer)
        self.text.start_block = len(blocks) - 1
        self._name = f"text.transformer.transformer.resblocks.{len(blocks) - 1}.attn.in_proj_weight"

    def forward(self, hidden: Tensor, end: Tensor) -> Tensor:
        """Text features `[B, embed_dim]` from the hidden states in front of the block `[B, n, text_width]`."""
        return self.text.after_start_block(hidden, end).features

    @torch.no_grad()
    def hidden(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What `forward` takes, of plain texts: no update reaches it."""
        embeddings, end = self.text.embed_ids([self.text.token_ids(text) for text in texts])
        return self.text.before_start_block(embeddings), end

    def with_update(self, hidden: Tensor, end: Tensor, factors: Tensor) -> Tensor:
        """`forward` with the value matrix updated; gradients flow to the factors `[2, rank, text_width]`."""
        weight = add_to_values(self.get_parameter(self._name), factors)
        features: Tensor = torch.func.functional_call(self, {self._name: weight}, (hidden, end))
        return features


def learn_update(
    tower: TextTower, texts: Sequence[str], images: Tensor, config: PolarConfig = PAPER, seed: int = 0
) -> Tensor:
    """Lower `polar_loss` over the factors alone.

    Args:
        tower: frozen.
        texts: a prompt for each image, with the identifier and the class.
        images: features of the concept images, `[N, embed_dim]`, normalised.
        config: the paper's unless given.
        seed: of A's first direction.

    Returns:
        factors `[2, rank, text_width]`; A's rows have length 1.
    """
    last = LastBlock(tower)
    hidden, end = last.hidden(texts)
    factors = initial_factors(tower.width, config.rank, seed).to(hidden).requires_grad_(True)
    optim = torch.optim.Adam([factors], lr=config.learning_rate)
    for _ in range(config.steps):
        optim.zero_grad()
        features = last.with_update(hidden, end, factors)
        loss = polar_loss(features, images.to(features), factors[1], config.regularisation)
        loss.backward()  # type: ignore[no-untyped-call]
        optim.step()
    a, b = factors.detach()
    return torch.stack([nn.functional.normalize(a, dim=-1), b])


@torch.no_grad()
def text_features_with_update(tower: TextTower, texts: Sequence[str], factors: Tensor) -> Tensor:
    """Text features `[len(texts), embed_dim]` of plain texts, with an update `[2, rank, text_width]`."""
    last = LastBlock(tower)
    hidden, end = last.hidden(texts)
    return last.with_update(hidden, end, factors.to(hidden))
