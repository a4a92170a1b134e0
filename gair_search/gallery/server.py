"""The served gallery: a Qdrant server or cluster through `qdrant-client`."""

import contextlib
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from qdrant_client import QdrantClient, models

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import GalleryError
from gair_search.gallery.base import INDEXED_FIELDS, VECTOR, GalleryConfig, Point, Record
from gair_search.gallery.collection import CollectionGallery, CollectionLayout, read_embedder

_GRPC_PORT, _REST_PORT = 6334, 6333


class ServerGallery(CollectionGallery):
    """A gallery of our own on a Qdrant server."""

    def __init__(self, client: QdrantClient, collection: str, name: str, secret: str | None = None) -> None:
        """Use a client that is already there (`QdrantClient(":memory:")` has the same API).

        Args:
            collection: the collection's name.
            name: where it is, for messages; without secrets.
            secret: the API key, to be blotted out of every message.
        """
        super().__init__(client, collection, name, VECTOR, secret)
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
        client = connect(url, api_key, timeout)
        return cls(client, collection, f"{strip_secrets(url)} ({collection})", api_key)

    @property
    def embedder(self) -> EmbedderId | None:
        if self._embedder is None and self._ask(lambda: self._client.collection_exists(self.collection)):
            info = self._info()
            found = read_embedder(info)
            if found is None:
                raise GalleryError(
                    f"the collection at {self.name} was not made by gair-search (its metadata names no embedder), or "
                    f"the server is older than Qdrant 1.16; search it as it is with --collection "
                    f"{self.collection} --model NAME, or choose another with --gallery NAME"
                )
            layout = CollectionLayout.read(info, VECTOR, f"the gallery at {self.name}")
            if (layout.dim, layout.distance) != (found.dim, "Cosine"):
                raise GalleryError(
                    f"the gallery at {self.name} is not as gair-search makes them: {layout.distance}, "
                    f"{layout.dim} dimensions; expected Cosine and {found.dim}"
                )
            self._embedder = found
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
            models.PointStruct(id=p.id, vector=self._as_stored(p.vector), payload=dict(p.payload))
            for p in points
        ]
        self._ask(lambda: self._client.upsert(self.collection, stored, wait=True))

    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        return iter(()) if self.embedder is None else super().records(fields)

    def count(self) -> int:
        return 0 if self.embedder is None else super().count()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()


def connect(url: str, api_key: str | None = None, timeout: float = 30.0) -> QdrantClient:
    """A client of a server; gRPC where its usual port answers, REST otherwise.

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
            f"{strip_secrets(url)} is no address of a Qdrant server; expected http://HOST:6333"
        )
    # another port may well be another server's neighbour: ask for gRPC only where it is sure to be its own
    use_grpc = port in (None, _REST_PORT) and _is_listening(host, _GRPC_PORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an API key over plain http: the user's own choice
        return QdrantClient(
            url=url, api_key=api_key, prefer_grpc=use_grpc, timeout=int(timeout), check_compatibility=False
        )


def _is_listening(host: str, port: int) -> bool:
    """Whether something accepts connections there, within half a second."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def strip_secrets(url: str) -> str:
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
