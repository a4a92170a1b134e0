"""From single values to a table's figures: means over seeds, and paired comparisons.

Values go by labels such as `seed0/concept`; what stands before the first `/` is the seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gair_search.benchmarks.harness.measures import holm, paired_bootstrap, summary


def seed_of(label: str) -> str:
    """`seed0` of `seed0/concept`."""
    return label.split("/", 1)[0]


def means_by(values: Mapping[str, float], group: Callable[[str], str]) -> dict[str, float]:
    """Group -> mean of its values.

    Args:
        values: by label.
        group: label -> the group that it belongs to.
    """
    groups: dict[str, list[float]] = {}
    for label, value in values.items():
        groups.setdefault(group(label), []).append(value)
    return {name: float(np.mean(own)) for name, own in groups.items()}


def seeds_summary(values: Mapping[str, float]) -> dict[str, Any]:
    """Mean, standard deviation and count of the seeds' means, and these means `by seed`."""
    means = list(means_by(values, seed_of).values())
    return asdict(summary(means)) | {"by seed": means}


def paired_comparison(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, Any]:
    """`paired_bootstrap` of two methods' values, paired by their labels."""
    return asdict(paired_bootstrap(list(ours.values()), [theirs[label] for label in ours]))


MIN_UNITS = 6
"""Of fewer units even the same sign in all of them is no rarer than 1 in 16 by chance."""


def compare_rows(
    rows: Mapping[str, Mapping[str, float]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Comparisons of a table's rows with each other, a family: each `paired_comparison` with `a`, `b` and `p_holm`.

    Args:
        rows: name -> unit of resampling -> value.
        pairs: names (a, b); those that lack a row, or have fewer than `MIN_UNITS`, are left out.
    """
    there = [(a, b) for a, b in pairs if a in rows and b in rows and len(rows[a]) >= MIN_UNITS]
    found = [{"a": a, "b": b} | paired_comparison(rows[a], rows[b]) for a, b in there]
    corrected = holm([one["p"] for one in found])
    return [one | {"p_holm": p} for one, p in zip(found, corrected, strict=True)]


def interval(values: Mapping[str, float]) -> dict[str, float]:
    """`mean` of units' values and the ends of its 95% interval, `low` and `high`, units resampled; and `n` of them."""
    found = paired_bootstrap(list(values.values()), [0.0] * len(values))
    return {"mean": found.difference, "low": found.low, "high": found.high, "n": found.n}
