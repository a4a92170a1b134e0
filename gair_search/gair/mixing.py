"""q(w): a prompt with its concept, mixed with the same prompt with mere attributes in the concept's place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GairError
from gair_search.gair.options import GairConfig
from gair_search.query.compiler import CompiledPrompt, Query, full_context
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

A = TypeVar("A", Tensor, NDArray[np.float32])

_TEXTS_AT_ONCE = 32


@dataclass(frozen=True)
class Mixture:
    """A prompt with its concept, and the mean over the attributes in its place.

    Attributes:
        concept: g([t, *, c]), conditioning `[n_ctx, text_width]`.
        attributes_mean: mean_i g([t, a_i, c]), `[n_ctx, text_width]`.
        concept_query, attributes_query: the same as text features `[embed_dim]`, L2-normalised the first, the
            mean of normalised ones the second.
    """

    concept: Tensor
    attributes_mean: Tensor
    concept_query: NDArray[np.float32]
    attributes_query: NDArray[np.float32]

    def conditioning(self, w: float) -> Tensor:
        """q(w) for a generator: conditioning `[n_ctx, text_width]`."""
        return mix(w, self.concept, self.attributes_mean)

    def query_vector(self, w: float) -> NDArray[np.float32]:
        """q(w) for a search: text features `[embed_dim]`, L2-normalised."""
        return mix_features(w, self.concept_query, self.attributes_query)


def mix(w: float, concept: A, attributes_mean: A) -> A:
    """q(w) = w g([t, *, c]) + (1 - w) mean_i g([t, a_i, c]), of equal shapes; at w = 1 the concept bit for bit."""
    return concept if w == 1 else w * concept + (1 - w) * attributes_mean


def mix_features(
    w: float, concept: NDArray[np.float32], attributes_mean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`mix` of text features `[embed_dim]`, renormalised; at w = 1 the plain query bit for bit.

    Raises:
        GairError: the two cancel each other out.
    """
    if w == 1:
        return concept
    mixed = mix(w, concept, attributes_mean).astype(np.float64)
    if (norm := float(np.linalg.norm(mixed))) < 1e-6:
        raise GairError("the concept and its attributes cancel each other out; choose other attributes")
    query: NDArray[np.float32] = (mixed / norm).astype(np.float32)
    return query


def mix_prompt(query: Query, encoder: Encoder, attributes: Sequence[str]) -> Mixture:
    """Encode a prompt with its concept, and with each attribute in the concept's place.

    Token weights apply to both alike. The attributes take exactly the concept's places: see `spread`.

    Args:
        query: of a prompt with one concept, once or more often, with nothing added.
        encoder: the model.
        attributes: A; one or more.

    Raises:
        ConceptError: no attribute that the tokenizer knows.
        ModelError: the text tower takes plain prompts only.
    """
    tower, compiled = encoder.text_tower, require_compiled(query, encoder)
    ids = [found for text in attributes if (found := tower.token_ids(text))]
    if not ids:
        raise ConceptError("no attributes to mix with; give some that suit the concept, as red, old, striped")
    embeddings, token_weights = full_context(compiled, tower)
    rows = [embeddings[0]]
    for own in ids:
        row = embeddings[0].clone()
        vectors = tower.token_embeddings(torch.tensor(own, device=row.device))
        for start, n in concept_places(compiled):
            row[start : start + n] = spread(vectors, n)
        rows.append(row)
    conditioning, features = _encode_rows(encoder, torch.stack(rows), compiled, token_weights)
    return Mixture(
        conditioning[0], conditioning[1:].mean(0), query.vector, features[1:].mean(0).cpu().numpy()
    )


def mix_query(query: Query, w: float, encoder: Encoder, attributes: Sequence[str] = ()) -> Query:
    """The query of a prompt at a mixing weight in 0..1; no image is drawn.

    Args:
        query: of the prompt as it is, with nothing added.
        w: mixing weight.
        encoder: the model.
        attributes: in the concept's place for the rest; by default the token's own.

    Raises:
        ConceptError: as `concept_of`, `attributes_of` and `mix_prompt`.
        GairError: `w` is out of its range; others as `mix_features` and `mix_prompt`.
    """
    config = GairConfig(mixing_weight=w, attributes=tuple(attributes))
    mixture = mix_prompt(query, encoder, attributes_of(concept_of(query), config))
    return replace(query, vector=mixture.query_vector(w), mixing_weight=w)


