"""Images of a program into a gallery, as a stream: take, read and decode (threads), embed in batches, store."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import length_hint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import GairError, GalleryError
from gair_search.gallery import Gallery, Point, PointId
from gair_search.images.fetching import AllowUrls, url_config
from gair_search.images.preprocessing import Preprocessing
from gair_search.indexer.ahead import (
    Item,
    ItemLoader,
    LoadedItem,
    SkippedItem,
    StoredPayloads,
    decoding_threads,
)
from gair_search.indexer.batches import BATCH_SIZE
from gair_search.indexer.index import Encode
from gair_search.indexer.payloads import is_same_payload
from gair_search.progress import Progress

MOST_KEPT = 1000
"""So many skipped items are kept with their reasons; all are counted."""


@dataclass
class ItemsReport:
    """What became of items: `found` is the sum of the four counts after it.

    Attributes:
        found: items taken.
        unchanged: needed nothing: stored with this content and this payload already.
        embedded: went through the image tower.
        reused: stored with a vector that was there: the payload alone was new, or an item of the same batch has the
            same content.
        n_skipped: passed over.
        skipped: the first 1,000 of these, each with its id and the reason.
        seconds: wall time. embed_seconds: of it inside the image tower.
    """

    found: int = 0
    unchanged: int = 0
    embedded: int = 0
    reused: int = 0
    n_skipped: int = 0
    skipped: list[SkippedItem] = field(default_factory=list)
    seconds: float = 0.0
    embed_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in vars(self).items()}
        return {**rounded, "skipped": [skipped._asdict() for skipped in self.skipped]}


def index_items(
    items: Iterable[Item],
    preprocessing: Preprocessing,
    encode: Encode,
    gallery: Gallery,
    *,
    allow_urls: AllowUrls = False,
    batch_size: int = BATCH_SIZE,
    threads: int | None = None,
    stored: StoredPayloads | None = None,
    facts: bool = True,
    on_progress: Progress | None = None,
) -> ItemsReport:
    """Store images with ids and payloads of the caller's own. Long, since it says what ends a run and what does not.

    Items are taken as they are needed, in this thread, and let go when they are stored: a generator of ten million
    is never in memory as a whole. What an item holds is copied before the next is taken, so a generator may
    close and reuse it. Every batch is durable once it is stored. Of several items with one id the last wins.

    A bad image or payload is skipped with its reason. A bad id, and whatever else `items` raises, ends the run: what
    was taken before is stored, then the error is raised. A `KeyboardInterrupt`, and an error of `on_progress`,
    `encode`, `stored` or `gallery`, ends it at once: nothing of the batch in flight is stored, and no thread is left.

    Args:
        items: `(id, image, payload)`. The id is an integer in 0..2**64-1 or a UUID; the payload consists of JSON
            values.
        preprocessing: of the model.
        encode: the model's image tower.
        gallery: where to; it is there already, and of this model (`Gallery.ensure`).
        allow_urls: whether a text may be an address, and how it is fetched.
        batch_size: images that are embedded and stored at once.
        threads: that read and decode; by default as many as there are cores, in 4..8.
        stored: payloads of stored points by id, with at least the user's own fields and ours. With it, items whose
            content is stored under their id are not embedded again. Leave it out where other vectors than
            this model's may be stored beside those payloads.
        facts: whether payloads get `content_hash`, `width`, `height`, `format` and `taken_at` beside the user's own
            keys, which win.
        on_progress: called after each item; for the last of a batch when the batch is stored. Where `items` has no
            length, the total is what was taken by then.

    Raises:
        GairError: an id can't be one, or an item is no tuple of three.
        GalleryError: storing failed; what was stored before is kept.
    """
    began = time.perf_counter()
    if batch_size < 1:
        raise GairError(f"batch_size is {batch_size}; expected 1 or more")
    length = length_hint(items)
    loader = ItemLoader(
        items,
        preprocessing,
        urls=url_config(allow_urls),
        stored=stored,
        chunk=batch_size,
        threads=threads or decoding_threads(),
    )
    run = _ItemsRun(encode, gallery, loader, batch_size, facts)
    with contextlib.closing(loader.load()) as results:
        for done, result in enumerate(results, start=1):
            run.add(result)
            if on_progress:
                on_progress(done, max(length, loader.taken))
    run.store()
    if run.wrote:
        gallery.optimize()
    if loader.failure is not None:
        raise loader.failure
    run.report.found = loader.taken
    run.report.seconds = time.perf_counter() - began
    return run.report


class _ItemsRun:
    """What a run over items knows while it goes: the batch that is being filled, and the counts."""

    def __init__(
        self, encode: Encode, gallery: Gallery, loader: ItemLoader, batch_size: int, facts: bool
    ) -> None:
        self.encode = encode
        self.gallery = gallery
        self.loader = loader
        self.batch_size = batch_size
        self.facts = facts
        self.report = ItemsReport()
        self.wrote = False
        self._batch: dict[PointId, LoadedItem] = {}

    def add(self, result: LoadedItem | SkippedItem) -> None:
        """Count an item, or put it into the batch, and store that where it is full."""
        if isinstance(result, SkippedItem):
            self.report.n_skipped += 1
            if len(self.report.skipped) < MOST_KEPT:
                self.report.skipped.append(result)
            self.loader.forget([result.id])
        elif result.before is not None and is_same_payload(result.before, self._payload(result)):
            self.report.unchanged += 1
            self.loader.forget([result.id])
        else:
            if result.id in self._batch:  # a batch has an id once, so that the later item is stored later
                self.store()
            self._batch[result.id] = result
            if len(self._batch) == self.batch_size:
                self.store()

    def store(self) -> None:
        """Embed what is new in the batch and store all of it; nothing where it is empty."""
        if not self._batch:
            return
        batch = list(self._batch.values())
        vectors = self._embed(batch) | self._reuse(batch)
        self.gallery.upsert([Point(item.id, vectors[item.id], self._payload(item)) for item in batch])
        self.wrote = True
        self._batch.clear()
        self.loader.forget([item.id for item in batch])

    def _embed(self, batch: Sequence[LoadedItem]) -> dict[PointId, NDArray[np.float32]]:
        """Vectors of content that is not stored under its id, by id; equal content goes through once."""
        new = [item for item in batch if item.pixels is not None]
        fresh = {item.content_hash: item.pixels for item in new if item.pixels is not None}
        if not fresh:
            return {}
        began = time.perf_counter()
        features = self.encode(np.stack(list(fresh.values())))
        self.report.embed_seconds += time.perf_counter() - began
        self.report.embedded += len(fresh)
        self.report.reused += len(new) - len(fresh)
        vectors = dict(zip(fresh, features, strict=True))
        return {item.id: vectors[item.content_hash] for item in new}

    def _reuse(self, batch: Sequence[LoadedItem]) -> dict[PointId, NDArray[np.float32]]:
        """Vectors of items whose payload alone is new, by id. Raises GalleryError if one is gone."""
        ids = [item.id for item in batch if item.pixels is None]
        vectors = self.gallery.vectors(ids) if ids else {}
        if len(vectors) < len(ids):
            raise GalleryError(f"{self.gallery.name} was changed by another process; run the index again")
        self.report.reused += len(ids)
        return {own: vectors[own] for own in ids}

    def _payload(self, item: LoadedItem) -> dict[str, Any]:
        """The user's own keys, and ours where the user has none of that name."""
        facts = {"content_hash": item.content_hash, **item.facts} if self.facts else {}
        return {**facts, **item.payload}
