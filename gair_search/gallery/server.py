"""The served gallery: a Qdrant server or cluster through `qdrant-client`."""

import contextlib
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit

import grpc
import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import GalleryError
from gair_search.gallery.base import (
    INDEXED_FIELDS,
    VECTOR,
    Gallery,
    GalleryConfig,
    Hit,
    Point,
    Record,
    as_hits,
    as_vectors,
)
from gair_search.gallery.filters import Bounds, Where

ATTEMPTS = 5
"""Tries of one request; the pauses between them double from 0.2 s, with jitter."""

_GRPC_PORT, _REST_PORT = 6334, 6333
_GRPC_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_SCROLL = 2000

T = TypeVar("T")


class ServerGallery(Gallery):
    """A collection of a Qdrant server. Transient failures are retried with back-off."""

    def __init__(self, client: QdrantClient, collection: str, name: str, secret: str | None = None) -> None:
        """Use a client that is already there (`QdrantClient(":memory:")` has the same API).

        Args:
            collection: the collection's name.
            name: where it is, for messages; without secrets.
            secret: the API key, to be blotted out of every message.
        """
        self.name = name
        self.collection = collection
        self._client = client
        self._secret = secret
        self._embedder: EmbedderId | None = None

    @classmethod
    def connect(
        cls, url: str, collection: str, api_key: str | None = None, timeout: float = 30.0
    ) -> "ServerGallery":
        """Connect to a server; gRPC where its usual port answers, REST otherwise.

        Args:
            url: `http://host:6333` or `https://...`.
            timeout: of one request, in seconds.

        Raises:
            GalleryError: the URL can't be used.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise GalleryError("--url is no address of a Qdrant server; expected http://HOST:6333") from None
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
            raise GalleryError(
                f"{_strip_secrets(url)} is no address of a Qdrant server; expected http://HOST:6333"
            )
        # another port may well be another server's neighbour: ask for gRPC only where it is sure to be its own
        use_grpc = port in (None, _REST_PORT) and _is_listening(host, _GRPC_PORT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an API key over plain http: the user's own choice
            client = QdrantClient(
                url=url,
                api_key=api_key,
                prefer_grpc=use_grpc,
                timeout=int(timeout),
                check_compatibility=False,
            )
        return cls(client, collection, f"{_strip_secrets(url)} ({collection})", api_key)

    @property
    def embedder(self) -> EmbedderId | None:
        if self._embedder is None and self._ask(lambda: self._client.collection_exists(self.collection)):
            info = self._ask(lambda: self._client.get_collection(self.collection))
            try:
                self._embedder = EmbedderId.from_metadata((info.config.metadata or {})["gair"])
            except (KeyError, TypeError, ValueError):
                raise GalleryError(
                    f"the collection at {self.name} was not made by gair-search (its metadata names no embedder), "
                    f"or the server is older than Qdrant 1.16; choose another with --gallery NAME"
                ) from None
        return self._embedder

    def create(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        vectors = models.VectorParams(
            size=embedder.dim, distance=models.Distance.COSINE, on_disk=config.on_disk
        )
        try:
            self._ask(
                lambda: self._client.create_collection(
                    self.collection,
                    vectors_config={VECTOR: vectors},
                    shard_number=config.shards,
                    replication_factor=config.replication,
                    hnsw_config=models.HnswConfigDiff(m=config.hnsw_m, ef_construct=config.hnsw_ef_construct),
                    quantization_config=_to_quantization(config),
                    metadata={"gair": embedder.to_metadata()},
                )
            )
        except GalleryError:
            if self.embedder is None:  # else another process was quicker, or a time-out had succeeded
                raise

    def ensure(self, embedder: EmbedderId, config: GalleryConfig | None = None) -> None:
        super().ensure(embedder, config)
        info = self._ask(lambda: self._client.get_collection(self.collection))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the in-memory client says that it needs no payload index
            for field in INDEXED_FIELDS.keys() - info.payload_schema.keys():
                self._ask(partial(self._index_field, field))

    def _index_field(self, field: str) -> None:
        """Make the index of one payload field."""
        schema = models.PayloadSchemaType(INDEXED_FIELDS[field])
        self._client.create_payload_index(self.collection, field, field_schema=schema)

    def upsert(self, points: Sequence[Point]) -> None:
        stored = [
            models.PointStruct(id=p.id, vector={VECTOR: p.vector.tolist()}, payload=dict(p.payload))
            for p in points
        ]
        self._ask(lambda: self._client.upsert(self.collection, stored, wait=True))

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            selector = models.PointIdsList(points=list(ids))
            self._ask(lambda: self._client.delete(self.collection, selector, wait=True))

    def search(
        self,
        vector: NDArray[np.float32],
        k: int,
        where: Where = (),
        min_score: float | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        found = self._ask(
            lambda: self._client.query_points(
                self.collection,
                query=vector.tolist(),
                using=VECTOR,
                limit=k,
                query_filter=_to_filter(where),
                score_threshold=min_score,
                search_params=models.SearchParams(exact=True) if exact else None,
                with_payload=True,
            )
        )
        return as_hits(found.points)

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found = self._ask(
            lambda: self._client.retrieve(self.collection, list(ids), with_payload=False, with_vectors=True)
        )
        return as_vectors(found)

    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        if self.embedder is None:
            return
        payload = True if fields is None else list(fields)
        offset: Any = None
        while True:
            page, offset = self._ask(
                lambda offset=offset: self._client.scroll(  # type: ignore[misc]
                    self.collection, limit=_SCROLL, offset=offset, with_payload=payload, with_vectors=False
                )
            )
            for record in page:
                yield Record(str(record.id), record.payload or {})
            if offset is None:
                return

    def count(self) -> int:
        if self.embedder is None:
            return 0
        return self._ask(lambda: self._client.count(self.collection, exact=True)).count

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()

    def _ask(self, request: Callable[[], T]) -> T:
        """Send a request, again where the failure may pass; any failure that stays is a GalleryError."""
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(initial=0.2, max=5, jitter=0.2),
            retry=retry_if_exception(_is_transient),
            reraise=True,
        )
        try:
            return retrying(request)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise a GalleryError that says what to do, without the API key."""
        status = error.status_code if isinstance(error, UnexpectedResponse) else None
        code = error.code() if isinstance(error, grpc.RpcError) and hasattr(error, "code") else None
        if status in (401, 403) or code in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.PERMISSION_DENIED,
        ):
            reason = "the server refused the API key; check GAIR_API_KEY"
        elif isinstance(error, ResponseHandlingException) or code in _GRPC_TRANSIENT:
            reason = f"the server could not be reached ({error}); is Qdrant running there?"
        elif status is not None:
            reason = f"the server answered {status}: {_server_message(error)}"
        else:
            reason = str(error) or type(error).__name__
        reason = f"the gallery at {self.name}: {reason}"
        if self._secret:
            reason = reason.replace(self._secret, "***")
        # `from None`: the cause's own text and traceback may carry the key
        raise GalleryError(reason) from None


