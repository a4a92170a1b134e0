"""`gair bench preference`: retrieval by preference (Kim et al. 2024, section 4.2, tables 3-6, figures 5 and 6).

A prompt names three attributes, and the pool has pictures in each of their eight categories. One attribute's token
weight goes to 1.5 or 0.5, and AP and precision at k tell how soon pictures with that attribute come, k being half
of the pool. Then two weights go in opposite directions, w and 2 - w (the paper writes 1 - w, yet shows weights up
to above 1.5 and says that 1 is plain), and the area under each category's share within rank n is followed. The
same is done with modified prompt weighting (appendix C.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.attributes import AttributeSet, celeba, cub
from gair_search.benchmarks.datasets.combinations import (
    CELEBA_PHRASES,
    FIVE_PER_CATEGORY,
    Combination,
    celeba_combinations,
    celeba_five,
    cub_combinations,
    fashion_combinations,
)
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.combination_rankings import (
    ALONE,
    DOWN,
    MEASURES,
    OPPOSITE,
    UP,
    CombinationRankings,
)
from gair_search.benchmarks.harness.measures import paired_bootstrap, summary
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import ProgressCounter, RunConfig
from gair_search.benchmarks.methods.prompts import WEIGHTINGS, Method
from gair_search.benchmarks.presentation.preference import (
    PAPER,
    PAPER_FIVE,
    PAPER_FIVE_METACLIP,
    PAPER_METACLIP,
    alone_figure,
    changes_table,
    curves_table,
    graded_table,
    opposite_figure,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError
from gair_search.learning.report import auc
from gair_search.progress import Progress

ZERO_SHOT_AUC = 0.75
"""Attributes that the model tells worse than this are left out (appendix A.2)."""

Source = Literal["fashion", "celeba", "cub"]
SeedEntries = list[dict[str, Any]]
"""What is kept of a method and a seed: one entry a combination."""


@dataclass(frozen=True)
class PreferenceConfig(RunConfig):
    """What a run is made of. The limit is of combinations of three attributes; the paper has 20 (CelebA), 58 (CUB).

    Attributes:
        five: combinations of five attributes a seed, of the fashion world and of CelebA, which has two.
        per_category: pictures in each category (CelebA, the paper: 100).
    """

    dataset: Source = "fashion"
    limit: int = 20
    five: int = 2
    per_category: int = 12

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on."""
        return super().to_json(encoder) | {"start_fraction": encoder.start_fraction}


