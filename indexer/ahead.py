"""Items -> pixels for the image tower, in order, decoded ahead in threads (Pillow decodes outside Python's lock)."""

import os
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import GairError, ImageError
from gair_search.gallery import PointId
from gair_search.images.decoding import DecodedImage
from gair_search.images.fetching import UrlConfig
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.sources import (
    HeldSource,
    ImageSource,
    content_hash_of,
    decode_content,
    hold_source,
    load_content,
)
from gair_search.indexer.payloads import PayloadError, copy_payload, normalize_id

HELD_BYTES = 256 << 20
"""Content of so many bytes may wait for its decoding, and one image more."""

Item: TypeAlias = tuple[int | str | uuid.UUID, ImageSource, Mapping[str, Any]]
"""An image with its id and its payload."""

StoredPayloads = Callable[[Sequence[PointId]], Mapping[PointId, Mapping[str, Any]]]
"""Payloads of stored points by id; unknown ids are left out."""


class SkippedItem(NamedTuple):
    """An item that was passed over, and why."""

    id: PointId
    reason: str


@dataclass(frozen=True)
class LoadedItem:
    """An item that could be read.

    Attributes:
        id: as it is stored.
        payload: the user's own, checked and copied.
        content_hash: of the image's content.
        before: the stored payload, where that content is stored under this id already; else None.
        pixels: uint8 `[height, width, 3]` for the image tower; None where the content is stored already.
        facts: what goes into the payload beside the content's hash: width, height, format, taken_at.
    """

    id: PointId
    payload: dict[str, Any]
    content_hash: str
    before: Mapping[str, Any] | None
    pixels: NDArray[np.uint8] | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Task:
    """An item as it was taken, before it is read."""

    id: PointId
    payload: dict[str, Any]
    held: HeldSource
    before: Mapping[str, Any] | None = None

    @property
    def n_bytes(self) -> int:
        """Of content that is held in memory."""
        if isinstance(self.held, DecodedImage):
            return self.held.image.width * self.held.image.height * 3
        return len(self.held) if isinstance(self.held, bytes) else 0


def decoding_threads() -> int:
    """How many threads to decode with; more than there are cores where those are few: some wait for disks."""
    return max(4, min(8, os.cpu_count() or 2))


