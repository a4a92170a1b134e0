"""The measures against ir-measures and scikit-learn on random runs, and against numbers worked out by hand."""

import math
import subprocess
import sys
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R
from sklearn.metrics import average_precision_score, roc_auc_score

from gair_search.benchmarks.harness import measures
from gair_search.benchmarks.harness.trec import write_qrels, write_run

CLOSE = 1e-9


def random_run(
    seed: int, ties: bool = False
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """20 queries over a gallery of 60 images, as cosine similarities would be: float32."""
    rng = np.random.default_rng(seed)
    run, qrels = {}, {}
    for q in range(20):
        scores = rng.standard_normal(60).astype(np.float32)
        if ties:
            scores = np.round(scores)
        relevant = rng.random(60) < rng.uniform(0.02, 0.5)
        relevant[rng.integers(60)] = True
        run[f"q{q}"] = {f"d{i}": float(scores[i]) for i in range(60)}
        qrels[f"q{q}"] = {f"d{i}": int(relevant[i]) for i in range(60)}
    return run, qrels


def relevance(run: dict[str, float], qrels: dict[str, int]) -> np.ndarray:
    ids = list(run)
    order = measures.ranking(list(run.values()), ids)
    return np.array([qrels[ids[i]] > 0 for i in order])


OURS = {
    RR: measures.reciprocal_rank,
    AP: measures.average_precision,
    **{P @ k: lambda flags, k=k: measures.precision_at(flags, k) for k in (1, 5, 30, 100)},
    **{R @ k: lambda flags, k=k: measures.recall_at(flags, k) for k in (1, 5, 30)},
}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_ir_measures(seed: int, ties: bool) -> None:
    run, qrels = random_run(seed, ties)
    compared = 0
    for value in ir_measures.iter_calc(list(OURS), qrels, run):
        flags = relevance(run[value.query_id], qrels[value.query_id])
        assert OURS[value.measure](flags) == pytest.approx(value.value, abs=CLOSE), value
        compared += 1
    assert compared == 20 * len(OURS)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed: int) -> None:
    run, qrels = random_run(seed)
    for query, images in run.items():
        scores, flags = np.array(list(images.values())), np.array(list(qrels[query].values()), bool)
        order = measures.ranking(scores, list(images))
        ours = measures.average_precision(flags[order])
        assert ours == pytest.approx(average_precision_score(flags, scores), abs=CLOSE)
        area = roc_auc_score(flags, scores)
        share = flags.mean()
        gain = (
            share / 2 + (1 - share) * area
        )  # the area under cumulative gains, from that under the ROC curve
        assert measures.category_auc(flags[order]) == pytest.approx(gain, abs=CLOSE)


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 70))
def test_bounds_and_the_empty_case(flags: list[bool], k: int) -> None:
    for value in (
        measures.reciprocal_rank(flags),
        measures.average_precision(flags),
        measures.precision_at(flags, k),
        measures.recall_at(flags, k),
        measures.category_auc(flags),
    ):
        assert 0 <= value <= 1
        assert any(flags) or value == 0
    assert not any(flags) or measures.recall_at(flags, len(flags)) == 1


def test_by_hand() -> None:
    flags = [False, True, False, True]
    assert measures.reciprocal_rank(flags) == 1 / 2
    assert measures.average_precision(flags) == (1 / 2 + 2 / 4) / 2
    assert (measures.recall_at(flags, 2), measures.precision_at(flags, 2)) == (1 / 2, 1 / 2)
    assert measures.retrieved_share(flags).tolist() == [0, 0, 0.5, 0.5, 1]
    assert measures.category_auc(flags) == pytest.approx((0 + 0.25 + 0.5 + 0.75) / 4)
    assert measures.category_auc([True, True, False, False]) == pytest.approx((0.25 + 0.75 + 1 + 1) / 4)
    assert measures.d_prime([5, 3, 2, 0], [True, True, False, False]) == 3
    assert measures.d_prime([1, 1, 1], [True, False, False]) == 0
    assert measures.ranking([1.0, 2.0, 1.0], ["a", "b", "c"]).tolist() == [1, 2, 0]


def test_d_prime_by_hand() -> None:
    # positives 5 and 1, negatives 2 and 0: means 3 and 1, variances 4 and 1
    assert measures.d_prime([5, 1, 2, 0], [True, True, False, False]) == pytest.approx(2 / math.sqrt(2.5))
    for flags in ([True, True], [False, False]):
        with pytest.raises(ValueError, match="positives and negatives"):
            measures.d_prime([1, 2], flags)


def test_a_category_of_one_is_whole_when_it_is_found() -> None:
    assert measures.retrieved_share([False, True, False]).tolist() == [0, 0, 1, 1]
    assert measures.category_auc([False, True, False]) == pytest.approx((0 + 0.5 + 1) / 3)


