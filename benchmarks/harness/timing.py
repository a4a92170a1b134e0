"""Timing in turns: tasks against the baselines that they are compared with, for all parts of `gair bench speed`."""

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from gair_search.benchmarks.harness.measures import Summary, summary
from gair_search.benchmarks.harness.report import Table
from gair_search.benchmarks.harness.run import ProgressCounter

Task = Callable[[int], object]
"""What is timed; called with the round's number, 0 to warm up."""


def time_in_turns(
    tasks: Mapping[str, Task],
    rounds: int,
    seed: int,
    counter: ProgressCounter | None = None,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Seconds of each task in each round; a round runs all of them once, in an order drawn anew.

    What else the machine does then weighs on all alike, and a ratio within a round is fair. What a GPU has not
    finished yet, where that is the `device`, is waited for.
    """
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task(0)  # what is loaded or allocated once is not timed
    for number in range(rounds):
        for i in rng.permutation(len(tasks)):
            name = list(tasks)[i]
            wait_for(device)
            began = time.perf_counter()
            tasks[name](number)
            wait_for(device)
            seconds[name].append(time.perf_counter() - began)
        if counter:
            counter.advance()
    return seconds


class TimedPart(ABC):
    """Tasks that are timed in turns, seed by seed.

    Attributes:
        title: of its table.
        baselines: what is timed -> what it is compared with, both by name.
        rounds: timings of each, a seed.
        seconds: of each task in each round, one mapping a seed.
    """

    title: ClassVar[str]
    baselines: ClassVar[Mapping[str, str]]

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.seconds: list[dict[str, list[float]]] = []

    @abstractmethod
    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        """The tasks of a seed, everything untimed done; `folder` is the seed's own, shared by all parts."""

    def run(
        self, seed: int, folder: Path, device: torch.device, counter: ProgressCounter | None = None
    ) -> None:
        """Time the tasks of a seed; the counter counts rounds."""
        self.seconds.append(time_in_turns(self.tasks(seed, folder), self.rounds, seed, counter, device))

    def ratio(self, own: list[float], baseline: list[float]) -> float:
        """A task's time over its baseline's: the median over the rounds."""
        return statistics.median(a / b for a, b in zip(own, baseline, strict=True))

    def ratios(self, name: str) -> list[float]:
        """`ratio` of a task, one a seed."""
        return [self.ratio(seconds[name], seconds[self.baselines[name]]) for seconds in self.seconds]

    def faster(self, name: str) -> Summary:
        """How many times as fast as its baseline a task is, over the seeds; a baseline is as fast as itself."""
        return summary([1 / ratio for ratio in self.ratios(name)] if name in self.baselines else [1.0])

    def values(self) -> dict[str, Any]:
        """Ratios to the baselines and milliseconds (the median round's), over the seeds, as JSON values."""
        millis = {
            name: summary([1000 * statistics.median(seconds[name]) for seconds in self.seconds])
            for name in self.seconds[0]
        }
        return {
            "ratios": {
                name: {"baseline": base, **asdict(summary(self.ratios(name)))}
                for name, base in self.baselines.items()
            },
            "milliseconds": {name: asdict(found) for name, found in millis.items()},
        }

    def table(self) -> Table:
        """The ratios, for people."""
        found = self.values()
        rows = []
        for name, facts in found["ratios"].items():
            ratio = Summary(facts["mean"], facts["sd"], facts["n"])
            own, base = (found["milliseconds"][key]["mean"] for key in (name, facts["baseline"]))
            rows.append(
                (name, facts["baseline"], format_over_seeds(ratio, ".3f"), f"{own:.2f}", f"{base:.2f}")
            )
        columns = ("what", "baseline", "ratio", "ms", "baseline ms")
        return Table(self.title, columns, tuple(rows), self.note())

    def note(self) -> str:
        """How it was measured."""
        return (
            f"{self.rounds} rounds in turns, {len(self.seconds)} seed(s); the ratio is the median over the rounds, "
            f"± is over seeds."
        )


def format_over_seeds(found: Summary, spec: str) -> str:
    """`mean ± sd` over seeds in a format; of one seed the mean alone."""
    return format(found, spec) if found.n > 1 else format(found.mean, spec)


def wait_for(device: torch.device | None) -> None:
    """Wait for what a GPU was told to do; nothing to wait for elsewhere."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()
