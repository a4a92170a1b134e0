"""Means over seeds and paired comparisons, by hand."""

import pytest

from gair_search.benchmarks.harness.measures import holm
from gair_search.benchmarks.harness.summaries import (
    compare_rows,
    interval,
    means_by,
    paired_comparison,
    seed_of,
    seeds_summary,
)

VALUES = {"seed0/a/1": 0.0, "seed0/b/1": 1.0, "seed1/a/1": 0.25}


def test_values_are_grouped_by_what_stands_before_the_first_stroke() -> None:
    assert means_by(VALUES, seed_of) == {"seed0": 0.5, "seed1": 0.25}
    assert means_by(VALUES, lambda label: label.split("/")[1]) == {"a": 0.125, "b": 1.0}


def test_the_deviation_is_of_the_seeds_means() -> None:
    found = seeds_summary(VALUES)
    assert (found["mean"], found["n"], found["by seed"]) == (0.375, 2, [0.5, 0.25])
    assert found["sd"] == pytest.approx(0.125 * 2**0.5)


def test_a_comparison_pairs_by_label() -> None:
    found = paired_comparison({"a": 1.0, "b": 0.0}, {"b": 1.0, "a": 0.5})
    assert (found["difference"], found["n"]) == (-0.25, 2)


def test_rows_are_a_family_and_a_handful_of_units_is_none() -> None:
    units = [f"seed{i}/c" for i in range(6)]
    rows = {
        "a": {unit: 0.5 + 0.01 * i for i, unit in enumerate(units)},
        "b": dict.fromkeys(units, 0.5),
        "c": {unit: 0.5 + (-1) ** i * 0.1 for i, unit in enumerate(units)},
    }
    found = compare_rows(rows, [("a", "b"), ("c", "b"), ("a", "missing")])
    assert [(one["a"], one["b"], one["n"]) for one in found] == [("a", "b", 6), ("c", "b", 6)]
    assert found[0]["difference"] == pytest.approx(0.025)
    assert [one["p_holm"] for one in found] == holm([one["p"] for one in found])
    few = {name: dict(list(own.items())[:5]) for name, own in rows.items()}
    assert compare_rows(few, [("a", "b")]) == []


def test_an_interval_is_of_the_units() -> None:
    found = interval({f"c{i}": float(i % 2) for i in range(40)})
    assert (found["mean"], found["n"]) == (0.5, 40)
    assert 0.3 < found["low"] < 0.4
    assert 0.6 < found["high"] < 0.7
    assert interval({"a": 0.25, "b": 0.25}) == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 2}
