"""Which model made a vector, and what it takes to load one: data alone, no library of models."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gair_search.encoder import checksums
from gair_search.errors import ModelError
from gair_search.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class EmbedderId:
    """Which model made a vector. Two embedders are the same where all but the name agree.

    Attributes:
        name: the name that the user gave, to be shown.
        architecture: open_clip's model name, or the hash of a folder's own model config.
        weights: first 16 hex digits of the SHA-256 of the weights file.
        preprocessing: first 8 hex digits of the SHA-256 of the preprocessing.
        dim: length of the vectors.
    """

    name: str
    architecture: str
    weights: str
    preprocessing: str
    dim: int

    def same_as(self, other: "EmbedderId") -> bool:
        """Whether vectors of the two may be compared."""
        return asdict(self) | {"name": ""} == asdict(other) | {"name": ""}

    def to_metadata(self) -> dict[str, Any]:
        """As JSON values, for a gallery's metadata."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, facts: Mapping[str, Any]) -> "EmbedderId":
        """The inverse of `to_metadata`. Raises KeyError or ValueError on other content."""
        name, architecture, weights, preprocessing = (
            str(facts[key]) for key in ("name", "architecture", "weights", "preprocessing")
        )
        return cls(name, architecture, weights, preprocessing, int(facts["dim"]))

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.architecture}, weights {self.weights}, preprocessing {self.preprocessing})"
        )


@dataclass(frozen=True)
class ModelSpec:
    """A model that is on this machine, ready to be loaded; `ModelInMemory` is one that is loaded already.

    Attributes:
        name: as the user wrote it, paths made absolute.
        architecture: open_clip's model name, or `local-dir:FOLDER`, for open_clip's factory.
        config: open_clip's model config (`embed_dim`, `vision_cfg`, `text_cfg`, ...).
        preprocessing: of images.
        weights: the checkpoint file; None for a model in memory.
        quick_gelu: whether the weights were trained with QuickGELU, whatever the config says.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    weights: Path | None
    quick_gelu: bool

    @property
    def embed_dim(self) -> int:
        """Length of the joint space's vectors."""
        return int(self.config["embed_dim"])

    @property
    def folder(self) -> Path | None:
        """The model's own folder; None where it has none (a tag of open_clip's, a single checkpoint)."""
        name = self.architecture
        return Path(name.removeprefix("local-dir:")) if name.startswith("local-dir:") else None

    @property
    def embedder_id(self) -> EmbedderId:
        """The identity that galleries and custom tokens store."""
        architecture = self.architecture
        if architecture.startswith("local-dir:"):
            architecture = "config-" + digest(json.dumps(self.config, sort_keys=True).encode(), 8)
        elif self.quick_gelu and not architecture.endswith("-quickgelu"):
            architecture += "-quickgelu"  # open_clip lists some weights under both names
        weights = checksums.file_hash(self.weights_file)[:16]
        return EmbedderId(self.name, architecture, weights, self._preprocessing_hash(), self.embed_dim)

    @property
    def weights_file(self) -> Path:
        """The checkpoint file.

        Raises:
            ModelError: the model is in memory, and has none.
        """
        if self.weights is None:
            raise ModelError(
                f"{self.name} is a model in memory, without a file of weights; this needs a model by name, as "
                f"Encoder.load(NAME) takes it"
            )
        return self.weights

    def verify_weights(self) -> None:
        """Check the weights against the folder's `SHA256SUMS`, where there is one; see `checksums.verify`.

        Raises:
            ModelError: they are damaged.
        """
        if self.folder is not None:
            checksums.verify(self.folder, [self.weights_file])

    def _preprocessing_hash(self) -> str:
        return digest(json.dumps(self.preprocessing.facts(), sort_keys=True).encode(), 8)


def digest(data: bytes, digits: int) -> str:
    """The first hex digits of the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()[:digits]
