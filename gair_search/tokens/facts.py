"""What a learned token's file says of its learning, beside the vectors: keys and formats of its facts."""

import base64
import binascii
import json
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken

ATTRIBUTES = "attributes"
"""The attributes that span its subspace, comma-separated."""

CONCEPT_FEATURES = "concept_features"
"""Mean of the concept images' features, `[embed_dim]`, not renormalised: all that an object score needs of them."""

METHOD = "method"
"""`joint`, `prompt tuning` or `textual inversion`."""

HELD_OUT = "held_out"
"""The held-out loss of every look at the run: JSON, `[[step, loss], ...]`."""

PROMPT_TUNING = "prompt tuning"
"""The method whose tokens draw nothing that means anything (the paper, table 4)."""

LEARNED_WITH = "learned_with"
"""Readable id of the embedder that it was learned with, where it now belongs to another one of the same text tower."""


def pack(array: NDArray[np.float32]) -> str:
    """A vector as a string for metadata: base64 of little-endian float32."""
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float32]:
    """The inverse of `pack`: `[n]`. Raises ValueError on any other text."""
    try:
        array = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
    if not np.isfinite(array).all():
        raise ValueError("it holds NaN or infinite values")
    return array


def attributes(token: CustomToken) -> list[str]:
    """The attributes that a token was learned with; [] where its file says none."""
    return [word.strip() for word in token.facts.get(ATTRIBUTES, "").split(",") if word.strip()]


def concept_features(token: CustomToken) -> NDArray[np.float32] | None:
    """Mean of the concept images' features, `[embed_dim]`; None where the file says none.

    Raises:
        ConceptError: what it says is damaged.
    """
    if not (text := token.facts.get(CONCEPT_FEATURES)):
        return None
    try:
        return unpack(text)
    except ValueError as error:
        raise ConceptError(f"<{token.name}>: {CONCEPT_FEATURES} in its file is damaged: {error}") from error


def pack_losses(looks: Iterable[tuple[int, float]]) -> str:
    """(step, held-out loss) pairs as a string for metadata, six digits each."""
    return json.dumps([[step, float(f"{loss:.6g}")] for step, loss in looks])


def held_out(token: CustomToken) -> list[tuple[int, float]]:
    """(step, held-out loss) of every look at the run; [] where the file says none, or nothing that makes sense."""
    try:
        pairs = [(int(step), float(loss)) for step, loss in json.loads(token.facts.get(HELD_OUT, "[]"))]
    except (ValueError, TypeError, OverflowError):
        return []
    return pairs if all(math.isfinite(loss) for _, loss in pairs) else []


def learned_with(token: CustomToken) -> str:
    """Readable id of the embedder whose features a token's file carries; "" where nothing says it."""
    return token.facts.get(LEARNED_WITH) or token.embedder
