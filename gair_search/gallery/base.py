"""The gallery's interface: what the engine and the indexer ask of Qdrant, whichever form it has."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import EmbedderMismatchError, GalleryError
from gair_search.gallery.filters import Where

VECTOR = "image"
"""Name of the vector in the collection; leaves room for others beside it."""

INDEXED_FIELDS: dict[str, Literal["integer", "keyword", "datetime"]] = {
    "path": "keyword",
    "width": "integer",
    "height": "integer",
    "size": "integer",
    "format": "keyword",
    "content_hash": "keyword",
    "taken_at": "datetime",
}
"""Payload fields with an index, so that `--where` stays fast (and allowed, in a server's strict mode)."""

Quantization = Literal["scalar", "binary"]


@dataclass(frozen=True)
class Point:
    """A stored image: point id (UUID text), vector `[dim]`, payload."""

    id: str
    vector: NDArray[np.float32]
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A stored image without its vector."""

    id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A returned point: 1-based rank, cosine similarity in -1..1, path and the rest of the payload."""

    rank: int
    score: float
    path: str
    id: str
    payload: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Flat, as `gair query --json` prints it."""
        return {"rank": self.rank, "score": self.score, **self.payload}


def as_hits(points: Iterable[Any]) -> list[Hit]:
    """Qdrant's scored points, best first, as hits; both clients' points have `id`, `score`, `payload`."""
    return [
        Hit(rank, point.score, point.payload["path"], str(point.id), point.payload)
        for rank, point in enumerate(points, start=1)
    ]


def leave_out(path: str, hits: Iterable[Hit]) -> list[Hit]:
    """Hits without those that are this very file, through links too, ranked again."""
    own = os.path.realpath(path)
    others = [hit for hit in hits if os.path.realpath(hit.path) != own]
    return [replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)]


def as_vectors(records: Iterable[Any]) -> dict[str, NDArray[np.float32]]:
    """Qdrant's records as vectors `[dim]` by id."""
    return {str(record.id): np.asarray(record.vector[VECTOR], dtype=np.float32) for record in records}


@dataclass(frozen=True)
class GalleryConfig:
    """How a collection is laid out when it is created; no effect on one that exists.

    Attributes:
        shards, replication: of a server's collection; 1 and 1 unless given.
        hnsw_m, hnsw_ef_construct: the index graph's degree and build effort.
        quantization: `scalar` (int8) or `binary` copies of the vectors for the first pass.
        on_disk: keep the vectors on disk, not in memory (server).
    """

    shards: int | None = None
    replication: int | None = None
    hnsw_m: int | None = None
    hnsw_ef_construct: int | None = None
    quantization: Quantization | None = None
    on_disk: bool | None = None


class Gallery(ABC):
    """The indexed images behind one Qdrant collection. Searching is safe from several threads.

    All methods raise `GalleryError` where the engine or the server refuses or can't be reached.
    """

    name: str
    """For messages: where the gallery is, without secrets."""

    @property
    @abstractmethod
    def embedder(self) -> EmbedderId | None:
        """Which model made the vectors; None where the gallery does not exist yet."""

    @abstractmethod
    def create(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        """Make an empty gallery, its metadata naming the embedder."""

    @abstractmethod
    def upsert(self, points: Sequence[Point]) -> None:
        """Store points, replacing those of the same id. Durable when it returns."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Drop points; unknown ids are ignored."""

    @abstractmethod
    def search(
        self,
        vector: NDArray[np.float32],
        k: int,
        where: Where = (),
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` points of highest cosine similarity to `vector` `[dim]`, best first.

        Args:
            where: conditions on the payload that must all hold.
            min_score: lowest cosine similarity to return.
            exact: compare with every point instead of walking the index.
        """

    @abstractmethod
    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Stored vectors `[dim]` by id; unknown ids are left out."""

    @abstractmethod
    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        """All stored images, with these payload fields or all."""

    @abstractmethod
    def count(self) -> int:
        """How many images are stored; 0 where the gallery does not exist yet."""

    def optimize(self) -> None:  # noqa: B027 - a server does this by itself
        """Bring the index up to date after much was written."""

    def close(self) -> None:  # noqa: B027 - not every backend holds something
        """Release files and connections."""

    def require(self, embedder: EmbedderId) -> None:
        """Check that the gallery exists and that its vectors were made by `embedder`.

        Raises:
            EmbedderMismatchError: naming both.
            GalleryError: there is no gallery yet.
        """
        stored = self.embedder
        if stored is None:
            raise GalleryError(f"there is no gallery at {self.name} yet; make one with: gair index FOLDER")
        if not stored.same_as(embedder):
            elsewhere = "index the photos into another gallery (--gallery NAME, --db FOLDER)"
            advice = f"Use --model {stored.name}, or {elsewhere}"
            if stored.name == embedder.name:
                advice = f"The model of that name has changed since: {elsewhere}"
            raise EmbedderMismatchError(
                f"the gallery at {self.name} was made with {stored}, and the model in use is {embedder}. {advice}"
            )

    def ensure(self, embedder: EmbedderId, config: GalleryConfig | None = None) -> None:
        """Create the gallery where there is none, else check that it fits. Raises as `require`."""
        if self.embedder is None:
            self.create(embedder, config or GalleryConfig())
        self.require(embedder)
