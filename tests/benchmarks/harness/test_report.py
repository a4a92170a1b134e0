"""Tables, files and rankings of a report."""

import json
from pathlib import Path

import pytest

from gair_search.benchmarks.harness.figures import new_figure
from gair_search.benchmarks.harness.report import (
    Report,
    Table,
    difference_cells,
    left_out_note,
    percent,
)
from gair_search.errors import GairError


def report() -> Report:
    def draw() -> object:
        figure = new_figure(2)
        figure.axes[0].plot([0, 1], [1, 0])
        return figure

    table = Table("T", ("", "a"), (("row", "1.0"),), "n = 1.")
    return Report("t", {"seeds": [0]}, {"a": 1.0}, [table], {"t-figure": draw})  # type: ignore[dict-item]


def test_tables_are_markdown() -> None:
    assert report().tables[0].markdown() == "### T\n\n|  | a |\n| --- | --- |\n| row | 1.0 |\n\nn = 1.\n"


def test_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one, two = tmp_path / "one", tmp_path / "two"
    written = report().save(one)
    assert {path.name for path in written} == {"t.md", "t.json", "t-figure.svg"}
    assert json.loads((one / "t.json").read_text()) == {"bench": "t", "settings": {"seeds": [0]}, "a": 1.0}
    report().save(two)
    assert (one / "t-figure.svg").read_bytes() == (two / "t-figure.svg").read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(GairError, match="can't be written"):
        report().save(tmp_path / "file")


def test_rankings_are_kept_by_method_and_query() -> None:
    one = Report("t", {})
    one.keep_ranking("a", "q", {"x": 0.5, "y": 0.25}, ["y"])
    one.keep_ranking("b", "q", {"x": 1, "y": 2}, ["y"])
    assert one.runs == {"a": {"q": {"x": 0.5, "y": 0.25}}, "b": {"q": {"x": 1.0, "y": 2.0}}}
    assert one.qrels == {"q": {"y": 1}}


def test_cells_of_tables_are_in_percent_and_empty_where_nothing_was_measured() -> None:
    assert percent({"mean": 0.125, "sd": 0.5, "n": 2}) == "12.5 ± 50.0"
    assert percent({"mean": 0.125, "sd": 0.5, "n": 2}, 2) == "12.50 ± 50.00"
    assert percent(None) == ""
    found = {"difference": 0.1, "low": -0.05, "high": 0.25, "p": 0.0312, "n": 7}
    assert difference_cells(found) == ("+10.0% [-5.0%, +25.0%]", "0.0312")
    assert difference_cells(found, "+.3f") == ("+0.100 [-0.050, +0.250]", "0.0312")
    assert difference_cells(None) == ("", "")
    assert left_out_note({"a": "no generator", "b": "no generator"}) == " Left out: a, b, since no generator."
    assert left_out_note({}) == ""
