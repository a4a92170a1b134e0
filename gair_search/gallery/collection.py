"""A collection behind `qdrant-client`: searched and read. What writes into it stands in `server` and `attached`."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import GalleryError
from gair_search.gallery import requests
from gair_search.gallery.base import Gallery, Hit, PointId, Record, SearchRequest, as_id, as_vectors
from gair_search.gallery.filters import Kind

ATTEMPTS = 5
"""Tries of one request; the pauses between them double from 0.2 s, with jitter."""

_SCROLL = 2000
_KINDS: Mapping[str, Kind] = {
    "keyword": "text",
    "text": "text",
    "uuid": "text",
    "integer": "number",
    "float": "number",
    "datetime": "time",
    "bool": "bool",
}
_DISTANCES = (models.Distance.COSINE, models.Distance.DOT)

T = TypeVar("T")


@dataclass(frozen=True)
class CollectionLayout:
    """What a collection's own description says of one of its vectors.

    Attributes:
        vector: its name; None where it has none.
        dim: its length.
        distance: `Cosine` or `Dot`.
        fields: the indexed payload fields, and how their values are compared.
        embedder: which model made the vectors, where gair-search did; else None.
    """

    vector: str | None
    dim: int
    distance: str
    fields: Mapping[str, Kind]
    embedder: EmbedderId | None

    @classmethod
    def read(cls, info: models.CollectionInfo, vector: str | None, name: str) -> "CollectionLayout":
        """Read a collection's description.

        Args:
            vector: name of the vector that is meant; None for the only one.
            name: where the collection is, for messages.

        Raises:
            GalleryError: there is no such vector, or its distance is not Cosine or Dot.
        """
        chosen, params = _choose_vector(info.config.params.vectors, vector, name)
        if params.multivector_config is not None:
            raise GalleryError(f"{name}: each point has several vectors in {chosen!r}; expected a single one")
        if params.distance not in _DISTANCES:
            raise GalleryError(
                f"{name} compares its vectors by {params.distance.value}, and a query of CLIP's is a direction: "
                f"expected a collection of distance Cosine or Dot"
            )
        fields = {key: _KINDS[kind] for key, kind in _indexed_fields(info) if kind in _KINDS}
        return cls(chosen, params.size, params.distance.value, fields, read_embedder(info))


def _choose_vector(vectors: Any, asked: str | None, name: str) -> tuple[str | None, models.VectorParams]:
    """A vector's name and parameters. Raises GalleryError where there is no such one, or no single one."""
    named: dict[str, models.VectorParams] = dict(vectors) if isinstance(vectors, dict) else {}
    if isinstance(vectors, models.VectorParams):
        if asked:
            raise GalleryError(f"{name} has no vector {asked!r}: its only one has no name, so leave it out")
        return None, vectors
    if asked is None and len(named) == 1:
        (asked,) = named
    if asked is None or asked not in named:
        there = ", ".join(f"{key} ({own.size} dimensions)" for key, own in sorted(named.items()))
        what = (
            "several vectors; say which"
            if asked is None and named
            else f"no dense vector {asked or ''}".rstrip()
        )
        raise GalleryError(f"{name} has {what}. There are: {there or 'none'}")
    return asked, named[asked]


