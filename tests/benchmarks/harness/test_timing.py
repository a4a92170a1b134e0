"""Tasks in turns, and ratios to their baselines."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from gair_search.benchmarks.harness.measures import Summary
from gair_search.benchmarks.harness.run import ProgressCounter
from gair_search.benchmarks.harness.timing import (
    Task,
    TimedPart,
    format_over_seeds,
    time_in_turns,
)


def test_tasks_take_turns_and_are_timed_apart() -> None:
    order: list[tuple[str, int]] = []

    def task(name: str, number: int, seconds: float) -> None:
        order.append((name, number))
        time.sleep(seconds)

    rounds: list[int] = []
    counter = ProgressCounter(lambda done, total: rounds.append(done))
    tasks = {"a": lambda i: task("a", i, 0), "b": lambda i: task("b", i, 0.01)}
    seconds = time_in_turns(tasks, 5, 0, counter)
    assert order[:2] == [("a", 0), ("b", 0)]  # untimed
    turns = [sorted(order[i : i + 2]) for i in range(2, 12, 2)]
    assert turns == [[("a", i), ("b", i)] for i in range(5)]
    assert len({order[i][0] for i in range(2, 12, 2)}) == 2  # in no fixed order
    assert (len(seconds["a"]), len(rounds)) == (5, 5)
    assert min(seconds["b"]) >= 0.01


class Naps(TimedPart):
    title = "Naps"
    baselines: ClassVar[Mapping[str, str]] = {"long": "short"}

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        return {"short": lambda _: time.sleep(0.001), "long": lambda _: time.sleep(0.004)}


def test_a_ratio_is_the_median_round_s_and_is_summed_up_over_seeds(tmp_path: Path) -> None:
    part = Naps(3)
    part.seconds = [
        {"long": [2.0, 9.0, 4.0], "short": [1.0, 1.0, 1.0]},
        {"long": [3.0, 3.0, 8.0], "short": [0.5, 3.0, 4.0]},
    ]
    assert part.ratios("long") == [4, 2]
    found = part.values()
    assert found["ratios"]["long"] == {"baseline": "short", "mean": 3, "sd": pytest.approx(2**0.5), "n": 2}
    assert found["milliseconds"]["long"]["mean"] == 3500
    assert part.faster("long").mean == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert part.faster("short").mean == 1
    assert part.table().rows == (("long", "short", "3.000 ± 1.414", "3500.00", "2000.00"),)


def test_a_part_runs_a_seed_at_a_time(tmp_path: Path) -> None:
    part, rounds = Naps(3), []
    for seed in range(2):
        part.run(
            seed, tmp_path, torch.device("cpu"), ProgressCounter(lambda done, total: rounds.append(done))
        )
    assert [len(seconds["long"]) for seconds in part.seconds] == [3, 3]
    assert len(rounds) == 6
    assert min(part.ratios("long")) > 1
    assert "3 rounds in turns, 2 seed(s)" in part.table().note


def test_one_seed_has_no_deviation() -> None:
    assert format_over_seeds(Summary(1.5, 0.0, 1), ".2f") == "1.50"
    assert format_over_seeds(Summary(1.5, 0.25, 2), ".2f") == "1.50 ± 0.25"
