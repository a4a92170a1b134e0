"""`gair bench speed`: what things cost, as ratios to named baselines that are timed in turns with them.

- Reweighting (Kim et al. 2024, table 7): encoding a prompt with token weights, and with all weights 1, against
  encoding it plain.
- Indexing: decoding, embedding and storing pictures against the image tower alone, on the same pictures.
- A query: parsing, encoding and searching against the text tower alone.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from gair_search.benchmarks.datasets.fashion import SEEDS
from gair_search.benchmarks.harness import BATCH, Progress, Report, Table
from gair_search.benchmarks.measures import Summary, summary
from gair_search.benchmarks.methods import compiled, no_concept
from gair_search.indexer.index import index_folders

from gair_search.clip import Clip
from gair_search.compiler import query_vector
from gair_search.gallery import Gallery, open_gallery
from gair_search.image import load_pixels
from gair_search.world import render, scene

PLAIN = "a photo of a red striped dress on a beach"
WEIGHTED = "a photo of a (red:1.5) (striped:0.5) dress on a beach"


def in_turns(
    tasks: Mapping[str, Callable[[], object]],
    rounds: int,
    seed: int,
    on_round: Callable[[], None] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each task in each round; a round runs all of them once, in an order drawn anew.

    What else the machine does then weighs on all alike, and a ratio within a round is fair.
    """
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()  # what is loaded or allocated once is not timed
    for _ in range(rounds):
        for i in rng.permutation(len(tasks)):
            name = list(tasks)[i]
            began = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - began)
        if on_round:
            on_round()
    return seconds


def speed(
    clip: Clip,
    seeds: tuple[int, ...] = (0,),
    rounds: int = 30,
    images: int = 128,
    on_progress: Progress | None = None,
) -> Report:
    """Time reweighting, queries and indexing; a ratio is the median over the rounds, and ± is over seeds.

    Args:
        clip: a model whose text tower takes token weights.
        seeds: of the order in each round, and of the pictures.
        rounds: timings of each; indexing has a tenth of them, at least 3.
        images: pictures of 256 px to index.
        on_progress: called with the rounds that are done and those there are.
    """
    settings = {"model": clip.spec.name, "device": str(clip.device), "seeds": list(seeds), "rounds": rounds}
    report = Report("speed", settings | {"images": images}, {}, [])
    few = max(3, rounds // 10)
    done, total = 0, len(seeds) * (rounds + few)

    def advance() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, total)

    ratios: dict[str, list[float]] = {}
    millis: dict[str, list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            text, bulk = _tasks(clip, Path(folder), seed, images)
            for tasks, n in ((text, rounds), (bulk, few)):
                seconds = in_turns(tasks, n, seed, advance)
                for name, baseline in BASELINES.items():
                    if name in seconds:
                        pairs = zip(seconds[name], seconds[baseline], strict=True)
                        ratios.setdefault(name, []).append(statistics.median(a / b for a, b in pairs))
                for name, values in seconds.items():
                    millis.setdefault(name, []).append(1000 * statistics.median(values))
    report.values = {
        "ratios": {name: {"baseline": BASELINES[name], **asdict(summary(v))} for name, v in ratios.items()},
        "milliseconds": {name: asdict(summary(values)) for name, values in millis.items()},
    }
    report.tables.append(_table(report.values, settings))
    return report


BASELINES = {
    "encoding with token weights": "encoding plain text",
    "encoding plain text, again": "encoding plain text",
    "a query: parse, encode, search": "encoding plain text",
    "indexing": "image tower alone",
}
"""What is timed -> what it is compared with. The second tells how far apart equal things come out."""


def _tasks(
    clip: Clip, folder: Path, seed: int, images: int
) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """The small tasks and the bulky ones, over a gallery of new pictures."""
    photos = folder / "photos"
    photos.mkdir()
    for i in range(images):
        render(scene(seed * SEEDS + i, "test"), 256).save(photos / f"{i:05d}.jpg", quality=92)
    files = sorted(photos.iterdir())
    pixels = np.stack([load_pixels(file, clip.preprocessing) for file in files])
    (plain,), (weighted,) = compiled(clip, [PLAIN]), compiled(clip, [WEIGHTED])
    embeddings, end = plain.embeddings, plain.end
    numbers = count()

    def indexed() -> Gallery:
        gallery = open_gallery(None, folder / f"gallery-{next(numbers)}", None, None)
        index_folders([photos], clip.spec, clip.encode_images, gallery, workers=0)
        return gallery

    searched = indexed()

    def query() -> None:
        vector, _ = query_vector(WEIGHTED, clip, no_concept)
        searched.search(vector, 10)

    text: dict[str, Callable[[], object]] = {
        "encoding plain text": lambda: clip.encode_text(embeddings, end),
        "encoding plain text, again": lambda: clip.encode_text(embeddings, end),
        "encoding with token weights": lambda: clip.encode_text(embeddings, end, weighted.token_weights),
        "a query: parse, encode, search": query,
    }
    bulk: dict[str, Callable[[], object]] = {
        "image tower alone": lambda: [
            clip.encode_images(pixels[i : i + BATCH]) for i in range(0, images, BATCH)
        ],
        "indexing": lambda: indexed().close(),
    }
    return text, bulk


def _table(values: Mapping[str, Any], settings: Mapping[str, Any]) -> Table:
    rows = []
    for name, facts in values["ratios"].items():
        ratio = Summary(facts["mean"], facts["sd"], facts["n"])
        own, base = (values["milliseconds"][key]["mean"] for key in (name, facts["baseline"]))
        rows.append((name, facts["baseline"], f"{ratio:.3f}", f"{own:.2f}", f"{base:.2f}"))
    columns = ("what", "baseline", "ratio", "ms", "baseline ms")
    note = (
        f"{settings['rounds']} rounds in turns on {settings['device']}, {len(settings['seeds'])} seed(s); the ratio is "
        "the median over the rounds, ± over seeds. The paper's table 7 (RTX A5000, mean of 28,000 runs) finds no "
        "significant difference between plain and reweighted text; its milliseconds are not in the text that we have."
    )
    return Table("Table 7 and the rest: costs as ratios", columns, tuple(rows), note)
