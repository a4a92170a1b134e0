"""Means over seeds and paired comparisons, by hand."""

import pytest

from gair_search.benchmarks.harness.summaries import (
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