def preference(
    encoder: Encoder,
    config: PreferenceConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure both weightings, a unit of progress for each picture; arguments and errors as in `harness.run`.

    Finished (method, seed) cells and features are taken from the work folder; to keep the rankings, finished cells
    are measured again.
    """
    _ = encoder.text_tower  # refused before an hour of encoding
    report = Report("preference", config.to_json(encoder))
    needed = {name: value for name, value in report.settings.items() if name != "seeds"}
    needed |= {"measures": list(MEASURES), "embedder": encoder.embedder_id.to_metadata()}
    kept = Work("preference", needed, work)
    pools = _Pools(encoder, config, kept, ProgressCounter(on_progress))
    entries: dict[str, list[SeedEntries]] = {}
    for method, encode in WEIGHTINGS.items():
        entries[method] = []
        for seed in config.seeds:
            name = f"{method.replace(' ', '-')}-seed{seed}"

            def measure(seed: int = seed, method: str = method, encode: Method = encode) -> SeedEntries:
                measured = []
                for combination, features in pools.of(seed):
                    rankings = CombinationRankings(encoder, encode, combination, features)
                    measured.append(rankings.entry())
                    if save_run:
                        rankings.keep(report, method)
                return measured

            entries[method].append(kept.cell(name, measure, again=save_run))
    _fill(report, entries, config)
    return report


class _Pools:
    """A seed's combinations with their pictures' features."""

    def __init__(
        self, encoder: Encoder, config: PreferenceConfig, work: Work, counter: ProgressCounter
    ) -> None:
        self.encoder, self.config, self.work, self.counter = encoder, config, work, counter
        self.data: AttributeSet | None = None
        self.attributes: list[str] = []

    def of(self, seed: int) -> Iterator[tuple[Combination, NDArray[np.float32]]]:
        """Combinations and their image features `[N, embed_dim]`."""
        found = list(self._combinations(seed))
        if not found:
            raise DatasetError(
                f"{self.config.dataset}: no combination of attributes has {self.config.per_category} images "
                f"in each category; try a smaller --per-category"
            )
        self.counter.total += sum(len(combination.pictures) for combination in found)
        for combination in found:
            yield combination, self.work.features(self.encoder, combination.pictures, self.counter)

    def _combinations(self, seed: int) -> Iterator[Combination]:
        s = self.config
        if s.dataset == "fashion":
            yield from fashion_combinations(seed, s.limit, s.per_category)
            yield from fashion_combinations(seed, s.five, max(1, s.per_category // 2), attributes=5)
            return
        if s.dataset == "cub":
            self.data = self.data or cub(s.folder)
            yield from cub_combinations(self.data, seed, s.limit)
            return
        if self.data is None:
            self.data = celeba(s.folder)
            self.attributes = self._recognisable_attributes(self.data)
        yield from celeba_combinations(self.data, self.attributes, seed, s.per_category, s.limit)
        yield from celeba_five(self.data, seed, min(FIVE_PER_CATEGORY, s.per_category), s.five)

    def _recognisable_attributes(self, data: AttributeSet) -> list[str]:
        """CelebA's attributes that the model tells on the test split with a ROC AUC of 0.75 or more."""
        pictures = [data.pictures[i] for i in np.flatnonzero(data.test)]
        self.counter.total += len(pictures)
        images = self.work.features(self.encoder, pictures, self.counter)
        kept = []
        for name, phrase in CELEBA_PHRASES.items():
            text = self.encoder.encode_texts([f"a photo of a person {phrase}"])[0]
            labels = data.labels[name][data.test]
            scores = images @ text
            if labels.any() and not labels.all() and auc(scores[labels], scores[~labels]) >= ZERO_SHOT_AUC:
                kept.append(name)
        return kept


def _fill(report: Report, entries: Mapping[str, Sequence[SeedEntries]], config: PreferenceConfig) -> None:
    """Values, tables and figures out of all entries."""
    paper = {"fashion": (0, 1), "celeba": (0, 1), "cub": (2,)}[config.dataset]
    for method, by_seed in entries.items():
        three = [[entry for entry in cell if len(entry["attributes"]) == 3] for cell in by_seed]
        five = [[entry for entry in cell if len(entry["attributes"]) > 3] for cell in by_seed]
        values: dict[str, Any] = {"table 3": _changes(three)}
        report.tables.append(
            changes_table(
                f"Tables 3 and 5, three attributes: {method}", values["table 3"], PAPER, paper, PAPER_METACLIP
            )
        )
        if any(five):
            values["table 6"] = _changes(five)
            report.tables.append(
                changes_table(
                    f"Table 6, five attributes: {method}",
                    values["table 6"],
                    PAPER_FIVE,
                    (0, 1),
                    PAPER_FIVE_METACLIP,
                    k=80,
                )
            )
        values["table 4"] = _graded_changes(three)
        values |= {"figure 5": _opposite_curves(three), "figure 6b": _alone_curves(three)}
        report.values[method] = values
    report.tables.append(graded_table({method: v["table 4"] for method, v in report.values.items()}))
    report.tables.append(curves_table(report.values))
    report.figures = {
        "preference-opposite": lambda: opposite_figure(report.values),
        "preference-alone": lambda: alone_figure(report.values),
    }


def _changes(by_seed: Sequence[SeedEntries]) -> dict[str, Any]:
    """Table 3: plain, emphasised and de-emphasised over all controlled attributes, and how many move as they should."""
    controlled = [(entry, name) for cell in by_seed for entry in cell for name in entry["attributes"]]
    found: dict[str, Any] = {"n": len(controlled), "seeds": len(by_seed)}
    for index, measure in enumerate(MEASURES):
        plain, up, down = (
            np.array([entry[way][name][index] for entry, name in controlled], dtype=np.float64)
            for way in ("plain", "up", "down")
        )
        if np.isnan(plain).any():
            continue
        by = np.cumsum([sum(len(entry["attributes"]) for entry in cell) for cell in by_seed])[:-1]
        found[measure] = {
            "plain": asdict(summary(plain)),
            "up": asdict(summary(up)),
            "down": asdict(summary(down)),
            "up - plain": asdict(summary(up - plain)),
            "down - plain": asdict(summary(down - plain)),
            "up - plain over seeds": asdict(summary([part.mean() for part in np.split(up - plain, by)])),
            "down - plain over seeds": asdict(summary([part.mean() for part in np.split(down - plain, by)])),
            "share up": float((up > plain).mean()),
            "share down": float((down < plain).mean()),
            "share both": float(((up > plain) & (down < plain)).mean()),
            "share up, wrong way": float((up < plain).mean()),
            "share down, wrong way": float((down > plain).mean()),
            "up against plain": asdict(paired_bootstrap(up, plain)),
            "down against plain": asdict(paired_bootstrap(down, plain)),
        }
    found["wrong"] = [
        {
            "combination": entry["id"],
            "attribute": name,
            "AP": [entry[way][name][0] for way in ("down", "plain", "up")],
        }
        for entry, name in controlled
        if not entry["down"][name][0] < entry["plain"][name][0] < entry["up"][name][0]
    ]
    return found


def _graded_changes(by_seed: Sequence[SeedEntries]) -> dict[str, Any]:
    """Table 4: one attribute at 1.5 while another is at 2."""
    found: dict[str, Any] = {}
    for index, measure in enumerate(MEASURES[:2]):
        rows: dict[str, list[float]] = {"plain": [], "up": [], "more": []}
        for cell in by_seed:
            for entry in cell:
                for up, more in zip(entry["graded up"], entry["graded more"], strict=True):
                    if up[1 + index] is not None:
                        rows["plain"].append(entry["plain"][up[0]][index])
                        rows["up"].append(up[1 + index])
                        rows["more"].append(more[1 + index])
        if rows["plain"]:
            # every attribute stands equally often at 1.5 and at 2, in another order
            plain_more = [
                entry["plain"][more[0]][index]
                for cell in by_seed
                for entry in cell
                for more in entry["graded more"]
            ]
            changes = {
                "up - plain": np.subtract(rows["up"], rows["plain"]),
                "more - plain": np.subtract(rows["more"], plain_more),
            }
            found[measure] = {name: asdict(summary(row)) for name, row in (rows | changes).items()}
    return found


def _opposite_curves(by_seed: Sequence[SeedEntries]) -> dict[str, Any]:
    """Figures 5 and 6a: mean curves of the categories, and how monotone the single ones are."""
    curves: dict[str, list[list[float]]] = {}
    for cell in by_seed:
        for entry in cell:
            for pair in entry["opposite"]:
                for marks, areas in pair["auc"].items():
                    curves.setdefault(marks, []).append(areas)
                    first, second, other = marks
                    # the same curve seen from the second attribute, whose weight is 2 - w
                    curves.setdefault(second + first + other, []).append(areas[::-1])
    arrays = {marks: np.array(rows) for marks, rows in sorted(curves.items())}
    apart = [arrays[marks] for marks in ("+-+", "+--") if marks in arrays]
    if not apart:
        raise DatasetError("no picture has one attribute without another; get more pictures")
    rising = np.concatenate(apart)
    steps = np.diff(rising, axis=1).round(9)  # rounding errors are no falls
    change = np.abs(np.diff(rising.mean(axis=0)))
    inner = np.array([DOWN <= (a + b) / 2 <= UP for a, b in pairwise(OPPOSITE)])
    return {
        "weights": list(OPPOSITE),
        "curves": {marks: rows.mean(axis=0).tolist() for marks, rows in arrays.items()},
        "n curves": len(rising),
        "share of curves that never fall": float((steps >= 0).all(axis=1).mean()),
        "share of steps that rise": float((steps > 0).mean()),
        "share of steps that fall": float((steps < 0).mean()),
        "mean curve monotone": bool((np.diff(rising.mean(axis=0)) > 0).all()),
        "from w=0 to w=2": float(rising[:, -1].mean() - rising[:, 0].mean()),
        "share of the change below 0.5 and above 1.5": float(change[~inner].sum() / max(change.sum(), 1e-12)),
        "share of steps there": float((~inner).mean()),
    }


def _alone_curves(by_seed: Sequence[SeedEntries]) -> dict[str, Any]:
    """Figure 6b: the area of all pictures with an attribute while its weight alone grows."""
    rows = np.array([areas for cell in by_seed for entry in cell for areas in entry["alone"].values()])
    top = rows.argmax(axis=1)
    return {
        "weights": list(ALONE),
        "curve": rows.mean(axis=0).tolist(),
        "n curves": len(rows),
        "share whose best weight is the largest": float((rows[:, -1] >= rows.max(axis=1)).mean()),
        "median of the best weight": float(np.median([ALONE[i] for i in top])),
        "from w=1 to w=10": float((rows[:, -1] - rows[:, ALONE.index(1.0)]).mean()),
        "from the best weight to w=10": float((rows[:, -1] - rows.max(axis=1)).mean()),
    }
