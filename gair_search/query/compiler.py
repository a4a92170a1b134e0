"""A prompt and its custom tokens -> a query vector, and the explanation of how it came about."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextEncoding, TextTower
from gair_search.errors import ConceptError, PromptError
from gair_search.images.folders import has_image_suffix
from gair_search.query.language import Span, parse
from gair_search.tokens.custom_token import CustomToken

Lookup = Callable[[str], CustomToken]
"""Concept name, or `*` for the active concept -> its token. Raises ConceptError."""


@dataclass(frozen=True)
class Token:
    """One place of the context, for `--explain`.

    Attributes:
        text: the BPE piece, or `<name>` with the vector's number for a custom token.
        weight: token weight.
        start, end: the span of the prompt that it comes from.
        concept: the concept's name for a custom token.
    """

    text: str
    weight: float
    start: int
    end: int
    concept: str | None = None


@dataclass(frozen=True)
class CompiledPrompt:
    """A prompt as the text tower takes it.

    Attributes:
        prompt: as typed.
        tokens: one a place, without start and end tokens.
        embeddings: token embeddings `[1, n, text_width]`, start and end tokens included, uncut and unpadded.
        token_weights: `[1, n]`.
    """

    prompt: str
    tokens: tuple[Token, ...]
    embeddings: Tensor
    token_weights: Tensor

    @property
    def end(self) -> Tensor:
        """Place of the end token, `[1]`."""
        return torch.tensor([self.embeddings.shape[1] - 1], device=self.embeddings.device)


@dataclass(frozen=True)
class Query:
    """A query vector and its explanation.

    Attributes:
        prompt: as typed.
        vector: float32 `[embed_dim]`, L2-normalised.
        tokens: how the prompt was read.
        terms: the whole queries that were added, as (factor, text or image path); the prompt's own first.
        mixing_weight: GAIR's w; None where nothing was mixed.
    """

    prompt: str
    vector: NDArray[np.float32]
    tokens: tuple[Token, ...]
    terms: tuple[tuple[float, str], ...]
    mixing_weight: float | None = None

    def explanation(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "prompt": self.prompt,
            "tokens": [asdict(token) for token in self.tokens],
            "terms": [{"factor": factor, "query": query} for factor, query in self.terms],
            **({} if self.mixing_weight is None else {"mixing_weight": self.mixing_weight}),
        }


def compile_prompt(prompt: str, tower: TextTower, lookup: Lookup) -> CompiledPrompt:
    """Parse a prompt, look its custom tokens up, and lay out embeddings and token weights.

    Raises:
        PromptError: it can't be read, or is longer than the context.
        ConceptError: a concept is unknown, or was learned with another text tower.
    """
    start, stop = tower.start_id, tower.end_id
    tokens: list[Token] = []
    rows = [_rows(tower, [start])]
    for span in parse(prompt):
        span_tokens, span_rows = _span_tokens(span, tower, lookup)
        tokens += span_tokens
        rows.append(span_rows)
    rows.append(_rows(tower, [stop]))
    room = tower.n_ctx - 2
    if not tokens:
        raise PromptError("no word of the prompt is known to the model's tokenizer", prompt)
    if len(tokens) > room:
        raise PromptError(
            f"the prompt has {len(tokens)} tokens and the model takes {room}; the first too many is "
            f'"{tokens[room].text}"',
            prompt,
            # a caret only where it would be true: at the beginning of a span
            tokens[room].start if tokens[room].start != tokens[room - 1].start else None,
        )
    embeddings = torch.cat(rows).unsqueeze(0)
    weights = torch.tensor([[1.0, *(token.weight for token in tokens), 1.0]], device=embeddings.device)
    return CompiledPrompt(prompt, tuple(tokens), embeddings, weights)


def encode(compiled: CompiledPrompt, encoder: Encoder) -> TextEncoding:
    """Text features `[1, embed_dim]` and conditioning `[1, n, text_width]` of a compiled prompt."""
    plain = bool((compiled.token_weights == 1).all())
    return encoder.encode_embeddings(
        compiled.embeddings, compiled.end, None if plain else compiled.token_weights
    )


def full_context(compiled: CompiledPrompt, tower: TextTower) -> tuple[Tensor, Tensor]:
    """A compiled prompt on all places of the context, as a generator wants it.

    The places after the end hold the end token again, with token weight 1: `TextTower.encode_ids`' padding.

    Returns:
        embeddings `[1, n_ctx, text_width]` and token weights `[1, n_ctx]`.
    """
    room = tower.n_ctx - compiled.embeddings.shape[1]
    padding = _rows(tower, [tower.end_id] * room).unsqueeze(0)
    ones = compiled.token_weights.new_ones(1, room)
    return torch.cat([compiled.embeddings, padding], 1), torch.cat([compiled.token_weights, ones], 1)


def query_vector(
    prompt: str, encoder: Encoder, lookup: Lookup
) -> tuple[NDArray[np.float32], tuple[Token, ...]]:
    """Text features of a prompt, float32 `[embed_dim]`, and its tokens.

    A tower that takes plain prompts only gets them as they are; anything else is refused.

    Raises:
        PromptError, ConceptError, ModelError: as `compile_prompt` and `Encoder.text_tower`.
    """
    spans = parse(prompt)
    if (
        encoder.takes_plain_prompts_only
        and len(spans) == 1
        and spans[0].concept is None
        and spans[0].weight == 1
    ):
        features = encoder.encode_texts([spans[0].text])
        return features[0], (Token(spans[0].text, 1.0, spans[0].start, spans[0].end),)
    compiled = compile_prompt(prompt, encoder.text_tower, lookup)
    return encode(compiled, encoder).features[0].cpu().numpy(), compiled.tokens


def combine(terms: Sequence[tuple[float, NDArray[np.float32]]], prompt: str) -> NDArray[np.float32]:
    """Weighted sum of whole queries, `sum_i factor_i * feature_i`, L2-normalised: float32 `[embed_dim]`.

    Raises:
        PromptError: the queries cancel each other out.
    """
    total = np.sum([factor * vector.astype(np.float64) for factor, vector in terms], axis=0)
    norm = float(np.linalg.norm(total))
    if norm < 1e-6:
        raise PromptError("the queries that are added and subtracted cancel each other out", prompt)
    mixed: NDArray[np.float32] = (total / norm).astype(np.float32)
    return mixed


def plain_query(prompt: str, encoder: Encoder, lookup: Lookup) -> Query:
    """The query of a prompt as it is. Raises as `query_vector`."""
    vector, tokens = query_vector(prompt, encoder, lookup)
    return Query(prompt, vector, tokens, ((1.0, prompt),))


def summed(
    query: Query, plus: Sequence[str], minus: Sequence[str], encoder: Encoder, lookup: Lookup
) -> Query:
    """A query with whole queries added to it and subtracted from it; itself without any.

    Args:
        query: the prompt's own, which counts once.
        plus, minus: text, or the path of an image; `2.0:` in front gives a factor.
        encoder: the model.
        lookup: of concepts.

    Raises:
        PromptError: a negative factor; the queries cancel each other out.
        ImageError; others as `query_vector`.
    """
    if not plus and not minus:
        return query
    terms, vectors = list(query.terms), [query.vector]
    for sign, others in ((1.0, plus), (-1.0, minus)):
        for other in others:
            factor, what = split_factor(other)
            terms.append((sign * factor, what))
            vectors.append(_features(what, encoder, lookup))
    factors = [factor for factor, _ in terms]
    mixed = combine(list(zip(factors, vectors, strict=True)), query.prompt)
    return replace(query, vector=mixed, terms=tuple(terms))


def split_factor(term: str) -> tuple[float, str]:
    """`2.0:a beach` -> (2.0, "a beach"); 1.0 without a number. Raises PromptError on a negative one."""
    match = re.match(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*:\s*(?=\S)", term)
    if match is None:
        return 1.0, term
    if float(match[1]) < 0:
        raise PromptError(
            f"factor {match[1]}: factors are >= 0; use --minus to subtract", term, match.start(1)
        )
    return float(match[1]), term[match.end() :]


def _features(what: str, encoder: Encoder, lookup: Lookup) -> NDArray[np.float32]:
    """Features `[embed_dim]` of a text, or of an image where `what` is the path of one."""
    if has_image_suffix(what):
        features: NDArray[np.float32] = encoder.encode_files([what])[0]
        return features
    return query_vector(what, encoder, lookup)[0]


def _span_tokens(span: Span, tower: TextTower, lookup: Lookup) -> tuple[list[Token], Tensor]:
    """A span's places of the context and their embeddings `[n, text_width]`."""
    if span.concept is None:
        ids = tower.token_ids(span.text)
        return [Token(tower.piece(i), span.weight, span.start, span.end) for i in ids], _rows(tower, ids)
    token = lookup(span.concept)
    if token.vectors.shape[1] != tower.width or token.text_tower != tower.table_hash:
        raise ConceptError(
            f"<{token.name}> was learned with {token.embedder or 'another model'} "
            f"(text tower {token.text_tower or 'unknown'}), and this model's text tower is {tower.table_hash}; "
            f"learn it again with this model"
        )
    n = len(token.vectors)
    names = [f"<{token.name}>" if n == 1 else f"<{token.name}>[{i}]" for i in range(n)]
    rows = torch.from_numpy(token.vectors).to(tower.device)
    return [Token(name, span.weight, span.start, span.end, token.name) for name in names], rows


def _rows(tower: TextTower, ids: list[int]) -> Tensor:
    """Token embeddings `[n, text_width]` of ids."""
    table = tower.token_table
    return tower.token_embeddings(torch.tensor(ids, dtype=torch.long, device=table.device)).detach()