def prompt_conditioning(query: Query, encoder: Encoder) -> Tensor:
    """Conditioning of a prompt as it is, on the full context: `[n_ctx, text_width]`. Raises as `require_compiled`."""
    compiled = require_compiled(query, encoder)
    embeddings, token_weights = full_context(compiled, encoder.text_tower)
    return _encode_rows(encoder, embeddings, compiled, token_weights)[0][0]


def require_compiled(query: Query, encoder: Encoder) -> CompiledPrompt:
    """A query's prompt as the text tower takes it. Raises ModelError where the tower takes plain prompts only."""
    if query.compiled is None:
        _ = encoder.text_tower  # which raises
        raise GairError(f"the prompt of this query was not compiled: {query.prompt}")
    return query.compiled


def concept_of(query: Query) -> CustomToken:
    """The one concept of a query's prompt. Raises ConceptError where there is none, or more."""
    concepts = query.compiled.concepts if query.compiled else ()
    if not concepts:
        raise ConceptError(
            "GAIR mixes a concept with its attributes, and the prompt has none; write <name> or *"
        )
    if len(concepts) > 1:
        found = " and ".join(f"<{token.name}>" for token in concepts)
        raise ConceptError(f"GAIR mixes one concept, and the prompt has {found}; write it with one of them")
    return concepts[0]


def attributes_of(token: CustomToken, config: GairConfig) -> list[str]:
    """What stands in a concept's place at w = 0. Raises ConceptError where nothing says it."""
    if found := list(config.attributes) or facts.attributes(token):
        return found
    raise ConceptError(
        f"the file of <{token.name}> names no attributes to mix with; name some that suit it, as red, old, striped"
    )


def spread(attribute: Tensor, n: int) -> Tensor:
    """An attribute's token embeddings, `[m, text_width]`, laid out on the concept's places, `[n, text_width]`.

    Mixing goes place by place, so the words of [t, a_i, c] must stand where those of [t, *, c] do, or `dress` is
    mixed into `on`. Torch's adaptive average pooling does it for any m and n: one piece is repeated n times; the
    pieces of a longer attribute keep their order, each on its part of the places; where there are more pieces
    than places, neighbours are averaged. Nothing is cut off and nothing wraps around: a cycle of pieces could
    end in the middle of a word, right before `c`. Every row is a mean of the attribute's own rows, so no norm
    grows beyond theirs, and custom tokens are learned in the span of just such means (section 4.3).
    """
    return torch.nn.functional.adaptive_avg_pool1d(attribute.T.unsqueeze(0), n)[0].T


def concept_places(compiled: CompiledPrompt) -> list[tuple[int, int]]:
    """Where a compiled prompt's concepts stand: (first place of the context, number of places) of each."""
    places: list[tuple[int, int]] = []
    before: tuple[int, int] | None = None
    for place, token in enumerate(compiled.tokens, start=1):  # place 0 is the start token's
        span = (token.start, token.end) if token.concept else None
        if span and span == before:
            places[-1] = (places[-1][0], places[-1][1] + 1)
        elif span:
            places.append((place, 1))
        before = span
    return places


def _encode_rows(
    encoder: Encoder, embeddings: Tensor, compiled: CompiledPrompt, token_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Conditioning `[B, n_ctx, text_width]` in float32 and text features `[B, embed_dim]` of embeddings."""
    weights = None if bool((token_weights == 1).all()) else token_weights
    parts = [
        encoder.encode_embeddings(
            rows,
            compiled.end.expand(len(rows)),
            None if weights is None else weights.expand(len(rows), -1),
        )
        for rows in torch.split(embeddings, _TEXTS_AT_ONCE)
    ]
    return torch.cat([p.conditioning for p in parts]).float(), torch.cat([p.features for p in parts])
