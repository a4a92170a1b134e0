"""`gair bench speed`: what things cost, as ratios to named baselines that are timed in turns with them.

- text: encoding a prompt with token weights, and with all weights 1, against encoding it plain (Kim et al. 2024,
  table 7); a query, which is parsing, encoding and searching, against the text tower alone.
- indexing: decoding, embedding and storing pictures against the image tower alone, on the same pictures.
- learning: textual inversion against diffusers' training loop (`learning_speed.py`).
- gair: the search for the mixing weight against the plain loop of Algorithm 1 (`gair_speed.py`).

Nothing is kept: a timing that was not taken beside its baseline says nothing.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from gair_search.benchmarks.costs.gair import SearchCost
from gair_search.benchmarks.costs.learning import LearningCost, whole_pipeline
from gair_search.benchmarks.datasets.fashion import SEEDS
from gair_search.benchmarks.fashion_world import render, scene
from gair_search.benchmarks.harness.cells import BATCH, Progress, Report
from gair_search.benchmarks.harness.timing import Task, TimedPart
from gair_search.benchmarks.methods.prompts import compiled, no_concept
from gair_search.benchmarks.tables.retrieval import own_generator
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError, ModelError
from gair_search.gallery import Gallery, open_gallery
from gair_search.generation.generator import Generator, Sampling
from gair_search.images.reading import load_pixels
from gair_search.indexer.index import index_folders
from gair_search.query.compiler import query_vector

PARTS = ("text", "indexing", "learning", "gair")
NEEDS_GENERATOR = ("learning", "gair")

PLAIN = "a photo of a red striped dress on a beach"
WEIGHTED = "a photo of a (red:1.5) (striped:0.5) dress on a beach"


@dataclass(frozen=True)
class SpeedConfig:
    """What a run is made of.

    Attributes:
        parts: some of `PARTS`; all where empty.
        seeds: of the order in each round, of pictures, of learning and of noise.
        rounds: timings of text; indexing and learning have a tenth of them, at least 5.
        images: pictures of 256 px to index, and to search.
        steps: of learning, of each side in a round.
        queries: searches for a mixing weight, a round each.
        photos: files or folders to learn from; four pictures of a dress of the fashion world where empty.
        parent: what they show.
        concepts: names of stored tokens to search for; stand-ins of the fashion world where empty.
        generator: as for `Generator.load`; the model's own unless given.
        sampling: how images are drawn.
    """

    parts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    rounds: int = 30
    images: int = 128
    steps: int = 30
    queries: int = 16
    photos: tuple[Path, ...] = ()
    parent: str = "dress"
    concepts: tuple[str, ...] = ()
    generator: str | None = None
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def asked(self) -> tuple[str, ...]:
        """The parts to run, in their order. Raises GairError on an unknown one."""
        if unknown := [name for name in self.parts if name not in PARTS]:
            raise GairError(f'no part "{unknown[0]}"; there are: {", ".join(PARTS)}')
        return tuple(name for name in PARTS if name in (self.parts or PARTS))

    @property
    def few(self) -> int:
        """Rounds of what takes long."""
        return max(5, self.rounds // 10)


def speed(encoder: Encoder, settings: SpeedConfig, on_progress: Progress | None = None) -> Report:
    """Time the parts, one after the other, seed by seed.

    What needs a generator is left out, and the report says so, where the model has none.

    Args:
        encoder: a model whose text tower takes token weights.
        settings: what to run.
        on_progress: called with the rounds that are done and those there are.

    Raises:
        GairError: an unknown part, or none that this model can run. ModelError: the tower takes plain prompts
            only; GeneratorError: the generator that was asked for can't be used. ConceptError: no photo can be read,
            or a stored token is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts, skipped, generator = _parts(encoder, settings, Path(folder) / "pipeline")
        told = asdict(settings) | {
            "parts": list(parts),
            "seeds": list(settings.seeds),
            "photos": [str(path.absolute()) for path in settings.photos],
            "concepts": list(settings.concepts),
            "model": encoder.spec.name,
            "device": str(encoder.device),
            "threads": torch.get_num_threads(),
        }
        if generator:
            told |= {
                "generator": generator.identity,
                "sampling": asdict(generator.settled(settings.sampling)),
            }
        done, total = 0, len(settings.seeds) * sum(part.rounds for part in parts.values())

        def advance() -> None:
            nonlocal done
            done += 1
            if on_progress:
                on_progress(done, total)

        for seed in settings.seeds:
            own = Path(folder) / f"seed{seed}"
            own.mkdir()
            for part in parts.values():
                part.run(seed, own, encoder.device, advance)
    tables = [part.table() for part in parts.values()]
    note = f" {encoder.spec.name} on {encoder.device}, {told['threads']} thread(s)."
    if skipped:
        note += f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}."
    tables[-1] = replace(tables[-1], note=tables[-1].note + note)
    values: dict[str, Any] = {name: part.values() for name, part in parts.items()}
    return Report("speed", told, values | {"skipped": skipped}, tables)


