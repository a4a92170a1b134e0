"""The text tower: token embeddings and token weights -> text features and conditioning."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from gair_search.encoder.reweighting import (
    PAPER_START_FRACTION,
    causal_mask,
    reweighted_mask,
    start_block,
)
from gair_search.errors import PromptError

LOGIT_SCALE = 100.0
"""1 / temperature of CLIP's similarities (Radford et al. 2021), where a checkpoint doesn't say."""

TEXTS_AT_ONCE = 256
"""Plain texts that go through the text tower in one batch."""


@dataclass(frozen=True)
class TextEncoding:
    """What the text tower makes of a batch of prompts.

    Attributes:
        features: text features, float32 `[B, embed_dim]`, L2-normalised.
        conditioning: per-token output after the final LayerNorm, `[B, n_ctx, text_width]`.
    """

    features: Tensor
    conditioning: Tensor


class TextTower(nn.Module):
    """open_clip's own causal text transformer, fed with token embeddings instead of token ids.

    Ids stay those of the plain prompt and pooling goes by the end token's *place*: a custom token
    replaces embeddings only, so no placeholder id can hijack the pooling.
    """

    def __init__(
        self,
        tower: Any,
        tokenizer: Any,
        start_fraction: float = PAPER_START_FRACTION,
        logit_scale: float = LOGIT_SCALE,
    ) -> None:
        """Wrap an open_clip model's text tower.

        Args:
            tower: open_clip's `TextTransformer`, which stays at hand as `transformer`.
            tokenizer: open_clip's `SimpleTokenizer`.
            start_fraction: share of the blocks, in 0..1, that token weights leave alone.
            logit_scale: what the model was trained to multiply cosine similarities with, 1 / temperature.
        """
        super().__init__()
        self.transformer = tower
        self.tokenizer = tokenizer
        self.logit_scale = logit_scale
        self.start_block = start_block(len(self.blocks), start_fraction)

    @staticmethod
    def can_drive(tower: Any, tokenizer: Any) -> bool:
        """Whether this class encodes texts as an open_clip text tower does, and so can take its place.

        Args:
            tower: any text tower; that of `CLIP` as `FlattenedText`.
            tokenizer: of the model.

        Returns:
            True for causal transformers with CLIP's tokenizer whose features stand at the end token.
        """
        from open_clip import SimpleTokenizer

        pool_type = getattr(tower, "pool_type", None)
        return (
            isinstance(tokenizer, SimpleTokenizer)
            and getattr(tower, "attn_mask", None) is not None
            and getattr(tower, "cls_emb", None) is None
            and (pool_type == "argmax" or (pool_type == "eos" and tower.eos_id == tokenizer.eot_token_id))
        )

    @property
    def n_ctx(self) -> int:
        """Places of the context, start and end tokens included (CLIP: 77)."""
        return int(self.transformer.context_length)

    @property
    def width(self) -> int:
        """text_width: length of a token embedding."""
        return int(self.token_table.shape[1])

    @property
    def blocks(self) -> nn.ModuleList:
        """The attention blocks, the first one first."""
        blocks: nn.ModuleList = self.transformer.transformer.resblocks
        return blocks

    @property
    def token_table(self) -> Tensor:
        """The input table, `[vocabulary, text_width]`, detached: a row is a token embedding."""
        table: Tensor = self.transformer.token_embedding.weight.detach()
        return table

    @property
    def device(self) -> torch.device:
        """Where the tower computes."""
        return self.token_table.device

    @property
    def start_id(self) -> int:
        """Id of the start token."""
        return int(self.tokenizer.sot_token_id)

    @property
    def end_id(self) -> int:
        """Id of the end token."""
        return int(self.tokenizer.eot_token_id)

    @cached_property
    def table_hash(self) -> str:
        """Identity of the token table, which custom tokens are bound to: 16 hex digits."""
        table = self.token_table.to("cpu", torch.float32).contiguous()
        return hashlib.sha256(table.numpy().tobytes()).hexdigest()[:16]

    def token_ids(self, text: str) -> list[int]:
        """BPE ids of a text, without start and end tokens."""
        return list(self.tokenizer.encode(text))

    def piece(self, token_id: int) -> str:
        """The text of one BPE piece."""
        return str(self.tokenizer.decode([token_id])).strip()

    def token_embeddings(self, ids: Tensor) -> Tensor:
        """Rows of the input table: ids `[...]` -> `[..., text_width]`."""
        return self.transformer.token_embedding(ids)  # type: ignore[no-any-return]

    def forward(self, embeddings: Tensor, end: Tensor, token_weights: Tensor | None = None) -> TextEncoding:
        """Encode prompts that are given as token embeddings.

        The tower is causal, so the batch may be cut to its longest prompt without changing `features`;
        a generator wants the full context.

        Args:
            embeddings: `[B, n_ctx, text_width]`, start and end tokens included, padded after the end (for a
                generator, with the end token: see `encode_ids`).
            end: place of each end token, `[B]`.
            token_weights: SToRI's w, `[B, n_ctx]`, >= 0, or None for all 1. Applied from
                `self.start_block` on (Kim et al. 2024, section 3.1).

        Returns:
            features `[B, embed_dim]` and conditioning `[B, n_ctx, text_width]`; gradients flow to
            `embeddings` and `token_weights`.
        """
        return self.after_start_block(self.before_start_block(embeddings), end, token_weights)

    def before_start_block(self, embeddings: Tensor) -> Tensor:
        """The first half of `forward`, which no token weight reaches.

        Args:
            embeddings: as for `forward`.

        Returns:
            hidden states `[B, n_ctx, text_width]` in front of the block `self.start_block`.
        """
        n_ctx = embeddings.shape[1]
        mask = causal_mask(n_ctx, embeddings.device)
        x: Tensor = embeddings + self.transformer.positional_embedding[:n_ctx]
        for block in self.transformer.transformer.resblocks[: self.start_block]:
            x = block(x, attn_mask=mask)
        return x

    def after_start_block(
        self, hidden: Tensor, end: Tensor, token_weights: Tensor | None = None
    ) -> TextEncoding:
        """The second half of `forward`, from the hidden states of `before_start_block` on.

        Args:
            hidden: `[B, n_ctx, text_width]`.
            end, token_weights: as for `forward`.

        Returns:
            as `forward`; gradients flow to `hidden` and `token_weights`.
        """
        tower = self.transformer
        mask = causal_mask(hidden.shape[1], hidden.device)
        if token_weights is not None:
            # attention takes one mask a head: [B * heads, n_ctx, n_ctx]
            mask = reweighted_mask(mask, token_weights).repeat_interleave(tower.heads, dim=0)
        x = hidden
        for block in tower.transformer.resblocks[self.start_block :]:
            x = block(x, attn_mask=mask)
        conditioning = tower.ln_final(x)
        # in float32 whatever autocast made of it: half-precision norms are off by 0.2%
        raw = self.raw_features(conditioning, end).float()
        return TextEncoding(nn.functional.normalize(raw, dim=-1), conditioning)

    def raw_features(self, conditioning: Tensor, end: Tensor) -> Tensor:
        """Text features before they are normalised, `[B, embed_dim]`; arguments as of `TextEncoding`, `forward`."""
        pooled = conditioning[torch.arange(len(end), device=end.device), end]
        projection = self.transformer.text_projection
        if isinstance(projection, nn.Linear):
            pooled = projection(pooled)
        elif projection is not None:
            pooled = pooled @ projection
        return pooled

    def encode_ids(self, ids: Sequence[Sequence[int]], full_context: bool = False) -> TextEncoding:
        """Encode plain token ids.

        The places after the end token hold the end token again, as Stable Diffusion 1.x pads; so
        conditioning equals that of diffusers' pipelines (and of `pipeline.assemble`'s folders) place by
        place. open_clip itself pads with 0, which gives the same features, the tower being causal, but
        other conditioning after the end.

        Args:
            ids: `[B]` rows of ids without start and end tokens, at most `n_ctx - 2` each.
            full_context: all `n_ctx` places, as a generator wants them; else cut to the longest row.

        Returns:
            features `[B, embed_dim]` and conditioning `[B, length, text_width]`.
        """
        encoding: TextEncoding = self(*self.embed_ids(ids, full_context))
        return encoding

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Features of plain texts, brackets meaning themselves: `[N, embed_dim]`, L2-normalised, in batches.

        Args:
            texts: one or more, each of at most `n_ctx - 2` tokens.
        """
        ids = [self.token_ids(text) for text in texts]
        parts = [ids[i : i + TEXTS_AT_ONCE] for i in range(0, len(ids), TEXTS_AT_ONCE)]
        return torch.cat([self.encode_ids(part).features for part in parts])

    def embed_ids(self, ids: Sequence[Sequence[int]], full_context: bool = False) -> tuple[Tensor, Tensor]:
        """Plain token ids laid out as `forward` takes them; the arguments are those of `encode_ids`.

        Returns:
            embeddings `[B, length, text_width]` and places of the end tokens `[B]`.
        """
        start, stop = self.start_id, self.end_id
        length = self.n_ctx if full_context else max(map(len, ids)) + 2
        rows = torch.full((len(ids), length), stop, dtype=torch.long, device=self.device)
        for row, own in zip(rows, ids, strict=True):
            row[: len(own) + 2] = torch.tensor([start, *own, stop])
        end = torch.tensor([len(own) + 1 for own in ids], device=self.device)
        return self.token_embeddings(rows), end


class PlainTextTower(nn.Module):
    """Any text tower of open_clip's that ours can't drive, with its own tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Features of plain texts, `[N, embed_dim]`, L2-normalised, in batches.

        Raises:
            PromptError: the tokenizer would cut a text.
        """
        own, room = getattr(self.tokenizer, "tokenizer", self.tokenizer), int(self.tokenizer.context_length)
        for text in texts:
            if (n := len(own.encode(text))) > room:
                raise PromptError(f"the prompt has {n} tokens and the model takes {room}; shorten it", text)
        device = next(self.model.parameters()).device
        parts = [texts[i : i + TEXTS_AT_ONCE] for i in range(0, len(texts), TEXTS_AT_ONCE)]
        raw = [self.model.encode_text(self.tokenizer(list(part)).to(device)).float() for part in parts]
        return nn.functional.normalize(torch.cat(raw), dim=-1)
