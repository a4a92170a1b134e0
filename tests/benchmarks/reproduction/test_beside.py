"""Each figure of the papers stands beside the one of ours that it belongs to."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.presentation.recognition import ACCURACIES, AUCS
from gair_search.benchmarks.reproduction.beside import (
    ComparedFigure,
    figures_table,
    generation_figures,
    preference_figures,
    recognition_figures,
    retrieval_figures,
    speed_figures,
)


@pytest.fixture
def summaries() -> Iterator[dict[str, Any]]:
    """Summaries whose means are 0.001, 0.002, ..."""
    return ({"mean": i / 1000, "sd": 0.0, "n": 2} for i in count(1))


def cell(figures: list[ComparedFigure], table: str, row: str, column: str) -> tuple[str, str]:
    (found,) = (one for one in figures if (one.table, one.row, one.column) == (table, row, column))
    return found.paper, found.ours


def test_recognition(summaries: Iterator[dict[str, Any]]) -> None:
    values = {
        "loss weights": {"(1, 0)": {name: next(summaries) for name in ACCURACIES}},
        "methods": {"ours": {name: next(summaries) for name in AUCS}},
    }
    found = list(recognition_figures(Report("recognition", {}, values)))
    assert len(found) == 4 * 2 + 3 * 3
    assert cell(found, "tokens-1", "(1, 0)", ACCURACIES[1]) == ("0.0", "0.2 ± 0.0")
    assert cell(found, "tokens-1", "(0, 1)", ACCURACIES[0]) == ("98.5", "-")
    assert cell(found, "tokens-3", "ours", AUCS[2]) == ("85.5 ± 11.4", "0.5 ± 0.0")


def test_generation(summaries: Iterator[dict[str, Any]]) -> None:
    names = ("object", "context", "average")
    values = {
        "judges": {
            judge: {"ours": {name: next(summaries) for name in names}} for judge in ("ViT-L-14", "another")
        }
    }
    found = list(generation_figures(Report("generation", {}, values)))
    assert cell(found, "tokens-2", "ours", "CLIP: context") == ("0.456", "0.002 ± 0.000")
    assert cell(found, "tokens-2", "ours", "ALIGN, ours another: object") == ("0.967", "0.004 ± 0.000")
    assert cell(found, "tokens-2", "textual inversion", "CLIP: object") == ("0.975", "-")


def test_retrieval(summaries: Iterator[dict[str, Any]]) -> None:
    values = {"methods": {"ours": {"MRR": next(summaries)}, "ours + GAIR": {"MRR": next(summaries)}}}
    found = list(retrieval_figures(Report("retrieval", {}, values)))
    assert cell(found, "tokens-4", "ours + GAIR", "MRR") == ("58.8 ± 2.3", "0.2 ± 0.0")
    assert cell(found, "tokens-4", "prompt tuning", "MRR") == ("51.4 ± 2.1", "-")
    assert len(found) == 8


def test_preference(summaries: Iterator[dict[str, Any]]) -> None:
    def measured(ways: tuple[str, ...]) -> dict[str, Any]:
        names = ("plain", *(name for way in ways for name in (way, f"{way} - plain")))
        return {measure: {name: next(summaries) for name in names} for measure in ("AP", "P@k")}

    own = {"table 3": measured(("up", "down")), "table 4": measured(("up", "more"))}
    report = Report("preference", {"dataset": "celeba"}, {"SToRI": own})
    found = list(preference_figures(report))
    assert cell(found, "stori-3", "emphasised", "CelebA: AP") == (
        "0.773 ± 0.084, +0.021 ± 0.011",
        "0.002 ± 0.000, +0.003 ± 0.000",
    )
    assert cell(found, "stori-3", "plain", "CelebA: P@400") == ("0.679 ± 0.084", "0.006 ± 0.000")
    assert cell(found, "stori-4", "more", "CelebA: AP")[1] == "0.014 ± 0.000, +0.015 ± 0.000"
    assert cell(found, "stori-6", "CLIP, plain", "AP") == ("0.684 ± 0.097", "-")
    own["table 6"] = measured(("up", "down"))
    five = cell(list(preference_figures(report)), "stori-6", "CLIP, de-emphasised", "P@80")
    assert five == ("0.601 ± 0.054, -0.026 ± 0.012", "0.029 ± 0.000, +0.030 ± 0.000")
    metaclip = list(preference_figures(report, metaclip=True))
    assert cell(metaclip, "stori-6", "MetaCLIP, plain", "AP") == ("0.689 ± 0.074", "0.021 ± 0.000")
    assert cell(metaclip, "stori-5", "plain", "CelebA: AP") == ("0.753 ± 0.088", "0.001 ± 0.000")
    del own["table 3"]["P@k"]
    on_cub = list(preference_figures(Report("preference", {"dataset": "cub"}, {"SToRI": own}), metaclip=True))
    assert {one.table for one in on_cub} == {"stori-5"}
    assert cell(on_cub, "stori-5", "plain", "CUB: AP") == ("0.148 ± 0.055", "0.001 ± 0.000")


def test_speed_and_the_table() -> None:
    ratio = {"mean": 1.02, "sd": 0.01, "n": 3, "baseline": "encoding plain text"}
    values = {"text": {"ratios": {"encoding with token weights": ratio}}}
    found = list(speed_figures(Report("speed", {}, values)))
    text = figures_table(found, "Not all. ").markdown()
    assert (
        "| stori-7 | reweighted text | time, to plain text's | not significantly different | 1.020 ± 0.010 |"
        in text
    )
    assert "Not all. ± of each" in text
