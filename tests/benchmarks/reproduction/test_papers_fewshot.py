"""SToRI's tables 1, 2 and 8: the paper's figures add up, and ours stand where they belong."""

from itertools import count
from typing import Any

import numpy as np
import pytest

from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.harness.classifiers import BASE, BOTH, STORI, TASKRES
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.presentation.fewshot import PAPER
from gair_search.benchmarks.reproduction.papers_fewshot import (
    MEAN,
    PAPER_CLIP,
    PAPER_METACLIP,
    Figures,
    fewshot_figures,
    mean_figures,
)


@pytest.mark.parametrize("figures", [PAPER_CLIP, PAPER_METACLIP])
def test_the_papers_means_are_of_its_data_sets(figures: Figures) -> None:
    for by_shots in figures.values():
        assert list(by_shots) == [1, 2, 4, 8, 16]
        for cells in by_shots.values():
            assert len(cells) == len(COOP_SETS) + 1
            mean = np.mean([float(cell.split(" ± ")[0]) for cell in cells[:-1]])
            assert float(cells[-1]) == pytest.approx(mean, abs=0.0101)


def test_the_means_are_those_of_the_table_s_own_command() -> None:
    for row, by_shots in PAPER.items():
        assert {k: cells[-1] for k, cells in PAPER_CLIP[row].items()} == by_shots


def values_of(start: int) -> dict[str, Any]:
    """Rows whose accuracies are start / 10,000, (start + 1) / 10,000, ..."""
    numbers = count(start)

    def rows(names: list[str]) -> dict[str, Any]:
        return {
            name: {str(k): {"mean": next(numbers) / 10_000, "sd": 0.0, "n": 3} for k in (1, 2, 4, 8, 16)}
            for name in names
        }

    named = [f"{method}, {text}" for method, text in PAPER_CLIP]
    return {
        "named": {"rows": rows(named)},
        "nonsense": {"rows": rows(["descriptions", "descriptions + nonsense"])},
    }


def test_figures_of_a_data_set() -> None:
    report = Report("fewshot", {}, values_of(1))
    found = {
        (table, row, column): (paper, ours)
        for table, row, column, paper, ours in fewshot_figures(report, "sun397")
    }
    assert found["stori-2", f"{TASKRES}, {BASE}, 1 shot", "SUN397"] == ("68.10 ± 0.16", "0.01 ± 0.00")
    assert found["stori-2", f"{STORI}, {BOTH}, 16 shots", "SUN397"] == ("79.61 ± 0.11", "0.15 ± 0.00")
    assert found["stori-1", "descriptions + nonsense", "SUN397"] == ("79.11 ± 0.10", "0.25 ± 0.00")
    assert len(found) == 15 + 2
    other = list(fewshot_figures(report, "sun397", metaclip=True))
    assert {table for table, *_ in other} == {"stori-8"}
    assert other[0][3] == "74.89 ± 0.08"
    assert [row for table, row, *_ in fewshot_figures(report, "dtd") if table == "stori-1"] == []


def test_means_over_the_six() -> None:
    values = {name: values_of(100 * i) for i, name in enumerate(COOP_SETS)}
    found = list(mean_figures(values))
    assert found[0] == ("stori-2", f"{TASKRES}, {BASE}, 1 shot", MEAN, "77.53", "2.50")
    assert len(found) == 15
    assert next(iter(mean_figures(values, metaclip=True)))[3] == "82.29"
    del values["dtd"]["named"]["rows"][f"{TASKRES}, {BASE}"]["1"]  # fewer shots than it takes
    assert next(iter(mean_figures(values)))[4] == ""
    del values["dtd"]
    assert list(mean_figures(values)) == []
