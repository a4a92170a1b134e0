"""GAIR, generation aided image retrieval: Algorithm 1 of the paper (section 4.4), as functions over arrays.

A query is a mixture of the prompt with its concept and the prompt with mere attributes in the concept's place,

    q(w) = w g([t, *, c]) + (1 - w) mean_i g([t, a_i, c]),

for images on the conditioning, for a search on the text features. Images of several w are drawn, and the w is
selected whose image does best in the worse of two scores: likeness to the concept images, and to the context
images, which are those of w = 0.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GairError
from gair_search.query.compiler import (
    CompiledPrompt,
    Lookup,
    Token,
    compile_prompt,
    full_context,
    query_vector,
)

A = TypeVar("A", Tensor, NDArray[np.float32])

COARSE = (0.6, 0.8, 1.0)
"""Candidate weights that are tried first: their midpoints are tenths. The paper doesn't tell its own; below a half
the concept is the smaller part of its own query, and is seldom found (benchmarks/RESULTS.md)."""

STEP = 0.1
"""Candidates are not refined below this distance."""

TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The candidates of the plain loop."""

Evaluate = Callable[[Sequence[float]], Mapping[float, float]]
"""Candidate weights -> the score of each; -inf where no image of it is any good."""

_TEXTS_AT_ONCE = 32


@dataclass(frozen=True)
class Mixture:
    """A prompt with its concept, and the mean over the attributes in its place.

    Attributes:
        concept: g([t, *, c]), conditioning `[n_ctx, text_width]`.
        attributes_mean: mean_i g([t, a_i, c]), `[n_ctx, text_width]`.
        concept_query, attributes_query: the same as text features `[embed_dim]`, L2-normalised the first, the
            mean of normalised ones the second.
        tokens: how the prompt was read.
    """

    concept: Tensor
    attributes_mean: Tensor
    concept_query: NDArray[np.float32]
    attributes_query: NDArray[np.float32]
    tokens: tuple[Token, ...] = ()

    def conditioning(self, weights: Sequence[float]) -> Tensor:
        """q(w) of each weight as conditioning, `[len(weights), n_ctx, text_width]`."""
        return torch.stack([mix(w, self.concept, self.attributes_mean) for w in weights])

    def query_vector(self, w: float) -> NDArray[np.float32]:
        """q(w) as text features `[embed_dim]`, L2-normalised."""
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


def aligned(attribute: Tensor, n: int) -> Tensor:
    """An attribute's token embeddings, `[m, text_width]`, laid out on the concept's places, `[n, text_width]`.

    Mixing goes place by place, so the words of [t, a_i, c] must stand where those of [t, *, c] do, or `dress` is
    mixed into `on`. Torch's adaptive average pooling does it for any m and n: one piece is repeated n times; the
    pieces of a longer attribute keep their order, each on its share of the places; where there are more pieces
    than places, neighbours are averaged. Nothing is cut off and nothing wraps around: a cycle of pieces could
    end in the middle of a word, right before `c`. Every row is a mean of the attribute's own rows, so no norm
    grows beyond theirs, and custom tokens are learned in the span of just such means (section 4.3).
    """
    return torch.nn.functional.adaptive_avg_pool1d(attribute.T.unsqueeze(0), n)[0].T


def object_score(features: NDArray[np.float32], concept_features: NDArray[np.float32]) -> float:
    """Mean over a candidate's images of mean_i f(I) . f(x_i), in -1..1.

    Args:
        features: f(I) of each image, `[S, embed_dim]`.
        concept_features: mean of f(x_i) over the concept images, `[embed_dim]`: the mean of the products is the
            product with the mean.
    """
    return float((features @ concept_features).mean())


def context_score(features: NDArray[np.float32], context_features: NDArray[np.float32]) -> float:
    """Mean over a candidate's images of mean_j f(I) . f(x_c_j); context features `[J, embed_dim]`, those of w = 0."""
    return object_score(features, context_features.mean(axis=0))


