"""The embedded gallery: Qdrant's own engine in this process (`qdrant-edge-py`), one folder on disk."""

import contextlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import GalleryError, GalleryLockedError
from gair_search.gallery.base import (
    INDEXED_FIELDS,
    VECTOR,
    Gallery,
    GalleryConfig,
    Hit,
    Point,
    PointId,
    Record,
    SearchRequest,
    as_hits,
    as_id,
    as_vectors,
)
from gair_search.gallery.edge_filters import edge_filter, excluding
from gair_search.gallery.payload import pick_fields, values_at
from gair_search.paths import write_atomically

INDEXING_THRESHOLD_KB = 400_000
"""Size of the vectors from which on an HNSW graph is built: 200,000 of 512 dimensions. Below, comparing
with every vector takes a few milliseconds, is exact and costs no building (benchmarks/RESULTS.md)."""

_FORMAT = 1
_OWN = ("gair.json", "shard", "lock", "holder.json")
_SCROLL = 2000
_SCHEMAS = {
    "integer": edge.PayloadSchemaType.Integer,
    "keyword": edge.PayloadSchemaType.Keyword,
    "datetime": edge.PayloadSchemaType.Datetime,
}


class EmbeddedGallery(Gallery):
    """A gallery in a folder. One process at a time may hold it; threads may share it.

    The folder holds `gair.json` (metadata, written last when the gallery is created), `shard/` (Qdrant's
    storage) and `lock`. Every batch is in the write-ahead log and flushed before `upsert` returns.
    """

    def __init__(self, folder: Path) -> None:
        """Open the gallery in `folder`; where there is none, nothing is made or touched before `create`.

        Raises:
            GalleryLockedError: another process holds it.
            GalleryError: it is damaged, or the folder holds something else.
        """
        self.name = str(folder)
        self.folder = folder
        self._lock: FileLock | None = None
        self._shard: edge.EdgeShard | None = None
        self._embedder: EmbedderId | None = None
        try:
            exists = self._metadata.exists()
        except OSError as error:
            raise GalleryError(f"{folder} can't be used as a gallery: {error.strerror or error}") from error
        if exists:
            self._acquire()
            self._open()

    @property
    def _metadata(self) -> Path:
        """The file that makes a gallery valid."""
        return self.folder / "gair.json"

    def _acquire(self) -> None:
        """Take the folder's lock, which the system frees when this process ends, however it ends."""
        lock = FileLock(self.folder / "lock", timeout=0)
        holder = self.folder / "holder.json"
        try:
            lock.acquire()
        except Timeout:
            who = "another process"
            with contextlib.suppress(OSError, ValueError, KeyError):
                facts = json.loads(holder.read_text("utf-8"))
                who = f"process {facts['pid']} ({facts['command']})"
            raise GalleryLockedError(
                f"the gallery at {self.folder} is in use by {who}; an embedded gallery serves one process at a "
                f"time. Wait for it, or run a Qdrant server and give its address with --url"
            ) from None
        except OSError as error:
            raise GalleryError(
                f"{self.folder} can't be used as a gallery: {error.strerror or error}"
            ) from error
        command = " ".join(Path(part).name for part in sys.argv[:2])
        write_atomically(
            holder, json.dumps({"pid": os.getpid(), "command": command}).encode(), required=False
        )
        self._lock = lock

    def _open(self) -> None:
        """Load the shard that `gair.json` vouches for. Frees the lock where that fails."""
        try:
            facts = json.loads(self._metadata.read_text("utf-8"))
            if facts["format"] != _FORMAT:
                raise GalleryError(
                    f"{self.folder} has gallery format {facts['format']}, and this version reads {_FORMAT}"
                )
            embedder = EmbedderId.from_metadata(facts["embedder"])
            with _translate_errors(f"the gallery at {self.folder} can't be opened"):
                self._shard = edge.EdgeShard.load(str(self.folder / "shard"))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            self.close()
            raise GalleryError(f"{self._metadata} is damaged ({error!r}); index the photos anew") from error
        except GalleryError:
            self.close()
            raise
        self._embedder = embedder

    @property
    def embedder(self) -> EmbedderId | None:
        return self._embedder

    def create(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        if (config.shards or 1) > 1 or (config.replication or 1) > 1:
            raise GalleryError(
                "an embedded gallery has one shard and no replicas; those need a server: --url"
            )
        self._prepare()
        try:
            if self._metadata.exists():  # another process was quicker
                self._open()
            else:
                self._make(embedder, config)
        except BaseException:
            self.close()
            raise

    def _make(self, embedder: EmbedderId, config: GalleryConfig) -> None:
        """Write an empty shard, and then the metadata that makes it valid."""
        hnsw = edge.HnswIndexConfig(
            m=config.hnsw_m or 16,
            ef_construct=config.hnsw_ef_construct or 100,
            full_scan_threshold=10_000,
            max_indexing_threads=0,
        )
        layout = edge.EdgeConfig(
            vectors={VECTOR: edge.EdgeVectorParams(size=embedder.dim, distance=edge.Distance.Cosine)},
            hnsw_config=hnsw,
            quantization_config=_to_quantization(config),
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=INDEXING_THRESHOLD_KB),
        )
        with _translate_errors(f"no gallery can be made at {self.folder}"):
            shard = edge.EdgeShard.create(str(self.folder / "shard"), layout)
            for field, schema in INDEXED_FIELDS.items():
                shard.update(edge.UpdateOperation.create_field_index(field, _SCHEMAS[schema]))
            shard.flush()
            facts = {"format": _FORMAT, "embedder": embedder.to_metadata()}
            write_atomically(self._metadata, json.dumps(facts, indent=1).encode())
        self._shard, self._embedder = shard, embedder

    def _prepare(self) -> None:
        """Make the folder and lock it; clear what a creation that was cut off left there.

        Raises:
            GalleryError: the folder can't be made, or holds something else.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self.folder.iterdir())
            # hidden files are the system's, or what a kill left of our own writing
            foreign = [name for name in names if name not in _OWN and not name.startswith(".")]
        except OSError as error:
            raise GalleryError(
                f"{self.folder} can't be used as a gallery: {error.strerror or error}"
            ) from error
        if foreign:
            raise GalleryError(
                f"{self.folder} is no gallery: it holds {foreign[0]}; name an empty or a new folder"
            )
        self._acquire()
        if not self._metadata.exists():
            shutil.rmtree(self.folder / "shard", ignore_errors=True)

    @property
    def shard(self) -> edge.EdgeShard:
        """Qdrant's shard. Raises GalleryError where the gallery is closed or does not exist yet."""
        if self._shard is None:
            raise GalleryError(f"the gallery at {self.name} is closed or not made yet: gair index FOLDER")
        return self._shard

    def upsert(self, points: Sequence[Point]) -> None:
        stored = [edge.Point(p.id, {VECTOR: p.vector.tolist()}, dict(p.payload)) for p in points]
        with _translate_errors("storing failed"):
            self.shard.update(edge.UpdateOperation.upsert_points(stored))
            self.shard.flush()

    def delete(self, ids: Sequence[PointId]) -> None:
        if ids:
            with _translate_errors("deleting failed"):
                self.shard.update(edge.UpdateOperation.delete_points(list(ids)))
                self.shard.flush()

    def has_field(self, field: str) -> bool:
        request = edge.ScrollRequest(limit=1, filter=excluding(None, field, []), with_payload=False)
        with _translate_errors("reading the gallery failed"):
            return bool(self.shard.scroll(request)[0])

    def answer(self, request: SearchRequest) -> list[Hit]:
        chosen = edge_filter(request.where, request.filter)
        if request.group_by is not None:
            return self._answer_grouped(request, chosen)
        with _translate_errors("searching failed"):
            return as_hits(self.shard.query(_to_query(request, chosen)))

    def answer_all(self, requests: Sequence[SearchRequest]) -> list[list[Hit]]:
        if any(request.group_by is not None for request in requests):
            return super().answer_all(requests)
        queries = [_to_query(request, edge_filter(request.where, request.filter)) for request in requests]
        with _translate_errors("searching failed"):
            found = self.shard.query_batch(edge.QueryBatchRequest(queries)) if queries else []
        return [as_hits(points) for points in found]

    def _answer_grouped(self, request: SearchRequest, chosen: edge.Filter | None) -> list[Hit]:
        """The best point of each group. The engine can't group: ask again without the groups that were seen."""
        field = str(request.group_by)
        found: dict[str | int, Any] = {}
        while len(found) < request.k:
            asked = replace(request, k=2 * (request.k - len(found)), with_payload=True)
            with _translate_errors("searching failed"):
                points = self.shard.query(_to_query(asked, excluding(chosen, field, found)))
            if not points:
                break
            seen = len(found)
            for point in points:
                values = values_at(point.payload or {}, field)
                for value in values:
                    found.setdefault(value, point)
            if len(found) == seen:  # values that are neither text nor integers name no group
                break
        best = sorted(found.items(), key=lambda item: -item[1].score)[: request.k]
        hits = as_hits((point for _, point in best), [value for value, _ in best])
        return [replace(hit, payload=pick_fields(hit.payload, request.with_payload)) for hit in hits]

    def vectors(self, ids: Sequence[PointId]) -> dict[PointId, NDArray[np.float32]]:
        with _translate_errors("reading vectors failed"):
            found = self.shard.retrieve(list(ids), with_payload=False, with_vector=True)
        return as_vectors(found)

    def payloads(
        self, ids: Sequence[PointId], fields: Sequence[str] | None = None
    ) -> dict[PointId, Mapping[str, Any]]:
        wanted = True if fields is None else list(fields)
        with _translate_errors("reading the gallery failed"):
            found = self.shard.retrieve(list(ids), with_payload=wanted, with_vector=False)
        return {as_id(record.id): record.payload or {} for record in found}

    def records(self, fields: Sequence[str] | None = None) -> Iterator[Record]:
        if self._embedder is None:
            return
        payload = True if fields is None else list(fields)
        offset: int | uuid.UUID | str | None = None
        while True:
            with _translate_errors("reading the gallery failed"):
                page, offset = self.shard.scroll(
                    edge.ScrollRequest(offset=offset, limit=_SCROLL, with_payload=payload, with_vector=False)
                )
            for record in page:
                yield Record(as_id(record.id), record.payload or {})
            if offset is None:
                return

    def count(self) -> int:
        if self._embedder is None:
            return 0
        with _translate_errors("counting failed"):
            return self.shard.count(edge.CountRequest(exact=True))

    def optimize(self) -> None:
        if self._embedder is not None:
            with _translate_errors("optimising failed"):
                self.shard.optimize()

    def close(self) -> None:
        shard, self._shard = self._shard, None
        lock, self._lock = self._lock, None
        try:
            if shard is not None:
                shard.close()
        finally:
            if lock is not None:
                lock.release()


@contextlib.contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    """The engine raises bare `Exception`s: give them our type and say what was being done."""
    try:
        yield
    except GalleryError:
        raise
    except Exception as error:
        raise GalleryError(f"{what}: {error}") from error


def _to_quantization(config: GalleryConfig) -> Any:
    """The engine's form of `config.quantization`."""
    if config.quantization == "scalar":
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
    if config.quantization == "binary":
        return edge.BinaryQuantizationConfig(always_ram=True)
    return None


def _to_query(request: SearchRequest, chosen: edge.Filter | None) -> edge.QueryRequest:
    """A search as the engine takes it."""
    return edge.QueryRequest(
        query=edge.Query.Nearest(request.vector.tolist(), using=VECTOR),
        limit=request.k,
        offset=request.offset,
        filter=chosen,
        score_threshold=request.min_score,
        params=edge.SearchParams(exact=request.exact),
        with_payload=request.payload_selector,
        with_vector=False,
    )
