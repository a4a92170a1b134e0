"""Which runs make the papers' tables: what each needs, and its configuration at the papers' settings."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.methods.concepts import OURS, PALAVRA, PROMPT_TUNING, TEXT_ONLY
from gair_search.benchmarks.reproduction import sources as places
from gair_search.benchmarks.reproduction.sources import Scale, Sources
from gair_search.benchmarks.tables.fewshot import FewShotConfig, fewshot
from gair_search.benchmarks.tables.generation import PHOTO_CONTEXTS, GenerationConfig, generation
from gair_search.benchmarks.tables.preference import PreferenceConfig, preference
from gair_search.benchmarks.tables.recognition import RecognitionConfig, recognition
from gair_search.benchmarks.tables.retrieval import RetrievalConfig, retrieval
from gair_search.benchmarks.tables.speed import SpeedConfig, speed
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.generation.sampling import SamplingConfig
from gair_search.progress import Progress

RunOf = (
    RecognitionConfig | GenerationConfig | RetrievalConfig | FewShotConfig | PreferenceConfig | SpeedConfig
)

LEARNED_ROWS = (PROMPT_TUNING, "textual inversion", OURS)
"""The paper's rows of tables 2 and 3."""

RETRIEVAL_ROWS = (TEXT_ONLY, "text + average image", "ideal words", PALAVRA, PROMPT_TUNING, OURS)
"""Table 4's, those with GAIR apart."""