def _parts(
    encoder: Encoder, settings: SpeedConfig, folder: Path
) -> tuple[dict[str, TimedPart], dict[str, str], Generator | None]:
    """The parts that can be run; why others can't; and the generator. A pipeline may be put together in `folder`."""
    asked = settings.asked
    _ = encoder.text_tower
    parts: dict[str, TimedPart] = {}
    skipped: dict[str, str] = {}
    generator, why = None, ""
    if set(asked) & set(NEEDS_GENERATOR):
        if settings.generator is not None:
            generator = Generator.load(encoder, settings.generator)
        else:
            generator, why = own_generator(encoder)
    for name in asked:
        if name in NEEDS_GENERATOR and generator is None:
            skipped[name] = why
        elif name == "text":
            parts[name] = TextCost(encoder, settings.rounds, settings.images)
        elif name == "indexing":
            parts[name] = IndexingCost(encoder, settings.few, settings.images)
        elif name == "learning" and generator:
            try:
                pipeline = whole_pipeline(encoder, settings.generator, folder)
            except ModelError as error:  # a text tower that transformers has no place for
                skipped[name] = str(error)
                continue
            parts[name] = LearningCost(
                encoder, generator, pipeline, settings.few, settings.steps, settings.photos, settings.parent
            )
        elif generator:
            parts[name] = SearchCost(
                encoder, generator, settings.queries, settings.concepts, settings.sampling
            )
    if not parts:
        raise GairError(f"nothing to time of {', '.join(asked)}: {next(iter(skipped.values()))}")
    return parts, skipped, generator


class TextCost(TimedPart):
    """Prompts with token weights, and queries."""

    title = "Table 7: text with token weights, and queries"
    baselines: ClassVar[Mapping[str, str]] = {
        "encoding with token weights": "encoding plain text",
        "encoding plain text, again": "encoding plain text",
        "a query: parse, encode, search": "encoding plain text",
    }
    """The second tells how far apart equal things come out."""

    def __init__(self, encoder: Encoder, rounds: int, images: int) -> None:
        super().__init__(rounds)
        self.encoder, self.images = encoder, images

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        encoder = self.encoder
        (plain,), (weighted,) = compiled(encoder, [PLAIN]), compiled(encoder, [WEIGHTED])
        searched = indexed(encoder, drawn(folder, seed, self.images), folder / "searched")

        def query(_: int) -> None:
            vector, _tokens = query_vector(WEIGHTED, encoder, no_concept)
            searched.search(vector, 10)

        return {
            "encoding plain text": lambda _: encoder.encode_embeddings(plain.embeddings, plain.end),
            "encoding plain text, again": lambda _: encoder.encode_embeddings(plain.embeddings, plain.end),
            "encoding with token weights": lambda _: encoder.encode_embeddings(
                plain.embeddings, plain.end, weighted.token_weights
            ),
            "a query: parse, encode, search": query,
        }

    def note(self) -> str:
        return (
            f"{super().note()} The paper's table 7 (RTX A5000, mean of 28,000 runs) finds no significant difference "
            f"between plain and reweighted text; its milliseconds are not in the text that we have."
        )


class IndexingCost(TimedPart):
    """Pictures into a gallery."""

    title = "Indexing against the image tower"
    baselines: ClassVar[Mapping[str, str]] = {"indexing": "image tower alone"}

    def __init__(self, encoder: Encoder, rounds: int, images: int) -> None:
        super().__init__(rounds)
        self.encoder, self.images = encoder, images

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        encoder, photos, numbers = self.encoder, drawn(folder, seed, self.images), count()
        pixels = np.stack([load_pixels(file, encoder.preprocessing) for file in sorted(photos.iterdir())])
        batches = [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]
        return {
            "image tower alone": lambda _: [encoder.encode_pixels(batch) for batch in batches],
            "indexing": lambda _: indexed(encoder, photos, folder / f"gallery-{next(numbers)}").close(),
        }

    def note(self) -> str:
        return f"{self.images} pictures of 256 px. {super().note()}"


def drawn(folder: Path, seed: int, n: int) -> Path:
    """A folder of `n` pictures of the fashion world in JPEG; drawn where they are not there yet."""
    photos = folder / "photos"
    if not photos.is_dir():
        photos.mkdir()
        for i in range(n):
            render(scene(seed * SEEDS + i, "test"), 256).save(photos / f"{i:05d}.jpg", quality=92)
    return photos


def indexed(encoder: Encoder, photos: Path, folder: Path) -> Gallery:
    """A new gallery of photos."""
    gallery = open_gallery(None, folder, None, None)
    index_folders([photos], encoder.spec, encoder.encode_pixels, gallery, workers=0)
    return gallery
