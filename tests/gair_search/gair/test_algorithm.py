import math
from collections.abc import Sequence
from functools import partial
from operator import itemgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gair import QUARTERS

from gair_search.gair.algorithm import COARSE, STEP, TENTHS, algorithm_1, midpoints, plain_loop, score, select


def as_is(value: float) -> float:
    return value


def test_the_algorithm_is_the_papers() -> None:
    """Every line of it, with images that are pairs of an object and a context score."""
    drawn: list[list[str]] = []
    images = {"q(0.2)": (0.9, 0.1), "q(0.6)": (0.5, 0.6), "q(1)": (0.2, 0.8)}

    def d(conditionings: Sequence[str]) -> list[tuple[float, float]]:
        drawn.append(list(conditionings))
        return [images[one] for one in conditionings]

    def q(w: float) -> str:
        return f"q({w:g})"

    w, scores = algorithm_1((0.2, 0.6, 1.0), q, d, itemgetter(0), itemgetter(1))
    assert (w, scores) == (0.6, {0.2: 0.1, 0.6: 0.5, 1.0: 0.2})
    assert drawn == [["q(0.2)", "q(0.6)", "q(1)"]]  # in one batch
    drawn.clear()
    assert plain_loop(q, d, itemgetter(0), itemgetter(1), (0.2, 0.6, 1.0)) == (w, scores)
    assert drawn == [["q(0.2)"], ["q(0.6)"], ["q(1)"]]  # one after the other
    assert score(0.3, 0.2) == score(0.2, 0.3) == 0.2


def test_candidates_are_refined_around_the_best_only() -> None:
    scores = {0.0: 1.0, 0.25: 3.0, 0.5: 2.0, 0.75: 0.0, 1.0: 0.0}
    assert midpoints(scores) == [0.125, 0.375]
    assert midpoints(scores, 0.2) == []
    assert midpoints({0.0: 5.0, 0.5: 1.0}) == [0.25]
    assert midpoints({0.4: 1.0}) == []
    assert select({0.0: 1.0, 0.5: 1.0, 0.25: 0.0}) == 0.5  # of equals the nearest to the plain query
    assert midpoints({0.0: 0.0, 0.2: 0.0, 0.4: 1.0, 0.6: 0.0}) == pytest.approx([0.3, 0.5])
    assert midpoints({0.0: -math.inf, 1.0: -math.inf}) == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1, 1) | st.just(-math.inf), min_size=101, max_size=101))
def test_refining_never_ends_below_what_it_has_seen(values: list[float]) -> None:
    seen: list[float] = []

    def d(weights: Sequence[float]) -> list[float]:
        assert not set(weights) & set(seen)  # nothing is drawn twice
        seen.extend(weights)
        return [values[round(100 * w)] for w in weights]

    best, scores = algorithm_1(QUARTERS, as_is, d, as_is, as_is, midpoints)
    assert list(scores) == seen
    assert 5 <= len(seen) <= 7
    assert scores[best] == max(values[round(100 * w)] for w in seen)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(TENTHS), st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1))
def test_what_is_selected_has_the_best_worse_score(given_: dict[float, tuple[float, float]]) -> None:
    """Of any object and context scores: no other weight is better in both."""
    best, scores = algorithm_1(list(given_), as_is, list, lambda w: given_[w][0], lambda w: given_[w][1])
    worse = {w: min(pair) for w, pair in given_.items()}
    assert scores == worse
    assert worse[best] == max(worse.values())
    assert best == max(w for w in worse if worse[w] == worse[best])


@pytest.mark.parametrize("peak", [0.0, 0.13, 0.31, 0.5, 0.62, 0.88, 1.0])
def test_refining_finds_the_loops_best_of_a_single_peak(peak: float) -> None:
    """Object scores rise with w and context scores fall: the two selections lie a step apart at most."""
    functions = (as_is, list, lambda w: w - peak, lambda w: peak - w)
    loop, tried = plain_loop(*functions)
    assert list(tried) == [i / 10 for i in range(11)]
    found, _ = algorithm_1(QUARTERS, *functions, midpoints)
    assert abs(found - loop) <= 0.125
    assert abs(found - peak) <= 0.0625 + 1e-9
    # the default tries what the loop tries from 0.6 on, and selects the same
    upper, tried = plain_loop(*functions, [w for w in TENTHS if w >= min(COARSE)])
    refined, scores = algorithm_1(COARSE, *functions, partial(midpoints, step=STEP))
    assert {round(w, 9) for w in scores} <= set(tried)
    assert refined == pytest.approx(upper)
