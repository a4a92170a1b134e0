"""SToRI's tables 1, 2 and 8 as the paper has them, each figure beside ours."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.harness.classifiers import BASE, BOTH, STORI, TASKRES
from gair_search.benchmarks.harness.report import Report, percent
from gair_search.benchmarks.presentation.fewshot import PAPER_NONSENSE

Figures = Mapping[tuple[str, str], Mapping[int, tuple[str, ...]]]
"""(method, text) -> shots -> accuracy in percent on each of `COOP_SETS`, in their order, and their mean."""

PAPER_CLIP: Figures = {
    (TASKRES, BASE): {
        1: (
            "75.95 ± 0.03",
            "55.40 ± 0.27",
            "81.16 ± 0.44",
            "68.10 ± 0.16",
            "94.28 ± 0.11",
            "90.30 ± 0.10",
            "77.53",
        ),
        2: (
            "76.03 ± 0.00",
            "55.52 ± 0.48",
            "81.50 ± 0.62",
            "69.53 ± 0.14",
            "94.54 ± 0.05",
            "90.49 ± 0.05",
            "77.93",
        ),
        4: (
            "76.16 ± 0.02",
            "55.85 ± 0.12",
            "81.65 ± 0.28",
            "71.15 ± 0.09",
            "94.58 ± 0.09",
            "90.44 ± 0.05",
            "78.31",
        ),
        8: (
            "76.87 ± 0.05",
            "58.14 ± 0.07",
            "86.82 ± 0.19",
            "74.52 ± 0.07",
            "96.17 ± 0.08",
            "91.12 ± 0.07",
            "80.60",
        ),
        16: (
            "77.34 ± 0.03",
            "61.47 ± 0.16",
            "90.85 ± 0.21",
            "76.01 ± 0.24",
            "96.75 ± 0.07",
            "91.30 ± 0.10",
            "82.29",
        ),
    },
    (TASKRES, BOTH): {
        1: (
            "74.69 ± 0.04",
            "65.66 ± 0.82",
            "90.07 ± 0.79",
            "73.52 ± 0.49",
            "95.89 ± 0.57",
            "90.35 ± 0.36",
            "81.70",
        ),
        2: (
            "75.55 ± 0.04",
            "66.45 ± 1.57",
            "92.38 ± 0.69",
            "75.69 ± 0.29",
            "96.96 ± 0.27",
            "90.64 ± 0.38",
            "82.95",
        ),
        4: (
            "76.42 ± 0.03",
            "70.76 ± 1.12",
            "93.22 ± 0.37",
            "77.20 ± 0.08",
            "97.40 ± 0.21",
            "91.45 ± 0.15",
            "84.41",
        ),
        8: (
            "77.97 ± 0.02",
            "73.42 ± 0.86",
            "98.17 ± 0.25",
            "77.54 ± 0.16",
            "97.00 ± 0.28",
            "91.27 ± 0.11",
            "85.89",
        ),
        16: (
            "79.18 ± 0.10",
            "77.05 ± 0.65",
            "99.07 ± 0.11",
            "78.98 ± 0.10",
            "97.65 ± 0.23",
            "91.49 ± 0.08",
            "87.24",
        ),
    },
    (STORI, BOTH): {
        1: (
            "76.68 ± 0.15",
            "65.82 ± 0.98",
            "89.05 ± 0.58",
            "72.88 ± 0.20",
            "96.27 ± 0.67",
            "91.34 ± 0.12",
            "82.01",
        ),
        2: (
            "77.36 ± 0.23",
            "66.37 ± 1.01",
            "91.56 ± 0.60",
            "75.75 ± 0.04",
            "97.15 ± 0.13",
            "91.49 ± 0.24",
            "83.28",
        ),
        4: (
            "77.90 ± 0.05",
            "69.03 ± 1.48",
            "92.46 ± 0.09",
            "76.89 ± 0.02",
            "97.39 ± 0.08",
            "91.68 ± 0.07",
            "84.22",
        ),
        8: (
            "78.38 ± 0.13",
            "72.03 ± 0.60",
            "97.51 ± 0.43",
            "78.34 ± 0.13",
            "96.98 ± 0.29",
            "90.50 ± 0.05",
            "85.62",
        ),
        16: (
            "79.03 ± 0.13",
            "74.94 ± 0.10",
            "98.55 ± 0.23",
            "79.61 ± 0.11",
            "97.43 ± 0.20",
            "91.18 ± 0.10",
            "86.79",
        ),
    },
}
"""Table 2, CLIP ViT-L/14; three runs."""

PAPER_METACLIP: Figures = {
    (TASKRES, BASE): {
        1: (
            "79.38 ± 0.02",
            "67.91 ± 0.26",
            "83.75 ± 0.16",
            "74.89 ± 0.08",
            "97.21 ± 0.15",
            "90.63 ± 0.04",
            "82.29",
        ),
        2: (
            "79.46 ± 0.01",
            "67.93 ± 0.18",
            "84.03 ± 0.13",
            "75.71 ± 0.13",
            "97.48 ± 0.07",
            "90.83 ± 0.03",
            "82.57",
        ),
        4: (
            "79.58 ± 0.00",
            "68.34 ± 0.22",
            "84.07 ± 0.12",
            "76.66 ± 0.06",
            "97.44 ± 0.06",
            "90.82 ± 0.02",
            "82.82",
        ),
        8: (
            "80.03 ± 0.08",
            "69.7 ± 0.45",
            "90.12 ± 0.07",
            "78.87 ± 0.04",
            "97.84 ± 0.10",
            "91.30 ± 0.03",
            "84.64",
        ),
        16: (
            "80.46 ± 0.01",
            "72.03 ± 0.46",
            "93.72 ± 0.13",
            "79.92 ± 0.13",
            "98.00 ± 0.08",
            "91.47 ± 0.05",
            "85.93",
        ),
    },
    (TASKRES, BOTH): {
        1: (
            "79.59 ± 0.22",
            "72.79 ± 0.54",
            "92.26 ± 0.10",
            "76.16 ± 0.2",
            "97.59 ± 0.19",
            "90.28 ± 0.15",
            "84.78",
        ),
        2: (
            "80.23 ± 0.14",
            "74.27 ± 1.08",
            "94.42 ± 0.08",
            "77.64 ± 0.28",
            "98.20 ± 0.08",
            "90.68 ± 0.22",
            "85.91",
        ),
        4: (
            "80.68 ± 0.04",
            "76.91 ± 1.24",
            "94.94 ± 0.18",
            "78.88 ± 0.11",
            "98.16 ± 0.11",
            "90.85 ± 0.07",
            "86.74",
        ),
        8: (
            "81.30 ± 0.12",
            "78.88 ± 0.10",
            "98.55 ± 0.17",
            "78.87 ± 0.17",
            "98.22 ± 0.07",
            "90.81 ± 0.18",
            "87.77",
        ),
        16: (
            "81.78 ± 0.02",
            "81.28 ± 0.82",
            "99.22 ± 0.12",
            "79.92 ± 0.17",
            "98.47 ± 0.08",
            "91.19 ± 0.11",
            "88.65",
        ),
    },
    (STORI, BOTH): {
        1: (
            "79.44 ± 0.17",
            "72.66 ± 0.73",
            "92.38 ± 0.75",
            "76.05 ± 0.38",
            "97.46 ± 0.23",
            "90.12 ± 0.22",
            "84.68",
        ),
        2: (
            "79.98 ± 0.16",
            "73.76 ± 1.38",
            "95.09 ± 0.45",
            "78.21 ± 0.27",
            "98.04 ± 0.02",
            "90.57 ± 0.18",
            "85.94",
        ),
        4: (
            "80.53 ± 0.09",
            "75.91 ± 0.39",
            "96.28 ± 0.31",
            "79.38 ± 0.14",
            "98.01 ± 0.33",
            "90.73 ± 0.13",
            "86.81",
        ),
        8: (
            "81.01 ± 0.18",
            "78.39 ± 0.27",
            "98.04 ± 0.05",
            "80.24 ± 0.09",
            "98.23 ± 0.10",
            "90.71 ± 0.16",
            "87.77",
        ),
        16: (
            "81.40 ± 0.02",
            "79.89 ± 0.70",
            "98.58 ± 0.06",
            "81.43 ± 0.16",
            "98.47 ± 0.12",
            "91.25 ± 0.04",
            "88.50",
        ),
    },
}
"""Table 8, MetaCLIP ViT-L/14; three runs."""

MEAN = "mean of the six"

_ON_NONSENSE = ("caltech101", "sun397")
"""Table 1's data sets."""

