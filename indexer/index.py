"""The pipeline: scan -> plan -> load (workers) -> embed in batches -> store."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.identity import ModelSpec
from gair_search.errors import GairError, GalleryError
from gair_search.gallery import (
    Gallery,
    GalleryConfig,
    Point,
    PointId,
    Record,
)
from gair_search.images.fingerprint import point_id
from gair_search.images.folders import Scan, Skipped, scan
from gair_search.images.workers import Loaded
from gair_search.indexer.batches import BATCH_SIZE, load_batches
from gair_search.indexer.sync import find_missing, find_moved, is_of_folders, plan
from gair_search.progress import Progress


@dataclass
class IndexReport:
    """What an index run did.

    Attributes:
        found: image files seen.
        unchanged: needed a stat alone.
        embedded: went through the image tower.
        reused: stored with the vector of the same content (renamed, duplicate or touched files).
        moved: dropped at their old path, since their content lives at another.
        pruned: dropped, since their files are gone.
        gone: files that are gone and still in the gallery (dropped by `prune`).
        skipped: what was passed over, and why.
        other: files that are no images by their suffix.
        total: images in the gallery afterwards.
        seconds: wall time. embed_seconds: of it inside the image tower, the first batch aside.
        load_model_seconds: the first batch, which reads the image tower from disk.
    """

    found: int = 0
    unchanged: int = 0
    embedded: int = 0
    reused: int = 0
    moved: int = 0
    pruned: int = 0
    gone: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    other: int = 0
    total: int = 0
    seconds: float = 0.0
    embed_seconds: float = 0.0
    load_model_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in vars(self).items()}
        return {**rounded, "skipped": [skipped._asdict() for skipped in self.skipped]}


Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Pixels `[B, height, width, 3]` -> L2-normalised image features `[B, embed_dim]`: `Encoder.encode_pixels`."""


class IndexOptions(TypedDict, total=False):
    """The options of `index_folders`."""

    prune: bool
    config: GalleryConfig | None
    batch_size: int
    workers: int | None
    on_progress: Progress | None