def read_embedder(info: models.CollectionInfo) -> EmbedderId | None:
    """Which model made a collection's vectors, where gair-search did and the metadata can be read."""
    try:
        return EmbedderId.from_metadata((info.config.metadata or {})["gair"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _indexed_fields(info: models.CollectionInfo) -> list[tuple[str, str]]:
    """Payload fields with an index, and the index's type."""
    return [(key, str(own.data_type.value)) for key, own in (info.payload_schema or {}).items()]


def is_local(client: Any) -> bool:
    """Whether a client works in this process, on memory or a folder, where threads must take turns."""
    options = getattr(client, "init_options", {})
    return options.get("location") == ":memory:" or options.get("path") is not None


class CollectionGallery(Gallery):
    """A collection of a Qdrant server, or of the client's local engine. Transient failures are retried."""

    def __init__(
        self, client: Any, collection: str, name: str, vector: str | None, secret: str | None = None
    ) -> None:
        """Use a client that is already there.

        Args:
            client: a `QdrantClient`.
            collection: the collection's name.
            name: where it is, for messages; without secrets.
            vector: the vector's name; None for the unnamed one.
            secret: the API key, to be blotted out of every message.
        """
        self.name = name
        self.collection = collection
        self.vector = vector
        self._client = client
        self._secret = secret
        self._turn = threading.Lock() if is_local(client) else nullcontext()

    def answer(self, request: SearchRequest) -> list[Hit]:
        method, arguments = requests.search_arguments(request, self.collection, self.vector)
        return requests.read_hits(self._ask(lambda: getattr(self._client, method)(**arguments)))

    def answer_all(self, asked: Sequence[SearchRequest]) -> list[list[Hit]]:
        if any(request.group_by is not None for request in asked):
            return super().answer_all(asked)
        arguments = requests.batch_arguments(list(asked), self.collection, self.vector)
        found = self._ask(lambda: self._client.query_batch_points(**arguments)) if asked else []
        return [requests.read_hits(response) for response in found]

    def has_field(self, field: str) -> bool:
        chosen = requests.has_field_filter(field)
        page, _ = self._ask(
            lambda: self._client.scroll(self.collection, scroll_filter=chosen, limit=1, with_payload=False)
        )
        return bool(page)

    def vectors(self, ids: Sequence[PointId]) -> dict[PointId, NDArray[np.float32]]:
        wanted = True if self.vector is None else [self.vector]
        found = self._ask(
            lambda: self._client.retrieve(self.collection, list(ids), with_payload=False, with_vectors=wanted)
        )
        return as_vectors(found, self.vector)

    def payloads(
        self, ids: Sequence[PointId], fields: Sequence[str] | None = None
    ) -> dict[PointId, Mapping[str, Any]]:
        wanted = True if fields is None else list(fields)
        found = self._ask(
            lambda: self._client.retrieve(self.collection, list(ids), with_payload=wanted, with_vectors=False)
        )
        return {as_id(record.id): record.payload or {} for record in found}

    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        payload = True if fields is None else list(fields)
        offset: Any = None
        while True:
            page, offset = self._ask(
                lambda offset=offset: self._client.scroll(  # type: ignore[misc]
                    self.collection, limit=_SCROLL, offset=offset, with_payload=payload, with_vectors=False
                )
            )
            for record in page:
                yield Record(as_id(record.id), record.payload or {})
            if offset is None:
                return

    def count(self) -> int:
        return int(self._ask(lambda: self._client.count(self.collection, exact=True)).count)

    def delete(self, ids: Sequence[PointId]) -> None:
        if ids:
            selector = models.PointIdsList(points=list(ids))
            self._ask(lambda: self._client.delete(self.collection, selector, wait=True))

    def _as_stored(self, vector: NDArray[np.float32]) -> Any:
        """A vector as the client stores it: by its name, where it has one."""
        return vector.tolist() if self.vector is None else {self.vector: vector.tolist()}

    def _info(self) -> models.CollectionInfo:
        """The collection's own description."""
        info: models.CollectionInfo = self._ask(lambda: self._client.get_collection(self.collection))
        return info

    def _ask(self, request: Callable[[], T]) -> T:
        """Send a request, again where the failure may pass; any failure that stays is a GalleryError."""
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(initial=0.2, max=5, jitter=0.2),
            retry=retry_if_exception(requests.is_transient),
            reraise=True,
        )
        try:
            with self._turn:
                return retrying(request)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise a GalleryError that says what to do, without the API key."""
        # `from None`: the cause's own text and traceback may carry the key
        raise requests.explain_failure(error, self.name, self._secret) from None