class ItemLoader:
    """Takes items as they are needed, and reads and decodes a bounded number of them ahead.

    Args:
        items: `(id, source, payload)` each; taken in the caller's thread, one by one.
        preprocessing: of the model.
        urls: how addresses are fetched; None refuses them.
        stored: payloads of points that are stored already, or None where they are not looked up.
        chunk: items that are looked up at once.
        threads: that read and decode.

    Attributes:
        taken: how many items were taken by now.
        failure: what ended the items before their end, or None.
    """

    def __init__(
        self,
        items: Iterable[Item],
        preprocessing: Preprocessing,
        *,
        urls: UrlConfig | None,
        stored: StoredPayloads | None,
        chunk: int,
        threads: int,
    ) -> None:
        self.items = iter(items)
        self.preprocessing = preprocessing
        self.urls = urls
        self.stored = stored
        self.chunk = chunk
        self.threads = threads
        self.taken = 0
        self.failure: Exception | None = None
        self._pending: Counter[PointId] = Counter()
        # bytes of content, not the content: what is decoded is let go
        self._waiting: deque[tuple[int, Future[LoadedItem | SkippedItem]]] = deque()
        self._cancelled = threading.Event()

    def load(self) -> Generator[LoadedItem | SkippedItem, None, None]:
        """One result for each item, in order. Close the generator where it is left early: it holds the threads.

        Items end where taking one fails; `failure` then says how, and what was taken before comes all the same.
        """
        pool = ThreadPoolExecutor(self.threads, "gair-decode")
        try:
            while True:
                while len(self._waiting) <= self.chunk + self.threads and self._take_chunk(pool):
                    pass
                if not self._waiting:
                    return
                yield self._waiting.popleft()[1].result()
        finally:
            self._cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def forget(self, done: Iterable[PointId]) -> None:
        """Ids whose items are stored or passed over: what is stored under them may be looked up again."""
        for own in done:
            self._pending[own] -= 1
            if not self._pending[own]:
                del self._pending[own]

    def _held_bytes(self) -> int:
        """Of content that waits for its decoding."""
        return sum(n_bytes for n_bytes, future in self._waiting if not future.done())

    def _take_chunk(self, pool: ThreadPoolExecutor) -> bool:
        """Take some items and set the threads to work on them; whether there were any, and room for them."""
        taken: list[_Task | SkippedItem] = []
        room = HELD_BYTES - self._held_bytes()
        while len(taken) < self.chunk and room > 0 and self.failure is None:
            task = self._take_item()
            if task is None:
                break
            taken.append(task)
            room -= task.n_bytes if isinstance(task, _Task) else 0
        for task in self._look_up(taken):
            self._pending[task.id] += 1
            if isinstance(task, SkippedItem):
                done: Future[LoadedItem | SkippedItem] = Future()
                done.set_result(task)
                self._waiting.append((0, done))
            else:
                self._waiting.append((task.n_bytes, pool.submit(self._load_item, task)))
        return bool(taken)

    def _take_item(self) -> _Task | SkippedItem | None:
        """The next item, apart from its owner; None at their end, and where taking one fails."""
        try:
            return self._hold_item(next(self.items))
        except StopIteration:
            return None
        except Exception as error:
            self.failure = error
            return None

    def _hold_item(self, item: Any) -> _Task | SkippedItem:
        """An item, checked.

        Raises:
            GairError: it is no item, or its id can't be one.
        """
        if not isinstance(item, tuple | list) or len(item) != 3:
            raise GairError(
                f"item {self.taken} is {_describe_item(item)}; expected a tuple (id, image, payload), with {{}} as "
                f"payload where there is none"
            )
        given, source, payload = item
        own = normalize_id(given)
        self.taken += 1
        try:
            return _Task(own, copy_payload(payload), hold_source(source))
        except (ImageError, PayloadError) as error:
            return SkippedItem(own, str(error))

    def _look_up(self, taken: Sequence[_Task | SkippedItem]) -> Iterator[_Task | SkippedItem]:
        """The same with what is stored under their ids, but for ids that are about to be stored anew."""
        known = set(self._pending)
        asked: dict[int, PointId] = {}
        for i, task in enumerate(taken):
            if task.id not in known and isinstance(task, _Task):
                asked[i] = task.id
            known.add(task.id)
        found = self.stored(list(asked.values())) if self.stored and asked else {}
        for i, task in enumerate(taken):
            before = found.get(asked[i]) if i in asked else None
            yield replace(task, before=before) if before and isinstance(task, _Task) else task

    def _load_item(self, task: _Task) -> LoadedItem | SkippedItem:
        """Read an item, and decode it unless its content is stored already. Runs in a thread; raises nothing."""
        try:
            content = load_content(task.held, self.urls, self._cancelled)
            digest = content_hash_of(content)
            before = task.before if task.before and task.before.get("content_hash") == digest else None
            if before is not None:
                facts = {key: before.get(key) for key in ("width", "height", "format", "taken_at")}
                return LoadedItem(task.id, task.payload, digest, before, None, facts)
            image = decode_content(content, task.held, self.preprocessing.decoded_side)
            pixels = self.preprocessing.pixels(image.image)
        except ImageError as error:
            return SkippedItem(task.id, str(error))
        except MemoryError:
            return SkippedItem(task.id, "not enough memory to preprocess it")
        facts = {
            "width": image.width,
            "height": image.height,
            "format": image.format or None,
            "taken_at": image.taken_at,
        }
        return LoadedItem(task.id, task.payload, digest, None, pixels, facts)


def _describe_item(item: Any) -> str:
    kind = type(item).__name__
    return f"a {kind} of {len(item)}" if isinstance(item, tuple | list) else f"of type {kind}"
