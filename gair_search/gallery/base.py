"""The gallery's interface: what the engine and the indexer ask of Qdrant, whichever form it has."""

import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import EmbedderMismatchError, FilterError, GalleryError
from gair_search.gallery.filters import OWN_FIELDS, Kind, Where, no_field, parse_where

if TYPE_CHECKING:
    from qdrant_client import models

VECTOR = "image"
"""Name of the vector in a collection of our own; leaves room for others beside it."""

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

PointId = int | str
"""A point's id: an unsigned integer, or the text of a UUID."""


@dataclass(frozen=True)
class Point:
    """A stored image: point id, vector `[dim]`, payload."""

    id: PointId
    vector: NDArray[np.float32]
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A stored image without its vector."""

    id: PointId
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A returned point.

    Attributes:
        rank: from 1 on.
        score: cosine similarity in -1..1; the dot product where the collection's distance is Dot.
        path: the payload's `path`; None where it has none that is text.
        id: the point's id.
        payload: what was asked for of it.
        group: the value that the hit stands for, where hits are grouped.
    """

    rank: int
    score: float
    path: str | None
    id: PointId
    payload: Mapping[str, Any]
    group: str | int | None = None

    @property
    def label(self) -> str:
        """What to call it: its path, else its id."""
        return str(self.id) if self.path is None else self.path

    def to_json(self) -> dict[str, Any]:
        """Flat, as `gair query --json` prints it; the payload stands apart where a field has one of our names."""
        own: dict[str, Any] = {"rank": self.rank, "score": self.score, "id": self.id}
        if self.group is not None:
            own["group"] = self.group
        if own.keys() & self.payload.keys():
            return {**own, "payload": dict(self.payload)}
        return {**own, **self.payload}


@dataclass(frozen=True)
class SearchRequest:
    """One search.

    Attributes:
        vector: float32 `[dim]`.
        k: number of hits, or of groups.
        where: conditions on the payload that must all hold.
        filter: one more, as a `qdrant_client.models.Filter`.
        min_score: lowest score to return.
        exact: compare with every point instead of walking the index.
        offset: so many of the best are passed over.
        group_by: payload field; of the points with the same value the best one is returned.
        with_payload: whether hits have their payload; or which fields of it.
    """

    vector: NDArray[np.float32]
    k: int = 10
    where: Where = ()
    filter: "models.Filter | None" = None
    min_score: float | None = None
    exact: bool = False
    offset: int = 0
    group_by: str | None = None
    with_payload: bool | Sequence[str] = True

    @property
    def payload_selector(self) -> bool | list[str]:
        """`with_payload` as both clients take it."""
        chosen = self.with_payload
        return chosen if isinstance(chosen, bool) else list(chosen)


def as_hits(points: Iterable[Any], groups: Sequence[str | int | None] | None = None) -> list[Hit]:
    """Qdrant's scored points, best first, as hits; both clients' points have `id`, `score`, `payload`.

    Args:
        groups: the value that each point stands for.
    """
    hits: list[Hit] = []
    for rank, point in enumerate(points, start=1):
        payload = point.payload or {}
        path = payload.get("path")
        group = groups[rank - 1] if groups else None
        named = path if isinstance(path, str) else None
        hits.append(Hit(rank, point.score, named, as_id(point.id), payload, group))
    return hits


def as_id(raw: Any) -> PointId:
    """A point's id as the clients take it, from an integer of any library or a UUID in some form."""
    return operator.index(raw) if hasattr(raw, "__index__") else str(raw)


def leave_out(path: str, hits: Iterable[Hit]) -> list[Hit]:
    """Hits without those that are this very file, through links too, ranked again."""
    own = os.path.realpath(path)
    others = [hit for hit in hits if hit.path is None or os.path.realpath(hit.path) != own]
    return [replace(hit, rank=rank) for rank, hit in enumerate(others, start=1)]


def as_vectors(records: Iterable[Any], vector: str | None = VECTOR) -> dict[PointId, NDArray[np.float32]]:
    """Qdrant's records as vectors `[dim]` by id, without those that lack it; `vector`: its name, None for unnamed."""
    found = ((as_id(record.id), record.vector) for record in records)
    named = ((i, stored.get(vector) if isinstance(stored, dict) else stored) for i, stored in found)
    return {i: np.asarray(own, dtype=np.float32) for i, own in named if own is not None}


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

    is_foreign = False
    """Whether it is attached: a collection that is used as it is."""

    @property
    @abstractmethod
    def embedder(self) -> EmbedderId | None:
        """Which model made the vectors; None where the gallery does not exist yet."""

    @property
    def exists(self) -> bool:
        """Whether there is anything to search."""
        return self.embedder is not None

    @abstractmethod
    def create(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        """Make an empty gallery, its metadata naming the embedder."""

    @property
    def fields(self) -> Mapping[str, Kind]:
        """The payload fields that filters know, and how their values are compared."""
        return OWN_FIELDS

    @abstractmethod
    def has_field(self, field: str) -> bool:
        """Whether any image has a value in this payload field."""

    def read_where(self, expression: str | None) -> Where:
        """Parse a filter on this gallery's payload, see `filters.parse_where`.

        Raises:
            FilterError: it can't be read, or names a field that no image has.
        """
        where = parse_where(expression, self.fields, as_written=True)
        for condition in where:
            if condition.field not in self.fields and not self.has_field(condition.field):
                raise FilterError(f'"{expression}": {no_field(condition.field, self.fields)}')
        return where

    @abstractmethod
    def upsert(self, points: Sequence[Point]) -> None:
        """Store points, replacing those of the same id. Durable when it returns."""

    @abstractmethod
    def delete(self, ids: Sequence[PointId]) -> None:
        """Drop points; unknown ids are ignored."""

    @abstractmethod
    def answer(self, request: SearchRequest) -> list[Hit]:
        """The points of highest score, best first."""

    def answer_all(self, requests: Sequence[SearchRequest]) -> list[list[Hit]]:
        """The hits of each request; in one request to a server where none is grouped."""
        return [self.answer(request) for request in requests]

    def search(
        self,
        vector: NDArray[np.float32],
        k: int,
        where: Where = (),
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` points of highest cosine similarity to `vector` `[dim]`, best first; see `SearchRequest`."""
        return self.answer(SearchRequest(vector, k, where, min_score=min_score, exact=exact))

    @abstractmethod
    def vectors(self, ids: Sequence[PointId]) -> dict[PointId, NDArray[np.float32]]:
        """Stored vectors `[dim]` by id; unknown ids are left out."""

    @abstractmethod
    def payloads(
        self, ids: Sequence[PointId], fields: Sequence[str] | None = None
    ) -> dict[PointId, Mapping[str, Any]]:
        """Stored payloads by id, with these fields or all; unknown ids are left out."""

    @abstractmethod
    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        """All stored images, with these payload fields or all."""

    @abstractmethod
    def count(self) -> int:
        """How many images are stored; 0 where the gallery does not exist yet."""

    def facts(self) -> dict[str, Any]:
        """What else there is to say of it, as JSON values."""
        return {}

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
