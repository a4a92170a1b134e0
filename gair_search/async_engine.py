"""`AsyncEngine`: the engine for programs that run on an event loop, as web backends do.

What computes runs in threads of its own, one at a time, since a model uses all cores by itself; what asks Qdrant is
awaited on the loop.
"""

import asyncio
import functools
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from gair_search.engine import Engine
from gair_search.errors import GalleryError
from gair_search.gallery import Hit, PointId, SearchOptions
from gair_search.images.fetching import AllowUrls
from gair_search.images.sources import ImageSource
from gair_search.parts import File
from gair_search.query.terms import Term
from gair_search.searching import without_itself
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.gair.options import GairConfig
    from gair_search.gair.result import GairResult
    from gair_search.gallery.async_collection import AsyncCollection
    from gair_search.learning.from_files import LearnOptions, LearnTogetherOptions
    from gair_search.learning.lessons import Lesson
    from gair_search.learning.several import Lessons
    from gair_search.query.compiler import Query

T = TypeVar("T")


class _CancelledError(BaseException):
    """Work in a thread whose task was cancelled ends with this; nobody sees it."""


class AsyncEngine:
    """One model and one gallery, for one event loop: `Engine`'s methods, awaited. Close it when done.

    Any number of calls may be under way at once. A call that is cancelled has ended when its `await` raises: what
    it computed is dropped, a concept half learned is not stored, and images that were stored before stay.

    >>> engine = await AsyncEngine.attach(AsyncQdrantClient(url), "catalogue", model="ViT-B-32/openai")
    >>> hits = await engine.search("a (red:1.3) dress", k=20)
    """

    def __init__(self, engine: Engine, collection: "AsyncCollection | None" = None) -> None:
        """Use an engine that is open.

        Args:
            engine: closed by `close`.
            collection: searches the engine's gallery on the event loop; without, a thread does.
        """
        self.engine = engine
        self._collection = collection
        self._encoding = ThreadPoolExecutor(1, "gair-encoding")
        self._working = ThreadPoolExecutor(1, "gair-working")
        self._waiting = ThreadPoolExecutor(thread_name_prefix="gair-waiting")

    @classmethod
    async def open(cls, model: str | None = None, **options: Any) -> Self:
        """As `Engine.open`, with its arguments."""
        return cls(await asyncio.to_thread(functools.partial(Engine.open, model, **options)))

    @classmethod
    async def attach(
        cls,
        client: Any,
        collection: str,
        model: "str | Encoder | None" = None,
        *,
        vector: str | None = None,
        tokens: TokenStore | File | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> Self:
        """As `Engine.attach`, with a `qdrant_client.AsyncQdrantClient`, which stays yours to close."""
        from gair_search.gallery.async_collection import AsyncCollection, BlockingClient
        from gair_search.gallery.attached import AttachedGallery

        if not iscoroutinefunction(getattr(client, "get_collection", None)):
            raise GalleryError(f"client: expected an AsyncQdrantClient, not {type(client).__name__}")
        blocking = BlockingClient(client, asyncio.get_running_loop())
        gallery = await asyncio.to_thread(AttachedGallery, blocking, collection, vector)
        options = (tokens, device, start_fraction, generator)
        engine = await asyncio.to_thread(Engine.attach_gallery, gallery, model, *options)
        return cls(engine, AsyncCollection(client, gallery))

    @property
    def model(self) -> str:
        """Name of the model in use."""
        return self.engine.model

    @property
    def tokens(self) -> TokenStore:
        """The custom tokens."""
        return self.engine.tokens

    async def compile(self, prompt: str, **options: Any) -> "Query":
        """As `Engine.compile`."""
        return await self._encode(self.engine.compile, prompt, **options)

    async def search(
        self,
        prompt: "str | Query",
        k: int = 10,
        *,
        plus: Sequence[str | Term] = (),
        minus: Sequence[str | Term] = (),
        concept: str | None = None,
        gair: bool | Literal["auto"] = False,
        config: "GairConfig | None" = None,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """As `Engine.search`."""
        run = self._work if gair else self._encode
        request = await run(
            self.engine.search_request,
            prompt,
            k,
            plus=plus,
            minus=minus,
            concept=concept,
            gair=gair,
            config=config,
            **options,
        )
        if self._collection is None:
            return await self._thread(self.engine.gallery.answer, request)
        return await self._collection.answer(request)

    async def search_batch(
        self,
        prompts: "Iterable[str | Query]",
        k: int = 10,
        *,
        concept: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """As `Engine.search_batch`."""
        requests = await self._encode(self.engine.batch_requests, prompts, k, concept=concept, **options)
        if self._collection is None:
            return await self._thread(self.engine.gallery.answer_all, requests)
        return await self._collection.answer_all(requests)

    async def similar(
        self,
        image: ImageSource,
        k: int = 10,
        *,
        allow_urls: AllowUrls = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """As `Engine.similar`."""
        if self._collection is None:
            return await self._encode(self.engine.similar, image, k, allow_urls=allow_urls, **options)
        request = await self._encode(self.engine.similar_request, image, k, allow_urls=allow_urls, **options)
        return without_itself(image, await self._collection.answer(request), k)

    async def gair(self, prompt: str, config: "GairConfig | None" = None, **options: Any) -> "GairResult":
        """As `Engine.gair`."""
        return await self._work_in_steps(self.engine.gair, "on_progress", prompt, config, **options)

    async def visualize(
        self, prompt: str, config: "GairConfig | None" = None, **options: Any
    ) -> "GairResult":
        """As `Engine.visualize`."""
        return await self._work_in_steps(self.engine.visualize, "on_progress", prompt, config, **options)

    async def rerank(
        self,
        hits: Iterable[Hit],
        prompt: "str | GairResult",
        config: "GairConfig | None" = None,
        *,
        concept: str | None = None,
    ) -> list[Hit]:
        """As `Engine.rerank`."""
        return await self._work(self.engine.rerank, hits, prompt, config, concept=concept)

    async def learn(
        self, name: str, *photos: ImageSource, parent: str, **options: Unpack["LearnOptions"]
    ) -> "Lesson":
        """As `Engine.learn`; cancelled, it stores nothing."""
        kept: dict[str, Any] = {**options, "store": False}
        lesson: Lesson = await self._work_in_steps(
            self.engine.learn, "on_look", name, *photos, parent=parent, **kept
        )
        if options.get("store", True):
            self.tokens.save(lesson.token, options.get("overwrite", False))
        return lesson

    async def learn_together(self, folder: File, **options: Unpack["LearnTogetherOptions"]) -> "Lessons":
        """As `Engine.learn_together`; cancelled, it stores nothing."""
        kept: dict[str, Any] = {**options, "store": False}
        lessons: Lessons = await self._work_in_steps(
            self.engine.learn_together, "on_progress", folder, **kept
        )
        if options.get("store", True):
            for token in lessons.tokens:
                self.tokens.save(token, options.get("overwrite", False))
        return lessons

    async def index(self, *folders: File, **options: Any) -> Any:
        """As `Engine.index`; cancelled, what was stored before stays."""
        return await self._work_in_steps(self.engine.index, "on_progress", *folders, **options)

    async def index_images(self, items: "Iterable[Any] | AsyncIterable[Any]", **options: Any) -> Any:
        """As `Engine.index_images`, of an async stream, too; cancelled, what was stored before stays."""
        stream, cancelled = items, threading.Event()
        if isinstance(items, AsyncIterable):
            stream = _read_blocking(items, asyncio.get_running_loop(), cancelled)
        work = self.engine.index_images
        return await self._work_in_steps(work, "on_progress", stream, cancelled=cancelled, **options)

    async def explain(self, folder: File, *prompts: Any, **options: Any) -> Any:
        """As `Engine.explain`."""
        return await self._work_in_steps(self.engine.explain, "on_progress", folder, *prompts, **options)

    async def delete(self, ids: Iterable[PointId]) -> None:
        """As `Engine.delete`."""
        await self._thread(self.engine.delete, ids)

    async def verify(self, images: Mapping[PointId, ImageSource], *, allow_urls: AllowUrls = False) -> Any:
        """As `Engine.verify`."""
        return await self._work(self.engine.verify, images, allow_urls=allow_urls)

    async def status(self) -> dict[str, Any]:
        """As `Engine.status`."""
        return await self._thread(self.engine.status)

    async def close(self) -> None:
        """Wait for what is under way, and release the gallery."""
        for pool in (self._encoding, self._working, self._waiting):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self.engine.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _encode(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run what is soon done in the thread that encodes."""
        return await self._run(self._encoding, functools.partial(work, *arguments, **options))

    async def _work(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run what takes long in the thread for that."""
        return await self._run(self._working, functools.partial(work, *arguments, **options))

    async def _thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what waits for a gallery in a thread beside others."""
        return await self._run(self._waiting, functools.partial(work, *arguments))

    async def _work_in_steps(
        self,
        work: Callable[..., T],
        callback: str,
        *arguments: Any,
        cancelled: threading.Event | None = None,
        **options: Any,
    ) -> T:
        """Run what takes long and calls back now and then; when cancelled it ends at the next call."""
        cancelled, told = cancelled or threading.Event(), options.pop(callback, None)

        def call_back(*news: Any) -> None:
            if cancelled.is_set():
                raise _CancelledError
            if told:
                told(*news)

        options[callback] = call_back
        return await self._run(self._working, functools.partial(work, *arguments, **options), cancelled)

    async def _run(
        self, pool: ThreadPoolExecutor, work: Callable[[], T], cancelled: threading.Event | None = None
    ) -> T:
        """What `work` returns, from a thread of the pool; cancelled, the thread is through when this raises."""
        job = pool.submit(work)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if cancelled:
                cancelled.set()
            if not job.cancel():  # it has begun
                await asyncio.wait([future])
                future.exception()  # nobody is to be told of it
            raise


def _read_blocking(
    items: AsyncIterable[T], loop: asyncio.AbstractEventLoop, cancelled: threading.Event
) -> Iterator[T]:
    """An async stream for a thread beside its loop. It ends when cancelled, though the stream give nothing any more."""
    stream = aiter(items)
    end = object()

    async def read() -> Any:
        return await anext(stream, end)

    while True:
        next_item = asyncio.run_coroutine_threadsafe(read(), loop)
        while not wait([next_item], timeout=0.1).done:
            if cancelled.is_set():
                next_item.cancel()
                raise _CancelledError
        if (item := next_item.result()) is end:
            return
        yield item
