"""How good a ranking is, a scorer is, and whether two methods differ. Pure functions over arrays.

A ranking is given as `relevant`, bool `[N]`: whether the hit at each rank, best first, is relevant. It is always of
the whole gallery, so that what is relevant and what was found are one count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def ranking(scores: ArrayLike, ids: Sequence[str]) -> NDArray[np.intp]:
    """Places of the gallery, best first: `[N]`.

    Equal scores go by the larger id, as trec_eval and so ir-measures order them.
    """
    by_id = np.argsort(np.asarray(ids))[::-1]
    order: NDArray[np.intp] = by_id[np.argsort(-np.asarray(scores)[by_id], kind="stable")]
    return order


def reciprocal_rank(relevant: ArrayLike) -> float:
    """1 / rank of the first relevant hit; 0 where there is none."""
    found = np.flatnonzero(relevant)
    return 1 / (int(found[0]) + 1) if len(found) else 0.0


def recall_at(relevant: ArrayLike, k: int) -> float:
    """Share of what is relevant that is among the first `k` hits; 0 where nothing is."""
    flags = np.asarray(relevant, bool)
    return float(flags[:k].sum() / max(flags.sum(), 1))


def precision_at(relevant: ArrayLike, k: int) -> float:
    """Share of `k` that is relevant among the first `k` hits; a shorter gallery is not forgiven."""
    return float(np.asarray(relevant, bool)[:k].sum() / k)


def average_precision(relevant: ArrayLike) -> float:
    """Mean over the relevant hits of the precision at their ranks; 0 where nothing is relevant."""
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0


def retrieved_share(member: ArrayLike) -> Floats:
    """Share of a category that is within rank n, for n = 0..N: `[N + 1]` (Kim et al. 2024, figure 4, row 2)."""
    flags = np.asarray(member, bool)
    return np.concatenate([[0.0], flags.cumsum() / max(flags.sum(), 1)])


def category_auc(member: ArrayLike) -> float:
    """Area under `retrieved_share` over n / N, by trapezia, in 0..1 (Kim et al. 2024, appendix B).

    Larger means found sooner; in a random order it is 1/2 for every category.
    """
    curve = retrieved_share(member)
    return float((curve[1:] + curve[:-1]).sum() / 2 / (len(curve) - 1))


def d_prime(scores: ArrayLike, positive: ArrayLike) -> float:
    """How far positives score above negatives, in standard deviations: d' (Green and Swets 1966).

    Unlike ranks it tells a change however few the pictures are. 0 where no score differs.

    Raises:
        ValueError: no positive, or no negative.
    """
    values, flags = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if flags.all() or not flags.any():
        raise ValueError("the separation needs positives and negatives")
    high, low = values[flags], values[~flags]
    deviation = np.sqrt((high.var() + low.var()) / 2)
    return float((high.mean() - low.mean()) / deviation) if deviation else 0.0


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (0 for one value) and how many values."""

    mean: float
    sd: float
    n: int

    def __format__(self, spec: str) -> str:
        """`mean ± sd`, each in the format given."""
        return f"{format(self.mean, spec)} ± {format(self.sd, spec.lstrip('+'))}"


def summary(values: ArrayLike) -> Summary:
    """Mean and standard deviation over seeds, queries, ...

    Raises:
        ValueError: no value.
    """
    flat = np.asarray(values, np.float64).ravel()
    if not len(flat):
        raise ValueError("there is no value to summarise")
    return Summary(float(flat.mean()), float(flat.std(ddof=1)) if len(flat) > 1 else 0.0, len(flat))


@dataclass(frozen=True)
class Comparison:
    """Method a against method b on the same queries.

    Attributes:
        difference: mean of a - b.
        low, high: its 95% interval.
        p: two-sided; how often a resampled difference lies on the other side of 0.
        n: queries.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int


def paired_bootstrap(a: ArrayLike, b: ArrayLike, seed: int = 0, samples: int = 10_000) -> Comparison:
    """Compare two methods by their per-query values, queries resampled in pairs (Efron and Tibshirani 1993).

    Args:
        a, b: `[n]`, value i of both from query i.
        seed: of the resampling.
        samples: how many.

    Raises:
        ValueError: different queries, or none.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"two methods' values of the same queries are wanted, not {first.shape}, {second.shape}"
        )
    difference = first - second
    n, rng = len(difference), np.random.default_rng(seed)
    counts = (
        rng.multinomial(n, np.full(n, 1 / n), size=min(samples, 500)) for _ in range(-(-samples // 500))
    )
    means = np.concatenate([count @ difference / n for count in counts])[:samples]
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    low, high = np.quantile(means, [0.025, 0.975])
    p = min(1.0, 2 * (float(beyond) + 1) / (samples + 1))
    return Comparison(float(difference.mean()), float(low), float(high), p, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of comparisons, corrected so that one wrong claim in all is as rare (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below the one before it, or
    rises above 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(order) - np.arange(len(order))
    rising = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(rising, 1)
    return [float(p) for p in corrected]
