"""One combination of attributes, ranked under every token weighting of SToRI's tables 3 to 6, figures 5 and 6."""

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.combinations import Combination
from gair_search.benchmarks.harness.measures import (
    average_precision,
    category_auc,
    d_prime,
    precision_at,
    ranking,
)
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.methods.prompts import Method, compile_prompts
from gair_search.encoder.clip import Encoder

UP, DOWN, MORE = 1.5, 0.5, 2.0
OPPOSITE = tuple(round(0.2 * i, 1) for i in range(11))
"""Weights w of one attribute while another has 2 - w (figures 5 and 6a)."""
ALONE = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Weights of one attribute while the others stay (figure 6b)."""

MEASURES = ("AP", "P@k", "separation")
"""What an entry's lists hold; the last is d'."""


class CombinationRankings:
    """A combination's pictures, scored and ranked under each weighting; with five attributes those of table 6 alone."""

    def __init__(
        self, encoder: Encoder, encode: Method, combination: Combination, images: NDArray[np.float32]
    ) -> None:
        """Score and rank.

        Args:
            encoder: the model.
            encode: how token weights act on text features.
            combination: the prompt and its pictures.
            images: the pictures' features, `[N, embed_dim]`.
        """
        self.combination, self.names = combination, combination.attributes
        self.ids = [picture.id for picture in combination.pictures]
        weightings = _weightings(self.names)
        prompts = compile_prompts(encoder, [combination.prompt(weights) for weights in weightings])
        self._scores = encode(encoder, prompts) @ images.T
        self._orders = [ranking(row, self.ids) for row in self._scores]
        self._row = {_key(weights): i for i, weights in enumerate(weightings)}

    def entry(self) -> dict[str, Any]:
        """All that the tables and figures need, as JSON values."""
        names, three = self.names, len(self.names) == 3
        entry: dict[str, Any] = {
            "id": self.combination.id,
            "attributes": list(names),
            "n": len(self.ids),
            "plain": {name: self._measures(name, {}) for name in names},
            "up": {name: self._measures(name, {name: UP}) for name in names},
            "down": {name: self._measures(name, {name: DOWN}) for name in names},
        }
        return entry | self._three_attributes() if three else entry

    def keep(self, report: Report, method: str) -> None:
        """Keep rankings: plain, and with each weight on the attribute that the query asks for."""
        for name, labels in self.combination.labels.items():
            weights = {"plain": {}, f"{method} 1.5": {name: UP}, f"{method} 0.5": {name: DOWN}}
            relevant = [image for image, there in zip(self.ids, labels, strict=True) if there]
            for run, weighting in weights.items():
                scores = dict(zip(self.ids, self._scores[self._row[_key(weighting)]], strict=True))
                report.keep_ranking(run, f"{self.combination.id}/{name}", scores, relevant)

    def _measures(self, name: str, weights: Mapping[str, float]) -> list[float | None]:
        """`MEASURES` of an attribute's pictures under a weighting."""
        row, labels, k = self._row[_key(weights)], self.combination.labels[name], self.combination.k
        flags = labels[self._orders[row]]
        at_k = precision_at(flags, k) if k else None
        return [average_precision(flags), at_k, d_prime(self._scores[row], labels)]

    def _area(self, member: NDArray[np.bool_], weights: Mapping[str, float]) -> float:
        """The area under the retrieved share of a category's pictures, bool `[N]`."""
        return category_auc(member[self._orders[self._row[_key(weights)]]])

    def _three_attributes(self) -> dict[str, Any]:
        """What table 4 and the figures show."""
        names, labels = self.names, self.combination.labels
        pairs, categories = list(permutations(names, 2)), self.combination.categories()
        opposite = []
        for a, b in combinations(names, 2):
            # presence of the first, the second and the other attribute -> area at each weight
            order = [names.index(a), names.index(b), 3 - names.index(a) - names.index(b)]
            areas = {
                "".join("+" if key[i] else "-" for i in order): [
                    self._area(member, {a: w, b: round(2 - w, 1)}) for w in OPPOSITE
                ]
                for key, member in categories.items()
                if member.any()
            }
            opposite.append({"pair": [a, b], "auc": areas})
        return {
            "graded up": [[up, *self._measures(up, {more: MORE, up: UP})] for more, up in pairs],
            "graded more": [[more, *self._measures(more, {more: MORE, up: UP})] for more, up in pairs],
            "opposite": opposite,
            "alone": {name: [self._area(labels[name], {name: w}) for w in ALONE] for name in names},
        }


def _weightings(names: Sequence[str]) -> list[dict[str, float]]:
    """Every weighting of the tables and figures; of five attributes those of table 6."""
    weightings: list[dict[str, float]] = [{}]
    weightings += [{name: weight} for name in names for weight in (UP, DOWN)]
    if len(names) == 3:
        weightings += [{more: MORE, up: UP} for more, up in permutations(names, 2)]
        weightings += [{a: w, b: round(2 - w, 1)} for a, b in combinations(names, 2) for w in OPPOSITE]
        weightings += [{name: weight} for name in names for weight in ALONE]
    return weightings


def _key(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Weights without those that change nothing."""
    return tuple(sorted((name, weight) for name, weight in weights.items() if weight != 1))