def select(scores: Mapping[float, float]) -> float:
    """w* = argmax of the scores; of equals the one nearest to the plain query."""
    return max(scores, key=lambda w: (scores[w], w))


def midpoints(scores: Mapping[float, float], step: float = STEP) -> list[float]:
    """The weights to try next: half-way from the best to its neighbours, where that is `step` away or more."""
    tried = sorted(scores)
    best = select(scores)
    at = tried.index(best)
    neighbours = tried[max(at - 1, 0) : at] + tried[at + 1 : at + 2]
    return [(best + other) / 2 for other in neighbours if abs(best - other) / 2 >= step - 1e-9]


def coarse_to_fine(
    evaluate: Evaluate, coarse: Sequence[float] = COARSE, step: float = STEP
) -> dict[float, float]:
    """Scores of the coarse weights, and then of finer ones around the best only.

    The best of all scores is among those returned, so refining never ends below what it has seen.
    """
    scores = dict(evaluate(coarse))
    while max(scores.values()) > -math.inf and (finer := midpoints(scores, step)):
        scores |= evaluate(finer)
    return scores


def plain_loop(evaluate: Evaluate, candidates: Iterable[float] = TENTHS) -> dict[float, float]:
    """Algorithm 1 as written: one candidate after the other. The reference for `coarse_to_fine`."""
    scores: dict[float, float] = {}
    for w in candidates:
        scores |= evaluate([w])
    return scores


def mixture(prompt: str, encoder: Encoder, lookup: Lookup, attributes: Sequence[str]) -> Mixture:
    """Encode a prompt with its concept, and with each attribute in the concept's place.

    Token weights apply to both alike. The attributes take exactly the concept's places: see `aligned`.

    Args:
        prompt: with one concept, once or more often.
        encoder: the model.
        lookup: of concepts.
        attributes: A; one or more.

    Raises:
        PromptError, ConceptError, ModelError: as `compile_prompt`.
        ConceptError: no attribute that the tokenizer knows.
    """
    tower = encoder.text_tower
    compiled = compile_prompt(prompt, tower, lookup)
    ids = [found for text in attributes if (found := tower.token_ids(text))]
    if not ids:
        raise ConceptError("no attributes to mix with; give some that suit the concept, as red, old, striped")
    embeddings, token_weights = full_context(compiled, tower)
    rows = [embeddings[0]]
    for own in ids:
        row = embeddings[0].clone()
        vectors = tower.token_embeddings(torch.tensor(own, device=row.device))
        for start, n in concept_places(compiled):
            row[start : start + n] = aligned(vectors, n)
        rows.append(row)
    conditioning, features = _encoded(encoder, torch.stack(rows), compiled, token_weights)
    return Mixture(
        conditioning[0],
        conditioning[1:].mean(0),
        query_vector(prompt, encoder, lookup)[0],
        features[1:].mean(0).cpu().numpy(),
        compiled.tokens,
    )


def prompt_conditioning(prompt: str, encoder: Encoder, lookup: Lookup) -> Tensor:
    """Conditioning of a prompt as it is, on the full context: `[n_ctx, text_width]`. Raises as `compile_prompt`."""
    compiled = compile_prompt(prompt, encoder.text_tower, lookup)
    embeddings, token_weights = full_context(compiled, encoder.text_tower)
    return _encoded(encoder, embeddings, compiled, token_weights)[0][0]


def concept_places(compiled: CompiledPrompt) -> list[tuple[int, int]]:
    """Where a compiled prompt's concepts stand: (first place of the context, number of places) of each."""
    places: list[tuple[int, int]] = []
    at: tuple[int, int] | None = None
    for place, token in enumerate(compiled.tokens, start=1):  # place 0 is the start token's
        here = (token.start, token.end) if token.concept else None
        if here and here == at:
            places[-1] = (places[-1][0], places[-1][1] + 1)
        elif here:
            places.append((place, 1))
        at = here
    return places


def _encoded(
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
