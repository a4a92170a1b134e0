"""What a method answered to the queries of all seeds, concepts and galleries, and what this comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gair_search.benchmarks.harness.measures import summary
from gair_search.benchmarks.harness.summaries import interval, means_by, seeds_summary

CUTS = (1, 5, 10)
MEASURES = ("MRR", *(f"Recall@{k}" for k in CUTS))


@dataclass(frozen=True)
class Answer:
    """What a method found for one query.

    Attributes:
        query: `seed{s}/{id}`.
        concept: `seed{s}/{name}`.
        values: measure -> value.
        hits: ids of the first `HITS`.
        gallery: name of what was searched.
    """

    query: str
    concept: str
    values: dict[str, float]
    hits: tuple[str, ...] = ()
    gallery: str = ""


class MethodRecord:
    """A method's answers over all seeds, concepts and galleries, its seconds and its mixing weights."""

    def __init__(self, unit: Callable[[str], str]) -> None:
        """`unit`: label of a seed's concept -> what it is a draw of."""
        self._unit = unit
        self.answers: list[Answer] = []
        self.seconds: list[float] = []
        self.weights: list[float] = []

    def add(self, answers: Sequence[Answer], cell: Mapping[str, Any]) -> None:
        """A concept's answers, and the cell of what they were found with."""
        self.answers += answers
        self.seconds.append(cell["seconds"])
        self.weights += cell.get("weights", [])

    def values(self) -> dict[str, Any]:
        """The figures of each gallery: over the seeds' means, and the interval of MRR by unit; of the first, too."""
        names = dict.fromkeys(one.gallery for one in self.answers)
        galleries = {}
        for name in names:
            own = [one for one in self.answers if one.gallery == name]
            galleries[name] = {
                measure: seeds_summary({one.query: one.values[measure] for one in own})
                for measure in MEASURES
            } | {"n": len(own), "interval": interval(self.by_unit(name))}
        found = {"seconds a concept": float(np.mean(self.seconds)), "galleries": galleries}
        if self.weights:
            found["mixing weight"] = asdict(summary(self.weights))
        return next(iter(galleries.values()), {}) | found

    def by_unit(self, gallery: str) -> dict[str, float]:
        """Unit of resampling -> MRR of its queries, each concept's mean first."""
        own = [one for one in self.answers if one.gallery == gallery]
        concepts = {one.query: one.concept for one in own}
        by_concept = means_by({one.query: one.values["MRR"] for one in own}, concepts.__getitem__)
        return means_by(by_concept, self._unit)