COMBINATIONS = {"celeba": 20, "cub": 58}
"""Prompts of three attributes (section 4.2)."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a table's command.

    Attributes:
        name: for people and files.
        needs: keys of `REQUIREMENTS`.
        configure: its configuration.
        model: `clip` or `metaclip`.
        draws: whether the generator is used.
    """

    name: str
    needs: tuple[str, ...]
    configure: Callable[[Sources, Scale], RunOf]
    model: str = "clip"
    draws: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        name: `tokens-4`, for `--tables`.
        title: what it shows.
        runs: names of the runs that make it.
    """

    name: str
    title: str
    runs: tuple[str, ...]


def _recognition(sources: Sources, scale: Scale) -> RecognitionConfig:
    return RecognitionConfig(
        "textual-inversion", sources.folder(places.TEXTUAL_INVERSION), scale.seed_numbers(1), scale.limit,
        LEARNED_ROWS, scale.steps, classes=sources.folder(places.CALTECH), parents=sources.recognised,
        per_class=scale.per_class, generator=sources.generator,
    )  # fmt: skip


def _generation(sources: Sources, scale: Scale) -> GenerationConfig:
    return GenerationConfig(
        "textual-inversion", sources.folder(places.TEXTUAL_INVERSION), scale.seed_numbers(1), scale.limit or 6,
        LEARNED_ROWS[1:], scale.steps, parents=sources.drawn, contexts=PHOTO_CONTEXTS[: scale.contexts],
        images=scale.images, judge=sources.judge, sampling=SamplingConfig(steps=scale.draw_steps),
        generator=sources.generator,
    )  # fmt: skip


def _retrieval(sources: Sources, scale: Scale) -> RetrievalConfig:
    return RetrievalConfig(
        "pervl-deepfashion2", sources.folder(places.PERVL), scale.seed_numbers(3), scale.limit, RETRIEVAL_ROWS,
        scale.steps, "all", gair=True, redact_faces=True, generator=sources.generator,
    )  # fmt: skip


def _preference(dataset: Literal["celeba", "cub"]) -> Callable[[Sources, Scale], PreferenceConfig]:
    def configure(sources: Sources, scale: Scale) -> PreferenceConfig:
        folder = sources.folder(places.CELEBA if dataset == "celeba" else places.CUB)
        limit = scale.limit or COMBINATIONS[dataset]
        return PreferenceConfig(
            dataset, folder, scale.seed_numbers(1), limit, per_category=scale.per_category
        )

    return configure


def _fewshot(data_set: Any) -> Callable[[Sources, Scale], FewShotConfig]:
    def configure(sources: Sources, scale: Scale) -> FewShotConfig:
        return FewShotConfig(
            data_set, sources.folder(places.COOP), scale.seed_numbers(3), scale.limit, scale.shots, (),
            epochs=scale.epochs, per_class=scale.per_class, descriptions=sources.descriptions(data_set),
        )  # fmt: skip

    return configure


def _fewshot_runs() -> Iterator[PlannedRun]:
    """Each data set with CLIP, then with MetaCLIP."""
    for model in ("clip", "metaclip"):
        for name in COOP_SETS:
            end = "" if model == "clip" else "-metaclip"
            needs = (model, name, f"cupl {name}")
            yield PlannedRun(f"fewshot-{name}{end}", needs, _fewshot(name), model)


def _speed(_: Sources, scale: Scale) -> SpeedConfig:
    return SpeedConfig(("text",), scale.seed_numbers(1), scale.rounds)


RUNS: dict[str, PlannedRun] = {
    run.name: run
    for run in (
        PlannedRun(
            "recognition",
            ("clip", "generator", "concepts recognised", "caltech256"),
            _recognition,
            draws=True,
        ),
        PlannedRun("generation", ("clip", "generator", "judge", "concepts drawn"), _generation, draws=True),
        PlannedRun("retrieval", ("clip", "generator", "pervl", "scikit-image"), _retrieval, draws=True),
        PlannedRun("preference-celeba", ("clip", "celeba"), _preference("celeba")),
        PlannedRun("preference-cub", ("clip", "cub"), _preference("cub")),
        PlannedRun("preference-celeba-metaclip", ("metaclip", "celeba"), _preference("celeba"), "metaclip"),
        PlannedRun("preference-cub-metaclip", ("metaclip", "cub"), _preference("cub"), "metaclip"),
        *_fewshot_runs(),
        PlannedRun("speed", ("clip",), _speed),
    )
}
"""By name, the quicker ones of a kind first."""

TABLES: dict[str, PaperTable] = {
    table.name: table
    for table in (
        PaperTable("tokens-1", "loss weights", ("recognition",)),
        PaperTable("tokens-2", "what tokens draw", ("generation",)),
        PaperTable("tokens-3", "what tokens tell apart", ("recognition",)),
        PaperTable("tokens-4", "retrieval of concepts", ("retrieval",)),
        PaperTable("stori-1", "nonsense", ("fewshot-sun397", "fewshot-caltech101")),
        PaperTable("stori-2", "few-shot classification", tuple(f"fewshot-{name}" for name in COOP_SETS)),
        PaperTable("stori-3", "retrieval by preference", ("preference-celeba", "preference-cub")),
        PaperTable("stori-4", "two attributes with different weights", ("preference-celeba",)),
        PaperTable("stori-5", "MetaCLIP", ("preference-celeba-metaclip", "preference-cub-metaclip")),
        PaperTable("stori-6", "five attributes", ("preference-celeba", "preference-celeba-metaclip")),
        PaperTable("stori-7", "runtime", ("speed",)),
        PaperTable("stori-8", "MetaCLIP", tuple(f"fewshot-{name}-metaclip" for name in COOP_SETS)),
    )
}
"""By name. `tokens` is Perera et al., `stori` Kim et al."""

LISTS = ("stori-9", "stori-10")
"""Tables that list attributes and measure nothing: `combinations.CELEBA_PHRASES` and `CUB_PHRASES`."""


def choose_tables(wanted: Iterable[str]) -> dict[str, PaperTable]:
    """The tables of these names, or of a paper's name alone; all where nothing is wanted.

    Raises:
        GairError: there is no such table.
    """
    names = [name.strip().lower() for name in wanted]
    for name in names:
        if not any(_is_of(table, name) for table in TABLES):
            raise GairError(
                f"no table {name}; there are: {', '.join(TABLES)}, and tokens or stori for all of one"
            )
    chosen = [table for table in TABLES if not names or any(_is_of(table, name) for name in names)]
    return {name: TABLES[name] for name in chosen}


def _is_of(table: str, wanted: str) -> bool:
    return wanted in (table, table.split("-")[0])


def runs_of(tables: Iterable[PaperTable]) -> Iterator[PlannedRun]:
    """The runs that make these tables, each once, in their order."""
    wanted = {name for table in tables for name in table.runs}
    return (run for name, run in RUNS.items() if name in wanted)


def measure(
    config: RunOf,
    encoder: Encoder,
    work: Path | None = None,
    judge: Encoder | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Run a table. Finished parts come from the work folder; raises as the table's own function does.

    Args:
        config: of the run.
        encoder: the model.
        work: as in `harness.run`.
        judge: the second judge's model, of what tokens draw.
        on_progress: takes note of how far the run is.
    """
    if isinstance(config, SpeedConfig):
        return speed(encoder, config, on_progress)
    if isinstance(config, GenerationConfig):
        return generation(encoder, config, work, judge, on_progress)
    if isinstance(config, RecognitionConfig):
        return recognition(encoder, config, work, on_progress=on_progress)
    if isinstance(config, RetrievalConfig):
        return retrieval(encoder, config, work, on_progress=on_progress)
    if isinstance(config, FewShotConfig):
        return fewshot(encoder, config, work, on_progress=on_progress)
    return preference(encoder, config, work, on_progress=on_progress)
