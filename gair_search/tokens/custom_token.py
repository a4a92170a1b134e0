"""A custom token as data, and as a file in the community's format."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError
from gair_search.paths import write_atomically

MAX_VECTORS = 75
"""A context of 77 has room for no more beside the start and end tokens."""

FORMAT = "gair-search custom token 1"
"""How a file's metadata says that it is ours."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OWN = ("text_tower", "embedder", "parent")


def is_name(text: str) -> bool:
    """Whether a prompt can hold `<text>`."""
    return _NAME.fullmatch(text) is not None


def require_name(text: str) -> None:
    """Raise ConceptError where a prompt can't hold `<text>`."""
    if not is_name(text):
        raise ConceptError(
            f'"{text}" is no name for a concept: letters, digits, "_", "-" and "." only, as in my-dress'
        )


def model_name(embedder: str) -> str:
    """The name in an embedder's readable id, which its hashes follow in brackets."""
    return re.sub(r" \([^()]*, weights \w+, preprocessing \w+\)$", "", embedder)


def split_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The inverse of `CustomToken.metadata`: the token's own fields, "" where they lack, and its facts."""
    own = {key: metadata.get(key, "") for key in _OWN}
    return own, {key: value for key, value in metadata.items() if key not in (*_OWN, "format")}


@dataclass(frozen=True)
class CustomToken:
    """The learned vectors behind a placeholder.

    Attributes:
        name: the concept's name, as in `<name>`.
        vectors: float32 `[n_vectors, text_width]`, rows as of the text tower's input table.
        text_tower: hash of the token table that it was learned with (`TextTower.table_hash`).
        embedder: readable id of the model that it was learned with.
        parent: the super-class as text, or "".
        facts: whatever else the file carries, as strings.
    """

    name: str
    vectors: NDArray[np.float32]
    text_tower: str
    embedder: str = ""
    parent: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConceptError where the name or the vectors are not fit for a prompt."""
        require_name(self.name)
        if self.vectors.ndim != 2 or not 1 <= len(self.vectors) <= MAX_VECTORS:
            raise ConceptError(
                f"<{self.name}>: expected vectors [1..{MAX_VECTORS}, text_width], got {list(self.vectors.shape)}"
            )
        if not np.isfinite(self.vectors).all():
            raise ConceptError(f"<{self.name}>: its vectors hold NaN or infinite values")

    @property
    def model(self) -> str:
        """Name of the model that it was learned with: the embedder without its hashes."""
        return model_name(self.embedder)

    def metadata(self) -> dict[str, str]:
        """All that a file says of the token besides name and vectors."""
        own = {key: str(getattr(self, key)) for key in _OWN}
        return {**self.facts, "format": FORMAT, **own}

    def save(self, path: Path) -> None:
        """Write as safetensors: one tensor under the key `<name>`, all facts as string metadata. Atomic.

        diffusers' `load_textual_inversion` reads this file as it is.
        """
        from safetensors.numpy import save

        write_atomically(path, save({f"<{self.name}>": np.ascontiguousarray(self.vectors)}, self.metadata()))

    @classmethod
    def load(cls, path: Path) -> "CustomToken":
        """Read what `save` wrote. Raises ConceptError on any other content."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                (key,) = list(file.keys())
                vectors, metadata = file.get_tensor(key), dict(file.metadata() or {})
            if vectors.dtype.kind != "f":
                raise ValueError(f"tensor of type {vectors.dtype}")
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise ConceptError(f"{path} is no custom token: {error}") from error
        own, facts = split_metadata(metadata)
        return cls(key.strip("<>"), vectors.astype(np.float32), **own, facts=facts)