def index_folders(
    folders: Sequence[Path],
    spec: ModelSpec,
    encode: Encode,
    gallery: Gallery,
    *,
    prune: bool = False,
    config: GalleryConfig | None = None,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> IndexReport:
    """Bring a gallery up to date with folders of images.

    Every batch is durable once stored, and a run begins by comparing the files with the gallery: a run
    that was cut off anywhere loses the batch in flight and is completed by the next.

    Args:
        folders: folders, or single images.
        spec: the model: its id goes into the gallery, its preprocessing to the decoding processes.
        encode: the model's image tower; called for content that is not stored yet, and not at all without.
        prune: also drop images below `folders` whose files are gone.
        config: for a gallery that is created by this run.
        batch_size: images that are embedded and stored at once.
        workers, on_progress: as for `load_batches`.

    Raises:
        GairError: a folder does not exist, or `prune` would drop all that a folder held.
        EmbedderMismatchError: the gallery is of another model.
        GalleryError: storing failed; what was stored before is kept.
    """
    began = time.perf_counter()
    found = scan(folders)  # before a gallery is made: a slip of the pen leaves none behind
    gallery.ensure(spec.embedder_id, config)
    run = _Run(encode, gallery, found)
    batches = load_batches(
        run.todo,
        spec.preprocessing,
        run.report.skipped,
        known=frozenset(run.known),
        batch_size=batch_size,
        workers=workers,
        on_progress=on_progress,
    )
    with contextlib.closing(batches):
        for batch in batches:
            run.store(batch)
    run.drop_missing(prune)
    run.optimize()
    run.report.total = gallery.count()
    run.report.seconds = time.perf_counter() - began
    return run.report


class _Run:
    """What an index run knows while it goes: which content is stored where."""

    def __init__(self, encode: Encode, gallery: Gallery, found: Scan) -> None:
        self.encode = encode
        self.gallery = gallery
        self.found = found
        self.stored = {r.payload["path"]: r for r in gallery.records() if is_of_folders(r)}
        self.known = {record.payload["content_hash"]: record for record in self.stored.values()}
        self.todo, unchanged = plan(found.files, self.stored)
        self.report = IndexReport(len(found.files), unchanged, skipped=found.skipped, other=found.other)
        self._kept: dict[str, NDArray[np.float32]] = {}

    def store(self, batch: Sequence[Loaded]) -> None:
        """Embed what is new in a batch, reuse the vectors of known content, and store all of it."""
        vectors = self._embed(batch) | self._reuse(batch)
        self._keep_overwritten(batch)
        points = [
            Point(point_id(item.file.path), vectors[item.content_hash], self._payload(item)) for item in batch
        ]
        self.gallery.upsert(points)
        for point in points:
            record = Record(point.id, point.payload)
            self.stored[point.payload["path"]] = record
            self.known[point.payload["content_hash"]] = record

    def drop_missing(self, prune: bool) -> None:
        """Drop images that moved, and with `prune` those whose files are gone.

        Raises:
            GairError: `prune` would drop all that the folders held.
        """
        missing = find_missing(self.stored.values(), self.found)
        if prune and missing and not self.found.files:
            raise GairError(
                f"no image is left below {', '.join(self.found.roots)}, and all {len(missing)} that were would be "
                f"pruned: is a disk not mounted? If they are to go, delete the gallery"
            )
        missing_ids = {record.id for record in missing}
        live = {r.payload["content_hash"] for r in self.stored.values() if r.id not in missing_ids}
        old_places = {record.id for record in find_moved(missing, live)}
        lost = missing_ids - old_places
        self.gallery.delete(sorted(old_places, key=str))
        self.report.moved = len(old_places)
        if prune:
            self.gallery.delete(sorted(lost, key=str))
            self.report.pruned = len(lost)
        else:
            self.report.gone = len(lost)

    def optimize(self) -> None:
        """Bring the gallery's index up to date, where this run changed anything."""
        if self.todo or self.report.moved or self.report.pruned:
            self.gallery.optimize()

    def _embed(self, batch: Sequence[Loaded]) -> dict[str, NDArray[np.float32]]:
        """Vectors of content that was not stored before, by content hash; equal files go through once."""
        fresh = {
            item.content_hash: item.pixels
            for item in batch
            if item.pixels is not None and item.content_hash not in self.known
        }
        self.report.reused += len(batch) - len(fresh)
        if not fresh:
            return {}
        began = time.perf_counter()
        first = not self.report.embedded
        features = self.encode(np.stack(list(fresh.values())))
        took = time.perf_counter() - began
        if first:
            self.report.load_model_seconds += took
        else:
            self.report.embed_seconds += took
        self.report.embedded += len(fresh)
        return dict(zip(fresh, features, strict=True))

    def _reuse(self, batch: Sequence[Loaded]) -> dict[str, NDArray[np.float32]]:
        """Vectors of content that is stored already, by content hash."""
        needed = {item.content_hash for item in batch if item.content_hash in self.known}
        kept = {h: self._kept[h] for h in needed if h in self._kept}
        ids = {h: self.known[h].id for h in needed - kept.keys()}
        stored = self._stored_vectors(set(ids.values()))
        return kept | {h: stored[i] for h, i in ids.items()}

    def _keep_overwritten(self, batch: Sequence[Loaded]) -> None:
        """Hold on to vectors whose points are about to be replaced: a later file may have that content."""
        leaving = []
        for item in batch:
            record = self.stored.get(item.file.path)
            if (
                record
                and (old := record.payload["content_hash"]) != item.content_hash
                and self.known[old].id == record.id
            ):
                leaving.append((old, record.id))
        vectors = self._stored_vectors({i for _, i in leaving})
        self._kept.update((old, vectors[i]) for old, i in leaving)

    def _stored_vectors(self, ids: set[PointId]) -> dict[PointId, NDArray[np.float32]]:
        """Vectors of points that were stored when the run began, or by it. Raises GalleryError if one is gone."""
        vectors = self.gallery.vectors(sorted(ids, key=str)) if ids else {}
        if len(vectors) < len(ids):
            raise GalleryError(f"{self.gallery.name} was changed by another process; run the index again")
        return vectors

    def _payload(self, loaded: Loaded) -> dict[str, Any]:
        """A point's payload; facts of known content come from where it is stored."""
        facts: dict[str, Any]
        if loaded.pixels is None:
            twin = self.known[loaded.content_hash].payload
            facts = {key: twin.get(key) for key in ("width", "height", "format", "taken_at")}
        else:
            facts = {
                "width": loaded.width,
                "height": loaded.height,
                "format": loaded.format,
                "taken_at": loaded.taken_at,
            }
        return {
            "path": loaded.file.path,
            "size": loaded.file.size,
            "mtime_ns": loaded.file.mtime_ns,
            "content_hash": loaded.content_hash,
            **facts,
        }
