"""The engine on an event loop: the same answers, many at once, and nothing left behind by what is cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient
from support import catalogue
from support.catalogue import NAME, fill
from support.gair import PROMPT, QUICK
from support.photos import make_photos, picture
from support.rest_server import RestServer, rest_server

from gair_search.async_engine import AsyncEngine
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import GalleryError, PromptError
from gair_search.gallery import Hit
from gair_search.generation.generator import Generator
from gair_search.tokens.custom_token import CustomToken

SIZE = 12
QUICKLY: dict[str, Any] = {"steps": 4, "check_every": 1, "n_vectors": 2, "held_out_noises": 1, "views": 1}


@pytest.fixture(scope="module")
def features(tiny: Encoder) -> np.ndarray:
    return tiny.encode_images([picture(i, (40, 40)) for i in range(SIZE)])


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    with rest_server() as running:
        yield running


@pytest.fixture
def catalogue_client(server: RestServer, features: np.ndarray) -> QdrantClient:
    """The catalogue behind the server, seen from within it."""
    server.client, server.delay, server.fail = QdrantClient(":memory:"), 0.0, 0
    fill(server.client, features, vector="clip")
    return server.client


@pytest.fixture
def engine(tiny: Encoder, generator: Generator, token: CustomToken, catalogue_client: QdrantClient) -> Engine:
    """The engine to compare with."""
    attached = Engine.attach(catalogue_client, NAME, tiny)
    attached.tokens.save(token)
    return attached


def run(server: RestServer, tiny: Encoder, generator: Generator, ask: Any) -> Any:
    """What an async function of an engine on the server returns, in a loop of its own that must end clean."""

    async def main() -> Any:
        client = AsyncQdrantClient(url=server.url, check_compatibility=False)
        async with await AsyncEngine.attach(client, NAME, tiny, vector="clip") as opened:
            opened.engine._generator = generator
            result = await ask(opened)
        await client.close()
        return result

    before = set(threading.enumerate())
    result = asyncio.run(main())
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("gair")]
    return result


def ids(hits: list[Hit]) -> list[Any]:
    """Of hits, to be compared: scores differ in the last bit between threads."""
    return [hit.id for hit in hits]


def test_every_answer_is_that_of_the_engine(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator, tmp_path: Path
) -> None:
    (photo,) = make_photos(tmp_path, 1)

    async def ask(one: AsyncEngine) -> None:
        assert one.model == engine.model
        assert np.array_equal((await one.compile(PROMPT)).vector, engine.compile(PROMPT).vector)
        hits, expected = await one.search(PROMPT, 4), engine.search(PROMPT, 4)
        assert [replace(hit, score=0) for hit in hits] == [replace(hit, score=0) for hit in expected]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-6)
        options: dict[str, Any] = {"where": "product.price>=30", "group_by": "family"}
        assert ids(await one.search("a dress", 4, **options)) == ids(engine.search("a dress", 4, **options))
        for more in ({}, {"group_by": "family"}):
            found = await one.search_batch(["a dress", PROMPT], 3, **more)
            batch = engine.search_batch(["a dress", PROMPT], 3, **more)
            assert [ids(hits) for hits in found] == [ids(hits) for hits in batch]
        for image in (photo, picture(3, (40, 40))):
            assert ids(await one.similar(image, 3)) == ids(engine.similar(image, 3))
        assert (await one.verify({3: picture(3, (40, 40))})).verdict == "same embedder"
        assert (await one.status())["images"] == SIZE
        with pytest.raises(PromptError):
            await one.search("a (dress")
        await one.delete([0])
        assert (await one.status())["images"] == SIZE - 1

    run(server, tiny, generator, ask)


@pytest.mark.slow
def test_gair_and_learning_give_what_the_engine_gives(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    engine._generator = generator

    async def ask(one: AsyncEngine) -> None:
        result, other = await one.gair(PROMPT, QUICK), engine.gair(PROMPT, QUICK)
        assert np.allclose(result.query.vector, other.query.vector, atol=1e-6)
        assert [hit.id for hit in await one.search(PROMPT, 3, gair=True, config=QUICK)] == [
            hit.id for hit in engine.search(PROMPT, 3, gair=True, config=QUICK)
        ]
        hits = await one.search("a dress", 4)
        assert [hit.id for hit in await one.rerank(hits, PROMPT, QUICK)] == [
            hit.id for hit in engine.rerank(hits, PROMPT, QUICK)
        ]
        assert (await one.visualize(PROMPT, QUICK)).selected_weight == result.selected_weight
        looks: list[Any] = []
        photos = [picture(3, (40, 40)), picture(3, (44, 44))]
        lesson = await one.learn(
            "mine", *photos, parent="dress", changes=QUICKLY, on_look=looks.append, method="prompt tuning"
        )
        again = engine.learn(
            "again", *photos, parent="dress", changes=QUICKLY, method="prompt tuning", store=False
        )
        assert np.allclose(lesson.token.vectors, again.token.vectors, atol=1e-5)
        assert len(looks) == 4
        assert one.tokens.names() == ["mine", "my-dress"]

    run(server, tiny, generator, ask)


def test_many_searches_at_once_are_all_right(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    prompts = [f"a ({word}:1.{i}) dress" for i, word in enumerate(["red", "blue", "old", "new", "long"])]
    expected = {prompt: engine.search(prompt, 3) for prompt in prompts}

    async def ask(one: AsyncEngine) -> None:
        found = await asyncio.gather(*(one.search(prompt, 3) for prompt in prompts * 8))
        assert [ids(hits) for hits in found] == [ids(expected[prompt]) for prompt in prompts * 8]

    run(server, tiny, generator, ask)


def test_images_are_stored_from_an_async_stream(
    server: RestServer, engine: Engine, catalogue_client: QdrantClient, tiny: Encoder, generator: Generator
) -> None:
    async def items() -> AsyncIterator[Any]:
        for i in range(20, 25):
            await asyncio.sleep(0)
            yield i, picture(i, (40, 40)), {"sku": f"new-{i}"}

    async def ask(one: AsyncEngine) -> None:
        report = await one.index_images(items(), batch_size=2)
        assert (report.found, report.embedded) == (5, 5)
        listed = await one.index_images([(25, picture(25, (40, 40)), {})])
        assert listed.embedded == 1

    run(server, tiny, generator, ask)
    (new,) = catalogue_client.retrieve(NAME, [22])
    assert new.payload == {"sku": "new-22"}
    assert catalogue_client.count(NAME).count == SIZE + 6


async def cancel(work: Coroutine[Any, Any, Any], begun: asyncio.Event) -> None:
    """Cancel work once it has begun; the cancelled task ends."""
    task = asyncio.create_task(work)
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_learning_that_is_cancelled_stores_nothing(
    server: RestServer, engine: Engine, catalogue_client: QdrantClient, tiny: Encoder, generator: Generator
) -> None:
    before = catalogue.dump(catalogue_client)
    looks = 0

    async def ask(one: AsyncEngine) -> None:
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def look(_: Any) -> None:
            nonlocal looks
            looks += 1
            loop.call_soon_threadsafe(begun.set)

        changes = {**QUICKLY, "steps": 100_000}
        photos = [picture(3, (40, 40)), picture(3, (44, 44))]
        learn = one.learn(
            "mine", *photos, parent="dress", changes=changes, on_look=look, method="prompt tuning"
        )
        await cancel(learn, begun)
        seen = looks
        await asyncio.sleep(0.05)
        assert looks == seen  # its thread has ended
        assert one.tokens.names() == ["my-dress"]
        assert len(await one.search("a dress", 3)) == 3

    run(server, tiny, generator, ask)
    assert catalogue.dump(catalogue_client) == before


def test_indexing_that_is_cancelled_keeps_whole_batches(
    server: RestServer, engine: Engine, catalogue_client: QdrantClient, tiny: Encoder, generator: Generator
) -> None:
    async def ask(one: AsyncEngine) -> None:
        begun, loop = asyncio.Event(), asyncio.get_running_loop()
        items = ((i, picture(i % 7, (40, 40)), {}) for i in range(100, 100_000))

        def told(done: int, total: int, note: str = "") -> None:
            if done > 4:
                loop.call_soon_threadsafe(begun.set)

        await cancel(one.index_images(items, batch_size=2, on_progress=told), begun)

    run(server, tiny, generator, ask)
    stored = catalogue_client.count(NAME).count - SIZE
    assert stored >= 4
    assert stored % 2 == 0


def test_a_stream_that_gives_nothing_any_more_can_be_cancelled(
    server: RestServer, engine: Engine, catalogue_client: QdrantClient, tiny: Encoder, generator: Generator
) -> None:
    ended: list[bool] = []

    async def ask(one: AsyncEngine) -> None:
        begun = asyncio.Event()

        async def items() -> AsyncIterator[Any]:
            try:
                yield 20, picture(20, (40, 40)), {}
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        await cancel(one.index_images(items(), batch_size=1), begun)
        await asyncio.sleep(0.05)
        assert ended == [True]  # while the loop still runs

    run(server, tiny, generator, ask)


def test_a_search_that_is_cancelled_or_waits_leaves_the_engine_well(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    async def ask(one: AsyncEngine) -> None:
        server.delay = 0.3
        tasks = [asyncio.create_task(one.search("a dress", 3)) for _ in range(5)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)
        server.delay = 0.0
        assert ids(await one.search("a dress", 3)) == ids(engine.search("a dress", 3))

    run(server, tiny, generator, ask)


def test_a_server_that_fails_for_a_moment_is_asked_again(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gair_search.gallery import collection

    async def ask(one: AsyncEngine) -> None:
        server.fail = 1
        assert len(await one.search("a dress", 3)) == 3
        monkeypatch.setattr(collection, "ATTEMPTS", 2)
        server.fail = 100
        with pytest.raises(GalleryError, match="answered 503: told to fail"):
            await one.search("a dress", 3)
        assert server.fail == 98
        server.fail = 0

    run(server, tiny, generator, ask)


def test_the_loop_s_own_thread_is_not_blocked(
    server: RestServer, engine: Engine, tiny: Encoder, generator: Generator
) -> None:
    async def ask(one: AsyncEngine) -> None:
        with pytest.raises(GalleryError, match="would block its own event loop"):
            one.engine.search("a dress", 3)

    run(server, tiny, generator, ask)


def test_a_client_that_is_not_async_is_refused(catalogue_client: QdrantClient, tiny: Encoder) -> None:
    for client in (catalogue_client, "http://localhost:6333"):
        with pytest.raises(GalleryError, match="expected an AsyncQdrantClient"):
            asyncio.run(AsyncEngine.attach(client, NAME, tiny))


def test_a_gallery_of_our_own_is_searched_in_threads(tmp_path: Path, tiny: Encoder) -> None:
    make_photos(tmp_path / "photos", 4)

    async def main() -> None:
        async with await AsyncEngine.open(tiny.spec.name, db=tmp_path / "gallery") as one:
            report = await one.index(tmp_path / "photos", workers=0)
            assert report.embedded == 4
            hits = await one.search("a dress", 2)
            assert ids(hits) == ids(one.engine.search("a dress", 2))
            assert len(await one.similar(tmp_path / "photos" / "000.jpg", 4)) == 3
            assert len((await one.search_batch(["a dress"], 2))[0]) == 2

    asyncio.run(main())


def test_it_has_every_method_of_the_engine() -> None:
    """Save for what an engine has open, which its own `engine` has."""
    within = {"check", "device", "encoder", "generator", "attach_gallery"}
    within |= {"search_request", "batch_requests", "similar_request"}
    public = {name for name in dir(Engine) if not name.startswith("_")}
    assert public - within <= set(dir(AsyncEngine))
