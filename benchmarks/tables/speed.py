"""`gair bench speed`: what things cost, as ratios to named baselines that are timed in turns with them.

- text: encoding a prompt with token weights, and with all weights 1, against encoding it plain (Kim et al. 2024,
  table 7); a query, which is parsing, encoding and searching, against the text tower alone.
- indexing: decoding, embedding and storing pictures against the image tower alone, on the same pictures.
- learning: textual inversion against diffusers' training loop (`costs/learning.py`).
- gair: the search for the mixing weight against the plain loop of Algorithm 1 (`costs/gair.py`).

Nothing is kept: a timing that was not taken beside its baseline says nothing.
"""

import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gair_search.benchmarks.costs.gair import SearchCost
from gair_search.benchmarks.costs.indexing import IndexingCost
from gair_search.benchmarks.costs.learning import LearningCost, find_pipeline
from gair_search.benchmarks.costs.text import TextCost
from gair_search.benchmarks.harness.report import Report, left_out_note
from gair_search.benchmarks.harness.run import (
    ProgressCounter,
    json_value,
    known_rows,
    load_own_generator,
)
from gair_search.benchmarks.harness.timing import TimedPart
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError, ModelError
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.progress import Progress

PARTS = ("text", "indexing", "learning", "gair")
GENERATOR_PARTS = ("learning", "gair")


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
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    @property
    def chosen_parts(self) -> tuple[str, ...]:
        """The parts to run, in their order. Raises GairError on an unknown one."""
        return known_rows(self.parts, PARTS, "part")

    @property
    def slow_rounds(self) -> int:
        """Rounds of what takes long."""
        return max(5, self.rounds // 10)


def speed(encoder: Encoder, config: SpeedConfig, on_progress: Progress | None = None) -> Report:
    """Time the parts, one after the other, seed by seed.

    What needs a generator is left out, and the report says so, where the model has none.

    Args:
        encoder: a model whose text tower takes token weights.
        config: what to run.
        on_progress: takes note of the rounds that are done.

    Raises:
        GairError: an unknown part, or none that this model can run. ModelError: the tower takes plain prompts
            only; GeneratorError: the generator that was asked for can't be used. ConceptError: no photo can be read,
            or a stored token is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts, skipped, generator = _parts(encoder, config, Path(folder) / "pipeline")
        settings = {name: json_value(value) for name, value in asdict(config).items()} | {
            "parts": list(parts),
            "model": encoder.spec.name,
            "device": str(encoder.device),
            "threads": torch.get_num_threads(),
        }
        if generator:
            sampling = asdict(generator.complete_sampling(config.sampling))
            settings |= {"generator": generator.identity, "sampling": sampling}
        counter = ProgressCounter(
            on_progress, len(config.seeds) * sum(part.rounds for part in parts.values())
        )
        for seed in config.seeds:
            own = Path(folder) / f"seed{seed}"
            own.mkdir()
            for part in parts.values():
                part.run(seed, own, encoder.device, counter)
    tables = [part.table() for part in parts.values()]
    note = f" {encoder.spec.name} on {encoder.device}, {settings['threads']} thread(s)."
    tables[-1] = replace(tables[-1], note=tables[-1].note + note + left_out_note(skipped))
    values: dict[str, Any] = {name: part.values() for name, part in parts.items()}
    return Report("speed", settings, values | {"skipped": skipped}, tables)


def _parts(
    encoder: Encoder, config: SpeedConfig, folder: Path
) -> tuple[dict[str, TimedPart], dict[str, str], Generator | None]:
    """The parts that can be run; why others can't; and the generator. A pipeline may be put together in `folder`."""
    wanted = config.chosen_parts
    _ = encoder.text_tower
    parts: dict[str, TimedPart] = {}
    skipped: dict[str, str] = {}
    generator, why = None, ""
    if set(wanted) & set(GENERATOR_PARTS):
        if config.generator is not None:
            generator = Generator.load(encoder, config.generator)
        else:
            generator, why = load_own_generator(encoder)
    for name in wanted:
        if name in GENERATOR_PARTS and generator is None:
            skipped[name] = why
        elif name == "text":
            parts[name] = TextCost(encoder, config.rounds, config.images)
        elif name == "indexing":
            parts[name] = IndexingCost(encoder, config.slow_rounds, config.images)
        elif name == "learning" and generator:
            try:
                pipeline = find_pipeline(encoder, config.generator, folder)
            except ModelError as error:  # a text tower that transformers has no place for
                skipped[name] = str(error)
                continue
            parts[name] = LearningCost(
                encoder, generator, pipeline, config.slow_rounds, config.steps, config.photos, config.parent
            )
        elif generator:
            parts[name] = SearchCost(encoder, generator, config.queries, config.concepts, config.sampling)
    if not parts:
        raise GairError(f"nothing to time of {', '.join(wanted)}: {next(iter(skipped.values()))}")
    return parts, skipped, generator