def _is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in (408, 429) or (error.status_code or 0) >= 500
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return error.code() in _GRPC_TRANSIENT
    return isinstance(error, ResponseHandlingException | ResourceExhaustedResponse)


def _server_message(error: Exception) -> str:
    """The server's own words out of a REST error."""
    content = getattr(error, "content", b"") or b""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    found = re.search(r'"error"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    return found[1] if found else text[:300]


def _is_listening(host: str, port: int) -> bool:
    """Whether something accepts connections there, within half a second."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def _strip_secrets(url: str) -> str:
    """A URL without user name, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _to_quantization(config: GalleryConfig) -> Any:
    """The server's form of `config.quantization`."""
    if config.quantization == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if config.quantization == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def _to_filter(where: Where) -> models.Filter | None:
    """Conditions as the server's filter."""
    if not where:
        return None
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in where:
        if isinstance(condition, Bounds):
            bounds: dict[str, Any] = {side: getattr(condition, side) for side in ("gt", "gte", "lt", "lte")}
            times = any(isinstance(value, str) for value in bounds.values())
            bound = models.DatetimeRange(**bounds) if times else models.Range(**bounds)
            form = models.FieldCondition(key=condition.field, range=bound)
        else:
            match = (
                models.MatchSubstring(substring=condition.value)
                if condition.contains
                else models.MatchValue(value=condition.value)
            )
            form = models.FieldCondition(key=condition.field, match=match)
        (must_not if condition.negated else must).append(form)
    return models.Filter(must=must or None, must_not=must_not or None)
