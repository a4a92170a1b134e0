"""A prompt and its custom tokens -> a query vector, and the explanation of how it came about.

A prompt is parsed once, its concepts are looked up once, and it is encoded once: `compile_query`. What comes of it
is passed on: to the search, to GAIR's mixing, to the generator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextEncoding, TextTower
from gair_search.errors import ConceptError, PromptError
from gair_search.query.language import Span, parse
from gair_search.query.terms import Term, add_terms, read_terms
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenLookup, TokenStore

Lookup = Callable[[str], CustomToken]
"""Concept name, or `*` for the active concept -> its token. Raises ConceptError."""

Concepts = TokenStore | Mapping[str, CustomToken] | Lookup
"""Where the concepts of a prompt are: a store, tokens by name, or a function."""


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
        concepts: the custom tokens that it holds, each once, in reading order.
        embeddings: token embeddings `[1, n, text_width]`, start and end tokens included, uncut and unpadded.
        token_weights: `[1, n]`.
    """

    prompt: str
    tokens: tuple[Token, ...]
    concepts: tuple[CustomToken, ...]
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
        compiled: the prompt as the text tower takes it; None where the tower takes plain text only.
    """

    prompt: str
    vector: NDArray[np.float32]
    tokens: tuple[Token, ...]
    terms: tuple[tuple[float, str], ...]
    mixing_weight: float | None = None
    compiled: CompiledPrompt | None = field(default=None, repr=False)

    def explanation(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "prompt": self.prompt,
            "tokens": [asdict(token) for token in self.tokens],
            "terms": [{"factor": factor, "query": query} for factor, query in self.terms],
            **({} if self.mixing_weight is None else {"mixing_weight": self.mixing_weight}),
        }


def compile_query(
    prompt: str,
    encoder: Encoder,
    concepts: Concepts | None = None,
    *,
    concept: str | None = None,
    plus: Sequence[str | Term] = (),
    minus: Sequence[str | Term] = (),
    spans: Sequence[Span] | None = None,
) -> Query:
    """Read a prompt, look its concepts up, and encode it: each once. No gallery and no folder of ours is needed.

    A text tower that takes plain prompts only gets them as they are; anything else is refused.

    >>> query = compile_query("a (red:1.5) dress on a [brick wall]", encoder)
    >>> client.query_points("catalogue", query=query.vector.tolist(), using="clip", limit=20)

    Args:
        prompt: in the query language, see `query.language.parse`.
        encoder: the model.
        concepts: where custom tokens are; each is asked for once. None where the prompt has none.
        concept: what `*` stands for; by default the store's active one, or the only one of a mapping.
        plus, minus: whole queries that are added and subtracted, see `query.terms`.
        spans: `parse(prompt)`, where that has been done.

    Raises:
        PromptError, ConceptError: as `compile_prompt` and `read_terms`.
        ImageError: an image among the terms can't be read.
        ModelError: the text tower can't be loaded, or takes plain prompts only and this is none.
    """
    spans = parse(prompt) if spans is None else spans
    terms = read_terms(plus, minus)
    lookup = as_lookup(concepts, concept)
    found = _find_concepts(spans, lookup)
    own = ((1.0, prompt),)
    plain = len(spans) == 1 and spans[0].concept is None and spans[0].weight == 1
    if plain and encoder.takes_plain_prompts_only:
        token = Token(spans[0].text, 1.0, spans[0].start, spans[0].end)
        query = Query(prompt, encoder.encode_texts([spans[0].text])[0], (token,), own)
    else:
        compiled = _lay_out(prompt, spans, encoder.text_tower, found)
        vector = encode(compiled, encoder).features[0].cpu().numpy()
        query = Query(prompt, vector, compiled.tokens, own, compiled=compiled)
    return add_terms(query, terms, encoder, lookup)


def as_lookup(concepts: Concepts | None, concept: str | None = None) -> Lookup:
    """A function from a concept's name to its token, whatever holds the tokens; arguments as for `compile_query`."""
    if isinstance(concepts, TokenStore):
        return TokenLookup(concepts, concept)
    if concepts is None or isinstance(concepts, Mapping):
        return lambda name: _find_among(concepts or {}, name, concept)
    return concepts if concept is None else lambda name: concepts(concept if name == "*" else name)


def _find_among(tokens: Mapping[str, CustomToken], name: str, concept: str | None) -> CustomToken:
    """A token of a mapping, by name or `*`. Raises ConceptError."""
    if name == "*":
        if concept is None and len(tokens) != 1:
            raise ConceptError(
                f"* could be any of {len(tokens)} concepts; say which with concept=, or write its name in the prompt"
            )
        name = next(iter(tokens)) if concept is None else concept
    if name not in tokens:
        known = (
            ", ".join(f"<{one}>" for one in list(tokens)[:10])
            or "none: pass a TokenStore or a dict as concepts="
        )
        raise ConceptError(f"unknown concept <{name}>; the concepts given are: {known}")
    return tokens[name]


def compile_prompt(prompt: str, tower: TextTower, lookup: Lookup) -> CompiledPrompt:
    """A prompt as a text tower takes it, not yet encoded.

    Raises:
        PromptError: it can't be read, or is longer than the context.
        ConceptError: a concept is unknown, or was learned with another text tower.
    """
    spans = parse(prompt)
    return _lay_out(prompt, spans, tower, _find_concepts(spans, lookup))


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
    """Text features of a prompt, float32 `[embed_dim]`, and its tokens. Raises as `compile_query`."""
    query = compile_query(prompt, encoder, lookup)
    return query.vector, query.tokens


def _find_concepts(spans: Sequence[Span], lookup: Lookup) -> dict[str, CustomToken]:
    """The custom tokens of spans, by what stands in the prompt: a name, or `*`."""
    return {name: lookup(name) for name in dict.fromkeys(span.concept for span in spans) if name}


def _lay_out(
    prompt: str, spans: Sequence[Span], tower: TextTower, concepts: Mapping[str, CustomToken]
) -> CompiledPrompt:
    """Embeddings and token weights of a prompt, place by place. Raises as `compile_prompt`."""
    tokens: list[Token] = []
    rows = [_rows(tower, [tower.start_id])]
    for span in spans:
        span_tokens, span_rows = _span_tokens(span, tower, concepts)
        tokens += span_tokens
        rows.append(span_rows)
    rows.append(_rows(tower, [tower.end_id]))
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
    held = {token.name: token for token in concepts.values()}
    return CompiledPrompt(prompt, tuple(tokens), tuple(held.values()), embeddings, weights)


def _span_tokens(
    span: Span, tower: TextTower, concepts: Mapping[str, CustomToken]
) -> tuple[list[Token], Tensor]:
    """A span's places of the context and their embeddings `[n, text_width]`."""
    if span.concept is None:
        ids = tower.token_ids(span.text)
        return [Token(tower.piece(i), span.weight, span.start, span.end) for i in ids], _rows(tower, ids)
    token = concepts[span.concept]
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
