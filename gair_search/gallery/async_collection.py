"""A collection behind `AsyncQdrantClient`: searched on the event loop; and the same client for worker threads."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from gair_search.errors import GalleryError
from gair_search.gallery import collection as collections
from gair_search.gallery import requests
from gair_search.gallery.base import Hit, SearchRequest
from gair_search.gallery.collection import CollectionGallery

T = TypeVar("T")


class BlockingClient:
    """An `AsyncQdrantClient` with the methods of a `QdrantClient`, for threads beside its event loop.

    Each call runs on the loop, and the thread waits for it. A call from the loop itself would wait for ever, and is
    refused.
    """

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._blocking(method) if callable(method) else method

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method that waits for what the client's own will have returned."""

        def call(*args: Any, **options: Any) -> Any:
            if _running_loop() is self._loop:
                raise GalleryError(
                    "this call would block its own event loop; await AsyncEngine's method instead"
                )
            return asyncio.run_coroutine_threadsafe(method(*args, **options), self._loop).result()

        return call


class AsyncCollection:
    """The searches of a `CollectionGallery` on the event loop. Transient failures are retried."""

    def __init__(self, client: Any, gallery: CollectionGallery) -> None:
        """Search the collection of `gallery` through an `AsyncQdrantClient`."""
        self._client, self._gallery = client, gallery

    async def answer(self, request: SearchRequest) -> list[Hit]:
        """As `Gallery.answer`."""
        method, arguments = requests.search_arguments(request, *self._place)
        return requests.read_hits(await self._ask(lambda: getattr(self._client, method)(**arguments)))

    async def answer_all(self, asked: Sequence[SearchRequest]) -> list[list[Hit]]:
        """As `Gallery.answer_all`."""
        if any(request.group_by is not None for request in asked):
            return [await self.answer(request) for request in asked]
        arguments = requests.batch_arguments(list(asked), *self._place)
        found = await self._ask(lambda: self._client.query_batch_points(**arguments)) if asked else []
        return [requests.read_hits(response) for response in found]

    @property
    def _place(self) -> tuple[str, str | None]:
        """The collection's name, and its vector's."""
        return self._gallery.collection, self._gallery.vector

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Await a request, again where the failure may pass; any failure that stays is a GalleryError."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(collections.ATTEMPTS),
            wait=wait_exponential_jitter(initial=0.2, max=5, jitter=0.2),
            retry=retry_if_exception(requests.is_transient),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await request()
        except Exception as error:
            raise requests.explain_failure(error, self._gallery.name) from None
        raise AssertionError("the last attempt returns or raises")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, where one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
