"""Whole queries that are added to a prompt's own and subtracted from it. Imports no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import PromptError
from gair_search.images.folders import has_image_suffix
from gair_search.query.language import Span, parse

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.query.compiler import Lookup, Query

_FACTOR = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*:\s*(?=\S)")


@dataclass(frozen=True)
class Term:
    """A whole query with its factor.

    Attributes:
        factor: what its features are multiplied with; below 0 where it is subtracted.
        text: a prompt, or the path of an image, without the factor.
        spans: the prompt as it was read; None for an image.
    """

    factor: float
    text: str
    spans: tuple[Span, ...] | None


def read_terms(plus: Sequence[str], minus: Sequence[str]) -> tuple[Term, ...]:
    """Read terms as they are typed; nothing is looked up or encoded yet.

    Args:
        plus, minus: text, or the path of an image; `2.0:` in front gives a factor.

    Raises:
        PromptError: a negative factor, or a text that can't be read.
    """
    return tuple(_read_term(sign, text) for sign, texts in ((1.0, plus), (-1.0, minus)) for text in texts)


def _read_term(sign: float, typed: str) -> Term:
    factor, text = split_factor(typed)
    return Term(sign * factor, text, None if has_image_suffix(text) else tuple(parse(text)))


def split_factor(term: str) -> tuple[float, str]:
    """`2.0:a beach` -> (2.0, "a beach"); 1.0 without a number. Raises PromptError on a negative one."""
    match = _FACTOR.match(term)
    if match is None:
        return 1.0, term
    if float(match[1]) < 0:
        raise PromptError(
            f"factor {match[1]}: factors are >= 0; use --minus to subtract", term, match.start(1)
        )
    return float(match[1]), term[match.end() :]


def add_terms(query: "Query", terms: Sequence[Term], encoder: "Encoder", lookup: "Lookup") -> "Query":
    """A query with whole queries added to it and subtracted from it; itself without any.

    Args:
        query: the prompt's own, which counts once.
        terms: from `read_terms`.
        encoder: the model.
        lookup: of concepts.

    Raises:
        PromptError: the queries cancel each other out.
        ImageError: an image can't be read; others as `compile_query`.
    """
    if not terms:
        return query
    summands = [(1.0, query.vector), *((term.factor, _encode_term(term, encoder, lookup)) for term in terms)]
    listed = (*query.terms, *((term.factor, term.text) for term in terms))
    return replace(query, vector=weighted_sum(summands, query.prompt), terms=listed)


def _encode_term(term: Term, encoder: "Encoder", lookup: "Lookup") -> NDArray[np.float32]:
    """Features of a term, float32 `[embed_dim]`."""
    from gair_search.query.compiler import compile_query

    if term.spans is not None:
        return compile_query(term.text, encoder, lookup, term.spans).vector
    features: NDArray[np.float32] = encoder.encode_files([term.text])[0]
    return features


def weighted_sum(summands: Sequence[tuple[float, NDArray[np.float32]]], prompt: str) -> NDArray[np.float32]:
    """Sum of whole queries, `sum_i factor_i * feature_i`, L2-normalised: float32 `[embed_dim]`.

    Args:
        summands: factors with features `[embed_dim]`.
        prompt: for the error.

    Raises:
        PromptError: the queries cancel each other out.
    """
    total = np.sum([factor * vector.astype(np.float64) for factor, vector in summands], axis=0)
    norm = float(np.linalg.norm(total))
    if norm < 1e-6:
        raise PromptError("the queries that are added and subtracted cancel each other out", prompt)
    unit: NDArray[np.float32] = (total / norm).astype(np.float32)
    return unit
