"""Ways to make text features of prompts, each a few lines on the library."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, cat, inference_mode

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError, GairError
from gair_search.learning.templates import CLASSIFICATION, Slot
from gair_search.query.compiler import CompiledPrompt, compile_prompt
from gair_search.tokens.custom_token import CustomToken

Method = Callable[[Encoder, Sequence[CompiledPrompt]], NDArray[np.float32]]
"""Prompts of equal length -> text features `[B, embed_dim]`, L2-normalised."""


def compile_prompts(encoder: Encoder, prompts: Sequence[str]) -> list[CompiledPrompt]:
    """Prompts without custom tokens, as the text tower takes them."""
    return [compile_prompt(prompt, encoder.text_tower, no_concept) for prompt in prompts]


def stori(encoder: Encoder, prompts: Sequence[CompiledPrompt]) -> NDArray[np.float32]:
    """SToRI: token weights as factors on attention (Kim et al. 2024, equation 4)."""
    embeddings, end, weights = _batch(prompts)
    return encoder.encode_embeddings(embeddings, end, weights).features.cpu().numpy()


def modified_prompt_weighting(encoder: Encoder, prompts: Sequence[CompiledPrompt]) -> NDArray[np.float32]:
    """Stable Diffusion's prompt weighting, moved to where a single vector can feel it (Kim et al. 2024, C.1).

    Before the block from which SToRI would reweight, a token's state x becomes e + w (x - e), where e is the
    state at its place in the empty prompt: start token, then end tokens, as Stable Diffusion 1.x pads.
    """
    embeddings, end, weights = _batch(prompts)
    tower = encoder.text_tower
    block = tower.blocks[tower.start_block]
    start, stop = tower.start_id, tower.end_id
    ids = torch.tensor([[start] + [stop] * (embeddings.shape[1] - 1)], device=embeddings.device)
    seen: list[Tensor] = []
    with block.register_forward_pre_hook(lambda _, args: seen.append(args[0])):
        encoder.encode_embeddings(
            tower.token_embeddings(ids), torch.ones(1, dtype=torch.long, device=ids.device)
        )
    empty = seen[0]

    def weigh(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (empty + weights.unsqueeze(-1).to(empty) * (args[0] - empty), *args[1:])

    with block.register_forward_pre_hook(weigh):
        return encoder.encode_embeddings(embeddings, end).features.cpu().numpy()


WEIGHTINGS: dict[str, Method] = {
    "SToRI": stori,
    "modified prompt weighting": modified_prompt_weighting,
}
"""What `gair bench preference` compares."""


def _batch(prompts: Sequence[CompiledPrompt]) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings `[B, n, text_width]`, places of the end tokens `[B]`, token weights `[B, n]`."""
    return (
        torch.cat([prompt.embeddings for prompt in prompts]),
        torch.cat([prompt.end for prompt in prompts]),
        torch.cat([prompt.token_weights for prompt in prompts]),
    )


def no_concept(name: str) -> CustomToken:
    """The lookup of prompts without custom tokens. Raises ConceptError."""
    raise ConceptError(f"<{name}>: these prompts have no custom tokens")


def context_conditioning(tower: TextTower, parent: str, vectors: Tensor, contexts: Sequence[str]) -> Tensor:
    """Conditioning of 'image of a * c CONTEXT', `[len(contexts), n_ctx, text_width]`; a context may be "".

    Args:
        vectors: a token, `[n_vectors, text_width]`; none leaves the parent alone.

    Raises:
        GairError: a prompt is longer than the text tower takes.
    """
    rows = []
    for context in contexts:
        slot = Slot.from_template(tower, f"{CLASSIFICATION} {context}".rstrip(), parent)
        if slot.length(len(vectors)) > tower.n_ctx:
            raise GairError(
                f'"{context}" with {len(vectors)} vectors takes {slot.length(len(vectors))} places of {tower.n_ctx}; '
                f"name a shorter context"
            )
        with inference_mode():
            rows.append(slot.encode(tower, vectors, full_context=True).conditioning)
    return cat(rows)
