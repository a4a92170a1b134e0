"""One engine shared by many: threads on an `Engine`, calls on an `AsyncEngine`, while images are stored beside them.

    python -m gair_search.benchmarks.scripts.shared_engine [--threads 64] [--searches 50] [--calls 200] [--points 2000]

The baseline is the same searches one after the other, on the same engine in the same run, with nothing beside them.
Every answer is checked: points that were there before come in the order and with the scores that were computed ahead.
Prints a Markdown table. The galleries are our embedded one, and an attached collection in the client's own engine.
"""

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from gair_search import AsyncEngine, Encoder, Engine, compile_query
from gair_search.benchmarks.fashion_world import render, scene
from gair_search.gallery import GalleryConfig, Hit, Point
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.tokens.store import TokenStore

K = 10
FIRST_NEW = 1_000_000
PROMPTS = [
    f"a ({colour}:1.{i}) {thing} {place}"
    for i, colour in enumerate(("red", "blue", "green", "white"))
    for thing in ("dress", "hat", "mug", "bag", "shirt")
    for place in ("on a beach", "in the snow")
]


def new_items(stop: threading.Event, n: int = 32) -> Iterator[Any]:
    """Pictures without end, until nobody searches any more."""
    pictures = [render(scene(i, "test"), 96) for i in range(n)]
    i = 0
    while not stop.is_set():
        yield FIRST_NEW + i, pictures[i % n], {}
        i += 1


def is_right(hits: list[Hit], scores: NDArray[np.float32]) -> bool:
    """Whether an answer holds the old points in their order, with their scores."""
    found = [(int(hit.id), hit.score) for hit in hits if int(hit.id) < FIRST_NEW]
    best = np.argsort(-scores)[: len(found)]
    told = np.array([score for _, score in found])
    mine = scores[[i for i, _ in found]]
    return len(hits) == K and bool(
        np.allclose(told, scores[best], atol=1e-5) and np.allclose(told, mine, atol=1e-5)
    )


def measure(ask: Callable[[str], tuple[float, bool]], n: int) -> list[tuple[float, bool]]:
    """Latency and rightness of `n` searches in turn."""
    return [ask(PROMPTS[i % len(PROMPTS)]) for i in range(n)]


def timed_search(engine: Engine, expected: dict[str, NDArray[np.float32]], prompt: str) -> tuple[float, bool]:
    began = time.perf_counter()
    hits = engine.search(prompt, K)
    return time.perf_counter() - began, is_right(hits, expected[prompt])


def print_row(what: str, asked: list[tuple[float, bool]], seconds: float, stored: int, base: float) -> float:
    """One line of the table. Returns searches a second."""
    rate = len(asked) / seconds
    p50, p99 = np.percentile([latency * 1000 for latency, _ in asked], [50, 99])
    wrong = sum(not right for _, right in asked)
    ratio = f"{rate / base:.2f}" if base else "1"
    print(
        f"| {what} | {len(asked)} | {wrong} | {rate:.0f} | {ratio} | {p50:.0f} | {p99:.0f} | {stored / seconds:.0f} |",
        flush=True,
    )
    return rate


def run_threads(
    engine: Engine, expected: dict[str, NDArray[np.float32]], threads: int, n: int
) -> tuple[list[tuple[float, bool]], float, int]:
    """Searches from all threads while one stores pictures: the answers, seconds, pictures stored."""
    stop = threading.Event()
    with ThreadPoolExecutor(threads + 1) as pool:
        storing = pool.submit(engine.index_images, new_items(stop), batch_size=8)
        time.sleep(1)
        began = time.perf_counter()
        jobs = [
            pool.submit(measure, lambda prompt: timed_search(engine, expected, prompt), n)
            for _ in range(threads)
        ]
        asked = [one for job in jobs for one in job.result()]
        seconds = time.perf_counter() - began
        stop.set()
        return asked, seconds, storing.result().found


async def run_calls(
    encoder: Encoder, features: NDArray[np.float32], expected: dict[str, NDArray[np.float32]], n: int
) -> tuple[list[tuple[float, bool]], float, int]:
    """Calls at once on an async engine while pictures are stored: the answers, seconds, pictures stored."""
    client = AsyncQdrantClient(":memory:")
    own = models.VectorParams(size=features.shape[1], distance=models.Distance.COSINE)
    await client.create_collection("catalogue", vectors_config=own)
    await client.upsert("catalogue", points_of(features))
    stop = threading.Event()

    async def ask(prompt: str) -> tuple[float, bool]:
        began = time.perf_counter()
        hits = await engine.search(prompt, K)
        return time.perf_counter() - began, is_right(hits, expected[prompt])

    async with await AsyncEngine.attach(client, "catalogue", encoder) as engine:
        storing = asyncio.create_task(engine.index_images(new_items(stop), batch_size=8))
        await asyncio.sleep(1)
        began = time.perf_counter()
        asked = await asyncio.gather(*(ask(PROMPTS[i % len(PROMPTS)]) for i in range(n)))
        seconds = time.perf_counter() - began
        stop.set()
        report = await storing
    return list(asked), seconds, report.found


def points_of(features: NDArray[np.float32]) -> list[models.PointStruct]:
    """Features as points without payload."""
    return [models.PointStruct(id=i, vector=row.tolist(), payload={}) for i, row in enumerate(features)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("threads", 64), ("searches", 50), ("calls", 200), ("points", 2000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    encoder = Encoder.load("gair-mini")
    rng = np.random.default_rng(0)
    pictures = encoder.encode_images([render(scene(i, "test"), 96) for i in range(200)])
    features = pictures[rng.integers(200, size=options.points)] + 0.05 * rng.standard_normal(
        (options.points, pictures.shape[1])
    )
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    expected = {prompt: features @ compile_query(prompt, encoder).vector for prompt in PROMPTS}
    print("| engine | searches | wrong | searches/s | ratio | p50 ms | p99 ms | images stored/s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        gallery = EmbeddedGallery(Path(folder) / "gallery")
        gallery.create(encoder.embedder_id, GalleryConfig())
        gallery.upsert([Point(i, row, {}) for i, row in enumerate(features)])
        client = QdrantClient(":memory:")
        client.create_collection(
            "catalogue",
            vectors_config=models.VectorParams(size=features.shape[1], distance=models.Distance.COSINE),
        )
        client.upsert("catalogue", points_of(features))
        engines = {
            "embedded": Engine(encoder.spec, gallery, TokenStore(Path(folder)), encoder=encoder),
            "attached, in memory": Engine.attach(client, "catalogue", encoder, tokens=folder),
        }
        rates = {}  # of all, before any thread: every thread that used torch keeps threads of torch's own
        for name, engine in engines.items():
            measure(lambda prompt, e=engine: timed_search(e, expected, prompt), 10)  # type: ignore[misc]
            began = time.perf_counter()
            alone = measure(lambda prompt, e=engine: timed_search(e, expected, prompt), 200)  # type: ignore[misc]
            rates[name] = print_row(f"{name}, one after the other", alone, time.perf_counter() - began, 0, 0)
        asked, seconds, stored = asyncio.run(run_calls(encoder, features, expected, options.calls))
        base = rates["attached, in memory"]
        print_row(f"async in memory, {options.calls} calls at once, storing", asked, seconds, stored, base)
        for name, engine in engines.items():
            asked, seconds, stored = run_threads(engine, expected, options.threads, options.searches)
            print_row(f"{name}, {options.threads} threads, storing", asked, seconds, stored, rates[name])


if __name__ == "__main__":
    main()
