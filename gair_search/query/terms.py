"""Whole queries that are added to a prompt's own and subtracted from it. Imports no torch.

A string is text here, whatever it looks like: an image is an `Image`, and a factor stands beside it. How the shell
reads what was typed is in `cli.terms`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import PromptError
from gair_search.images.fetching import AllowUrls, url_config
from gair_search.images.sources import ImageSource, describe_source
from gair_search.query.language import Span, parse

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.query.compiler import Lookup, Query


@dataclass(frozen=True)
class Text:
    """A prompt in the query language as a term.

    Attributes:
        prompt: as for `compile_query`.
        factor: what its features are multiplied with, >= 0.
    """

    prompt: str
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Image:
    """An image as a term.

    Attributes:
        source: a path object, bytes, a file object, a PIL image, an array; a string is an http(s) address.
        factor: what its features are multiplied with, >= 0.
        allow_urls: whether an address is fetched, see `images.sources`.
    """

    source: ImageSource
    factor: float = 1.0
    allow_urls: AllowUrls = False


@dataclass(frozen=True, eq=False)
class Vector:
    """Features as a term, as those of a point that is stored.

    Attributes:
        values: `[embed_dim]`, of any length but 0; normalised before they are added.
        factor: what they are multiplied with, >= 0.
    """

    values: Sequence[float] | NDArray[np.floating]
    factor: float = 1.0


Term = Text | Image | Vector


@dataclass(frozen=True, eq=False)
class ReadTerm:
    """A term that was checked and read, its concepts not yet looked up.

    Attributes:
        sign: -1 where it is subtracted, else 1.
        term: as it was given.
        spans: how its prompt was read; None where it has none.
    """

    sign: float
    term: Term
    spans: tuple[Span, ...] | None = None

    @property
    def factor(self) -> float:
        """What the term's features are multiplied with; below 0 where it is subtracted."""
        return self.sign * self.term.factor

    @property
    def label(self) -> str:
        """The term for people: its prompt, or what is known of the image."""
        if isinstance(self.term, Text):
            return self.term.prompt
        return describe_source(self.term.source) if isinstance(self.term, Image) else "a vector"


def read_terms(plus: Sequence[str | Term], minus: Sequence[str | Term]) -> tuple[ReadTerm, ...]:
    """Check terms and read their prompts; nothing is looked up, opened or encoded yet.

    Args:
        plus, minus: terms; a string is a `Text` of factor 1.

    Raises:
        PromptError: a prompt that can't be read, a factor that is negative or not finite.
    """
    if isinstance(plus, str) or isinstance(minus, str):
        raise PromptError("plus and minus are lists of terms; put a single one in brackets", "")
    return tuple(_read_term(sign, term) for sign, terms in ((1.0, plus), (-1.0, minus)) for term in terms)


def _read_term(sign: float, given: str | Term) -> ReadTerm:
    term = Text(given) if isinstance(given, str) else given
    if not isinstance(term, Text | Image | Vector):
        raise PromptError(f"a term is a string, a Text, an Image or a Vector, not {type(term).__name__}", "")
    if not (math.isfinite(term.factor) and term.factor >= 0):
        raise PromptError(f"factor {term.factor}: factors are finite and >= 0; minus subtracts", "")
    return ReadTerm(sign, term, tuple(parse(term.prompt)) if isinstance(term, Text) else None)


def add_terms(query: "Query", terms: Sequence[ReadTerm], encoder: "Encoder", lookup: "Lookup") -> "Query":
    """A query with whole queries added to it and subtracted from it; itself without any.

    Args:
        query: the prompt's own, which counts once.
        terms: from `read_terms`.
        encoder: the model.
        lookup: of concepts.

    Raises:
        PromptError: the queries cancel each other out, or a vector is not one of this model's.
        ImageError: an image can't be read; others as `compile_query`.
    """
    if not terms:
        return query
    summands = [(1.0, query.vector), *((term.factor, _encode_term(term, encoder, lookup)) for term in terms)]
    listed = (*query.terms, *((term.factor, term.label) for term in terms))
    return replace(query, vector=weighted_sum(summands, query.prompt), terms=listed)


def _encode_term(given: ReadTerm, encoder: "Encoder", lookup: "Lookup") -> NDArray[np.float32]:
    """Features of a term, float32 `[embed_dim]`, normalised."""
    from gair_search.query.compiler import compile_query

    term = given.term
    if isinstance(term, Text):
        return compile_query(term.prompt, encoder, lookup, spans=given.spans).vector
    if isinstance(term, Vector):
        return unit_vector(term.values, encoder.spec.embed_dim)
    features: NDArray[np.float32] = encoder.encode_sources([term.source], url_config(term.allow_urls))[0]
    return features


def unit_vector(values: Sequence[float] | NDArray[np.floating], dim: int) -> NDArray[np.float32]:
    """Values as a normalised vector, float32 `[dim]`. Raises PromptError on what is none of this length."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise PromptError(f"a vector is {dim} numbers, not {type(values).__name__}", "") from None
    norm = float(np.linalg.norm(vector)) if np.isfinite(vector).all() else 0.0
    if vector.shape != (dim,) or not 0 < norm < math.inf:
        raise PromptError(
            f"a vector of shape {list(vector.shape)} and length {norm:g}: expected {dim} finite numbers, not all 0",
            "",
        )
    return (vector / norm).astype(np.float32)


def weighted_sum(summands: Sequence[tuple[float, NDArray[np.float32]]], prompt: str) -> NDArray[np.float32]:
    """Sum of whole queries, `sum_i factor_i * feature_i`, L2-normalised: float32 `[embed_dim]`.

    Args:
        summands: factors with features `[embed_dim]`.
        prompt: for the error.

    Raises:
        PromptError: the queries cancel each other out, or the factors are too large.
    """
    # the largest factor aside, so that no finite one overflows
    largest = max((abs(factor) for factor, _ in summands), default=0.0) or 1.0
    total = np.sum([factor / largest * vector.astype(np.float64) for factor, vector in summands], axis=0)
    norm = float(np.linalg.norm(total))
    if norm * min(largest, 1.0) < 1e-6:
        raise PromptError("the queries that are added and subtracted cancel each other out", prompt)
    unit: NDArray[np.float32] = (total / norm).astype(np.float32)
    return unit
