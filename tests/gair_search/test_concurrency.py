"""One engine for many threads, and one async engine for many calls, while images are stored beside them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient
from support.catalogue import NAME, fill
from support.photos import picture
from support.rest_server import RestServer, rest_server

from gair_search.async_engine import AsyncEngine
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.gallery import GalleryConfig, Hit, Point
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.tokens.store import TokenStore

pytestmark = pytest.mark.slow

SIZE, THREADS, SEARCHES, CALLS = 200, 64, 50, 200
PROMPTS = [
    f"a ({colour}:1.{i}) {thing}"
    for i, colour in enumerate(["red", "blue", "old", "new"])
    for thing in ("dress", "hat", "car", "dog", "cup")
]
FIRST_NEW = 1_000_000


@pytest.fixture(scope="module")
def features(tiny: Encoder) -> np.ndarray:
    """Features of what is stored before."""
    return tiny.encode_images([picture(i, (40, 40)) for i in range(SIZE)])


@pytest.fixture(scope="module")
def expected(tiny: Encoder, features: np.ndarray) -> dict[str, np.ndarray]:
    """For each prompt its score with every point, computed one after the other before anything runs."""
    from gair_search.query.compiler import compile_query

    return {prompt: features @ compile_query(prompt, tiny).vector for prompt in PROMPTS}


def check(hits: list[Hit], scores: np.ndarray, k: int = 5) -> None:
    """What was stored before comes in the order and with the scores that it has; between them new points may come."""
    assert len(hits) == k
    assert [hit.rank for hit in hits] == list(range(1, k + 1))
    found = [(int(hit.id), hit.score) for hit in hits if int(hit.id) < FIRST_NEW]
    best = np.argsort(-scores)[: len(found)]
    assert np.allclose([score for _, score in found], scores[best], atol=1e-5)
    assert np.allclose([score for _, score in found], scores[[i for i, _ in found]], atol=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def new_items(stop: threading.Event) -> Iterator[Any]:
    """Images without end, until nobody searches any more."""
    i = FIRST_NEW
    while not stop.is_set():
        yield i, picture(i % 37, (40, 40)), {"new": True}
        i += 1


def search_from_threads(engine: Engine, expected: dict[str, np.ndarray]) -> int:
    """Search from all threads while one stores images. Returns how many were stored."""
    stop = threading.Event()

    def search(number: int) -> None:
        for i in range(SEARCHES):
            prompt = PROMPTS[(number + i) % len(PROMPTS)]
            check(engine.search(prompt, 5), expected[prompt])

    with ThreadPoolExecutor(THREADS + 1) as pool:
        storing = pool.submit(engine.index_images, new_items(stop), batch_size=4)
        searching = [pool.submit(search, number) for number in range(THREADS)]
        try:
            for one in searching:
                one.result(timeout=300)
        finally:
            stop.set()
        return storing.result(timeout=60).embedded


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    with rest_server() as running:
        yield running


@pytest.fixture(params=["embedded", "memory", "http"])
def opened(
    request: pytest.FixtureRequest, tiny: Encoder, features: np.ndarray, tmp_path: Path, server: RestServer
) -> Iterator[Engine]:
    """An engine on a gallery of our own, on a local client's collection, and on a server's."""
    if request.param == "embedded":
        gallery = EmbeddedGallery(tmp_path / "gallery")
        gallery.create(tiny.embedder_id, GalleryConfig())
        gallery.upsert([Point(i, row, {}) for i, row in enumerate(features)])
        engine = Engine(tiny.spec, gallery, TokenStore(), encoder=tiny)
    else:
        client = QdrantClient(":memory:")
        fill(client, features)
        if request.param == "http":
            server.client = client
            client = QdrantClient(url=server.url, check_compatibility=False)
        engine = Engine.attach(client, NAME, tiny)
    yield engine
    engine.close()


def test_threads_share_an_engine_while_images_are_stored(
    opened: Engine, expected: dict[str, np.ndarray]
) -> None:
    stored = search_from_threads(opened, expected)
    assert stored > 0
    assert opened.gallery.count() >= SIZE + stored - 37  # of the same content in one batch


@pytest.mark.parametrize("place", ["memory", "http"])
def test_calls_share_an_async_engine_while_images_are_stored(
    place: str, tiny: Encoder, features: np.ndarray, expected: dict[str, np.ndarray], server: RestServer
) -> None:
    async def main(client: AsyncQdrantClient) -> int:
        stop = threading.Event()
        async with await AsyncEngine.attach(client, NAME, tiny) as engine:
            storing = asyncio.create_task(engine.index_images(new_items(stop), batch_size=4))
            asked = [PROMPTS[i % len(PROMPTS)] for i in range(CALLS)]
            found = await asyncio.wait_for(asyncio.gather(*(engine.search(p, 5) for p in asked)), 300)
            stop.set()
            report = await storing
        for prompt, hits in zip(asked, found, strict=True):
            check(hits, expected[prompt])
        return int(report.found)

    def run(make: Callable[[], AsyncQdrantClient]) -> int:
        async def within() -> int:
            client = make()
            if place == "memory":
                await _fill(client, features)
            stored = await main(client)
            await client.close()
            return stored

        return asyncio.run(within())

    server.client = QdrantClient(":memory:")
    fill(server.client, features)
    made = {
        "memory": lambda: AsyncQdrantClient(":memory:"),
        "http": lambda: AsyncQdrantClient(url=server.url, check_compatibility=False),
    }
    assert run(made[place]) > 0


async def _fill(client: AsyncQdrantClient, features: np.ndarray) -> None:
    """The catalogue, without payloads."""
    from qdrant_client import models

    own = models.VectorParams(size=features.shape[1], distance=models.Distance.COSINE)
    await client.create_collection(NAME, vectors_config=own)
    points = [models.PointStruct(id=i, vector=row.tolist(), payload={}) for i, row in enumerate(features)]
    await client.upsert(NAME, points)
