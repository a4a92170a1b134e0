"""Prompts with a place for the learned vectors, laid out for the text tower."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gair_search.encoder.text_tower import TextEncoding, TextTower

CLASSIFICATION = "image of a {}"
"""t of the classification loss (section 4.2): 'image of a * c'."""

PARAPHRASES = (
    "image of a {}",
    "a photo of a {}",
    "a picture of a {}",
    "a photo of the {}",
    "one {}",
    "a close-up of a {}",
    "a good photo of a {}",
    "a cropped picture of the {}",
    "a photo of one {}",
    "a clear image of the {}",
)
"""Paraphrases of it, for the diffusion loss, against overfitting to one (section 3)."""


@dataclass(frozen=True)
class Slot:
    """A prompt around a place for vectors: its token embeddings before and after it.

    Attributes:
        before: start token and words, `[a, text_width]`.
        after: words and end token, `[b, text_width]`.
        padding: the end token's embedding, `[text_width]`.
        n_ctx: places of the context.
    """

    before: Tensor
    after: Tensor
    padding: Tensor
    n_ctx: int

    @classmethod
    def around(cls, tower: TextTower, before: str, after: str) -> "Slot":
        """`Slot.around(tower, "image of a", "dress")` is 'image of a * dress'."""
        table = tower.token_table
        start, stop = tower.start_id, tower.end_id
        return cls(
            table[torch.tensor([start, *tower.token_ids(before)], device=table.device)],
            table[torch.tensor([*tower.token_ids(after), stop], device=table.device)],
            table[stop],
            tower.n_ctx,
        )

    @classmethod
    def from_template(cls, tower: TextTower, template: str, parent: str) -> "Slot":
        """`template`, its `{}` filled with '* parent'."""
        before, _, after = template.partition("{}")
        return cls.around(tower, before, f"{parent}{after}")

    def length(self, n_vectors: int) -> int:
        """Places that it takes with that many vectors."""
        return len(self.before) + n_vectors + len(self.after)

    def fill(self, vectors: Tensor, full_context: bool = False) -> tuple[Tensor, Tensor]:
        """Embeddings `[B, length or n_ctx, text_width]` and places of the end tokens `[B]`.

        Vectors `[B, n, text_width]`, or of one prompt `[n, text_width]`, n >= 0; a generator wants the full
        context, padded with the end token.
        """
        vectors = vectors if vectors.ndim == 3 else vectors[None]
        n = len(vectors)
        rows = torch.cat([self.before.expand(n, -1, -1), vectors, self.after.expand(n, -1, -1)], dim=1)
        length = rows.shape[1]
        if full_context:
            rows = torch.cat([rows, self.padding.expand(n, self.n_ctx - length, -1)], dim=1)
        return rows, torch.full((n,), length - 1, device=rows.device)

    def encode(self, tower: TextTower, vectors: Tensor, full_context: bool = False) -> TextEncoding:
        """The filled prompts through the tower; gradients flow to `vectors`."""
        encoding: TextEncoding = tower(*self.fill(vectors, full_context))
        return encoding