Row = tuple[str, str, str, str, str]
"""Table, row, column, the paper's figure, ours."""


def fewshot_figures(report: Report, data_set: str, metaclip: bool = False) -> Iterator[Row]:
    """Of one data set: its part of table 2, or 8, and of table 1 where it has one."""
    place = list(COOP_SETS).index(data_set)
    table, papers = ("stori-8", PAPER_METACLIP) if metaclip else ("stori-2", PAPER_CLIP)
    ours = report.values["named"]["rows"]
    for (method, text), by_shots in papers.items():
        for k, figures in by_shots.items():
            found = ours.get(f"{method}, {text}", {}).get(str(k))
            yield table, _row(method, text, k), COOP_SETS[data_set].name, figures[place], percent(found, 2)
    if data_set in _ON_NONSENSE and not metaclip:
        for text, figures in PAPER_NONSENSE.items():
            found = report.values["nonsense"]["rows"].get(text, {}).get("16")
            paper = figures[_ON_NONSENSE.index(data_set)]
            yield "stori-1", text, COOP_SETS[data_set].name, paper, percent(found, 2)


def mean_figures(values: Mapping[str, Mapping[str, Any]], metaclip: bool = False) -> Iterator[Row]:
    """The mean over the six data sets, as the paper's last column; nothing where one of them was not run.

    Args:
        values: data set -> its report's values.
        metaclip: of table 8, else 2.
    """
    if set(values) != set(COOP_SETS):
        return
    table, papers = ("stori-8", PAPER_METACLIP) if metaclip else ("stori-2", PAPER_CLIP)
    for (method, text), by_shots in papers.items():
        for k, figures in by_shots.items():
            found = [one["named"]["rows"][f"{method}, {text}"].get(str(k)) for one in values.values()]
            whole = [one["mean"] for one in found if one]
            ours = f"{100 * np.mean(whole):.2f}" if len(whole) == len(found) else ""
            yield table, _row(method, text, k), MEAN, figures[-1], ours


def _row(method: str, text: str, k: int) -> str:
    return f"{method}, {text}, {k} shot{'s' if k > 1 else ''}"