def test_the_bootstrap_where_every_resample_is_the_same() -> None:
    """By hand: a is better by 1 everywhere, so that all 99 resamples say 1, and p is 2 / (99 + 1)."""
    found = measures.paired_bootstrap([3.0, 2.0], [2.0, 1.0], samples=99)
    assert found == measures.Comparison(1.0, 1.0, 1.0, 0.02, 2)
    assert measures.paired_bootstrap([1.0, 0.0], [1.0, 0.0], samples=99).p == 1
    assert measures.paired_bootstrap([0.0], [1.0], samples=99) == measures.Comparison(-1, -1, -1, 0.02, 1)
    a, b = np.random.default_rng(0).random((2, 7))
    assert measures.paired_bootstrap(a, b) == measures.paired_bootstrap(a, b, seed=0, samples=10_000)
    for wrong in ([], [[1.0]], [1.0, 2.0]):
        with pytest.raises(ValueError, match="same queries"):
            measures.paired_bootstrap(wrong, wrong if len(wrong) < 2 else [1.0])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=2, max_size=30))
def test_any_ranking_measures_as_in_the_libraries(rows: list[tuple[float, bool]]) -> None:
    """Ties and all: ir-measures for ranks, scikit-learn for the area under the curve of what is apart."""
    scores, flags = {f"d{i:02}": score for i, (score, _) in enumerate(rows)}, [flag for _, flag in rows]
    qrels = {name: int(flag) for name, flag in zip(scores, flags, strict=True)}
    order = measures.ranking(list(scores.values()), list(scores))
    ranked = np.array(flags)[order]
    if any(flags):
        wanted = {RR: 0.0, AP: 0.0, P @ 5: 0.0, R @ 5: 0.0}
        wanted |= ir_measures.calc_aggregate(list(wanted), {"q": qrels}, {"q": scores})
        assert {name: OURS[name](ranked) for name in wanted} == pytest.approx(wanted, abs=CLOSE)
    if any(flags) and not all(flags):
        share, places = np.mean(flags), -np.arange(len(flags))
        area = share / 2 + (1 - share) * roc_auc_score(ranked, places)
        assert measures.category_auc(ranked) == pytest.approx(area, abs=CLOSE)
        separation = measures.d_prime([s for s, _ in rows], flags)
        assert separation == pytest.approx(-measures.d_prime([s for s, _ in rows], [not f for f in flags]))


def test_summary() -> None:
    assert measures.summary([1, 3]) == measures.Summary(2, math.sqrt(2), 2)
    assert measures.summary([1, 2, 3]) == measures.Summary(2, 1, 3)
    assert measures.summary([5]).sd == 0
    assert f"{measures.summary([1, 2, 3]):.2f}" == "2.00 ± 1.00"
    assert f"{measures.summary([1, 2, 3]):+.1f}" == "+2.0 ± 1.0"
    with pytest.raises(ValueError, match="no value"):
        measures.summary([])


@pytest.mark.slow
def test_paired_bootstrap_interval_is_the_normal_one_where_that_holds() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(400)
    a = b + rng.normal(0.05, 0.2, 400)
    found = measures.paired_bootstrap(a, b)
    error = (a - b).std(ddof=1) / 20
    assert found.difference == pytest.approx((a - b).mean())
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.difference + 1.96 * error, abs=0.1 * error)
    assert found.p < 0.01
    assert measures.paired_bootstrap(b, a).difference == -found.difference
    assert measures.paired_bootstrap(b, b).p == 1
    assert measures.paired_bootstrap(a, b) == found
    with pytest.raises(ValueError, match="same queries"):
        measures.paired_bootstrap(a, b[1:])


def test_bootstrap_p_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    values = [
        measures.paired_bootstrap(*rng.random((2, 60)), seed=i, samples=500).p < 0.2 for i in range(300)
    ]
    assert 0.12 < np.mean(values) < 0.28


def test_saved_files_measure_the_same_in_ir_measures_own_command(tmp_path: Path) -> None:
    run, qrels = random_run(3)
    run["a query"] = {"photos/a b.jpg": 1.0, "ü.jpg": 0.5}
    qrels["a query"] = {"ü.jpg": 1}
    write_run(tmp_path / "runs/run.txt", run, "our method")
    write_qrels(tmp_path / "qrels.txt", qrels)
    command = [
        sys.executable,
        "-m",
        "ir_measures",
        str(tmp_path / "qrels.txt"),
        str(tmp_path / "runs/run.txt"),
    ]
    done = subprocess.run([*command, "RR", "AP", "-p", "12"], capture_output=True, text=True, check=True)
    told = dict(line.split() for line in done.stdout.splitlines())
    own = [relevance(images, dict.fromkeys(images, 0) | qrels[query]) for query, images in run.items()]
    assert float(told["RR"]) == pytest.approx(np.mean([measures.reciprocal_rank(r) for r in own]), abs=CLOSE)
    assert float(told["AP"]) == pytest.approx(
        np.mean([measures.average_precision(r) for r in own]), abs=CLOSE
    )


def test_holm_by_hand() -> None:
    """Four comparisons: 0.01 x 4, 0.02 x 3, then 0.03 x 2 which may not fall below it, and 0.5 x 1."""
    assert measures.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert measures.holm([0.04, 0.035]) == pytest.approx([0.07, 0.07])
    assert measures.holm([0.9, 0.8]) == [1, 1]
    assert measures.holm([]) == []
