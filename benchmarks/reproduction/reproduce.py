"""One run after the other: what is missing first, then what it will cost, then the tables."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import json_value, load_own_generator
from gair_search.benchmarks.reproduction.beside import FIGURES, ComparedFigure, figures_table, whole_figures
from gair_search.benchmarks.reproduction.estimate import (
    LEAST_SECONDS,
    Estimate,
    count_work,
    device_name,
    probe_device,
)
from gair_search.benchmarks.reproduction.plan import (
    PaperTable,
    PlannedRun,
    measure,
    runs_of,
)
from gair_search.benchmarks.reproduction.requirements import MissingPart, find_missing
from gair_search.benchmarks.reproduction.sources import PAPERS, Scale, Sources
from gair_search.benchmarks.tables.generation import GenerationConfig
from gair_search.encoder.clip import Encoder
from gair_search.learning.config import config_for
from gair_search.progress import Progress

LoadEncoder = Callable[[str], Encoder]
"""Loads a model by its name."""

ShowProgress = Callable[[str], AbstractContextManager[Progress]]
"""A run's name -> what takes note of how far it is."""


@dataclass
class Reproduction:
    """Tables to reproduce.

    Attributes:
        tables: by name.
        sources: models and data.
        scale: how much of the papers' protocol.
        missing: requirement -> what is not there, of those that these tables need.
        left_out: tables without which it is run, since something of theirs is missing.
    """

    tables: dict[str, PaperTable]
    sources: Sources
    scale: Scale = PAPERS
    missing: dict[str, MissingPart] = field(init=False)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.missing = find_missing((key for run in self.runs for key in run.needs), self.sources)

    @property
    def runs(self) -> list[PlannedRun]:
        """What makes the tables, in order."""
        return list(runs_of(self.tables.values()))

    def without_missing(self) -> "Reproduction":
        """Those of the tables for which all is there."""
        lacking = {run.name for run in self.runs if set(run.needs) & set(self.missing)}
        kept = {name: table for name, table in self.tables.items() if not lacking & set(table.runs)}
        left_out = tuple(name for name in self.tables if name not in kept)
        return Reproduction(kept, self.sources, self.scale, left_out)

    def estimate(self, load_encoder: LoadEncoder, least: float = LEAST_SECONDS) -> Estimate:
        """What the runs will cost on this device.

        Args:
            load_encoder: loads a model.
            least: as of `probe_device`.

        Raises:
            ModelError: the generator doesn't fit the model. DatasetError: as the runs.
        """
        runs = self.runs
        first = next((run for run in runs if run.model == "clip"), runs[0])
        encoder = load_encoder(self.model_of(first))
        draws = any(run.draws for run in runs)
        generator = load_own_generator(encoder, self.sources.generator)[0] if draws else None
        work = {run.name: count_work(run.configure(self.sources, self.scale), encoder) for run in runs}
        each = probe_device(encoder, generator, config_for(encoder.spec), least)
        return Estimate(work, each, device_name(encoder.device))

    def model_of(self, run: PlannedRun) -> str:
        """The name of a run's model."""
        return self.sources.model if run.model == "clip" else self.sources.metaclip

    def run(
        self,
        load_encoder: LoadEncoder,
        show_progress: ShowProgress,
        work: Path | None = None,
        on_report: Callable[[PlannedRun, Report], None] = lambda run, report: None,
    ) -> Report:
        """Run all, one model in memory at a time; the report has every figure of the papers beside ours.

        Args:
            load_encoder: loads a model.
            show_progress: of each run.
            work: keeps what is finished, as in `harness.run`.
            on_report: takes each run's own report when it is there.

        Raises:
            GairError: as the runs.
        """
        found: list[ComparedFigure] = []
        values: dict[str, Any] = {}
        loaded: dict[str, Encoder] = {}
        for run in self.runs:
            name = self.model_of(run)
            if name not in loaded:
                loaded.clear()  # before the next one is loaded
                loaded[name] = load_encoder(name)
            report = self._measure(run, loaded[name], load_encoder, show_progress, work)
            on_report(run, report)
            values[run.name] = report.to_json()
            found += [one for one in FIGURES[run.name](report) if one.table in self.tables]
            del report  # it holds what draws its pictures, and with it the model
        found += [one for one in whole_figures(values) if one.table in self.tables]
        settings: Mapping[str, Any] = {
            "tables": list(self.tables),
            "sources": json_value(vars(self.sources)),
            "scale": json_value(vars(self.scale)),
            "left out": list(self.left_out),
        }
        order = list(self.tables)
        found.sort(key=lambda one: order.index(one.table))
        whole = Report("reproduce", dict(settings))
        whole.values = {"figures": [one.to_json() for one in found], "runs": values}
        remark = "" if self.scale == PAPERS else f"Not at the papers' scale, but {_told(self.scale)}. "
        whole.tables = [figures_table(found, remark)]
        return whole

    def _measure(
        self,
        run: PlannedRun,
        encoder: Encoder,
        load_encoder: LoadEncoder,
        show_progress: ShowProgress,
        work: Path | None,
    ) -> Report:
        """One run's report."""
        config = run.configure(self.sources, self.scale)
        name = config.judge if isinstance(config, GenerationConfig) else ""
        judge = load_encoder(name) if name else None
        with show_progress(run.name) as on_progress:
            return measure(config, encoder, work, judge, on_progress)


def _told(scale: Scale) -> str:
    """What of a scale is not the papers'."""
    other = {name: value for name, value in vars(scale).items() if value != vars(PAPERS)[name]}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in other.items())


def missing_text(missing: Iterable[MissingPart]) -> str:
    """What is missing, for people: a paragraph each."""
    paragraphs = (
        f"{one.name}\n  found: {one.problem}\n  get:   {one.get}\n  size:  {one.size}\n  put:   {one.put}\n"
        for one in missing
    )
    return "\n".join(dict.fromkeys(paragraphs))
