"""`gair bench preference`: retrieval by preference (Kim et al. 2024, section 4.2, tables 3-6, figures 5 and 6).

A prompt names three attributes, and the pool has pictures in each of their eight categories. One attribute's token
weight goes to 1.5 or 0.5, and AP and precision at k tell how soon pictures with that attribute come, k being half
of the pool. Then two weights go in opposite directions, w and 2 - w (the paper writes 1 - w, yet shows weights up
to above 1.5 and says that 1 is plain), and the area under each category's share within rank n is followed. The
same is done with modified prompt weighting (appendix C.1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.attributes import AttributeSet, celeba, cub
from gair_search.benchmarks.datasets.combinations import (
    CELEBA_PHRASES,
    Combination,
    celeba_combinations,
    cub_combinations,
    fashion_combinations,
)
from gair_search.benchmarks.harness.cells import (
    Progress,
    Report,
    Table,
    Work,
    new_figure,
)
from gair_search.benchmarks.harness.measures import (
    Summary,
    average_precision,
    category_auc,
    paired_bootstrap,
    precision_at,
    ranked,
    roc_auc,
    separation,
    summary,
)
from gair_search.benchmarks.methods.prompts import WEIGHTINGS, compiled
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UP, DOWN, MORE = 1.5, 0.5, 2.0
OPPOSITE = tuple(round(0.2 * i, 1) for i in range(11))
"""Weights w of one attribute while another has 2 - w (figures 5 and 6a)."""
ALONE = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Weights of one attribute while the others stay (figure 6b)."""
ZERO_SHOT_AUC = 0.75
"""Attributes that the model tells worse than this are left out (appendix A.2)."""

PAPER = {
    "plain": ("0.752 ± 0.089", "0.679 ± 0.084", "0.154 ± 0.070"),
    "up": ("0.773 ± 0.084, +0.021 ± 0.011", "0.697 ± 0.068, +0.017 ± 0.009", "0.183 ± 0.079, +0.029 ± 0.018"),
    "down": (
        "0.709 ± 0.096, -0.043 ± 0.021",
        "0.648 ± 0.072, -0.031 ± 0.031",
        "0.116 ± 0.057, -0.038 ± 0.021",
    ),
}
"""Table 3, CLIP ViT-L/14: AP and P@400 on CelebA, AP on CUB."""
PAPER_METACLIP = {
    "plain": ("0.753 ± 0.088", "0.681 ± 0.062", "0.148 ± 0.055"),
    "up": ("0.774 ± 0.086, +0.021 ± 0.011", "0.699 ± 0.063, +0.018 ± 0.009", "0.195 ± 0.074, +0.047 ± 0.026"),
    "down": (
        "0.709 ± 0.087, -0.044 ± 0.022",
        "0.647 ± 0.057, -0.035 ± 0.016",
        "0.098 ± 0.035, -0.051 ± 0.026",
    ),
}
"""Table 5, MetaCLIP ViT-L/14."""
PAPER_GRADED = {
    "plain": ("0.752 ± 0.089", "0.679 ± 0.070"),
    "up": ("0.754 ± 0.085, +0.003 ± 0.017", "0.681 ± 0.064, +0.002 ± 0.016"),
    "more": ("0.776 ± 0.082, +0.024 ± 0.019", "0.698 ± 0.064, +0.019 ± 0.016"),
}
"""Table 4, CLIP ViT-L/14 on CelebA."""
PAPER_FIVE = {
    "plain": ("0.684 ± 0.097", "0.627 ± 0.062"),
    "up": ("0.705 ± 0.099, +0.021 ± 0.009", "0.643 ± 0.069, +0.015 ± 0.012"),
    "down": ("0.643 ± 0.086, -0.041 ± 0.019", "0.601 ± 0.054, -0.026 ± 0.012"),
}
"""Table 6, CLIP ViT-L/14 on CelebA."""

Source = Literal["fashion", "celeba", "cub"]
Cell = list[dict[str, Any]]
"""What is kept of a method and a seed: one entry a combination."""


@dataclass(frozen=True)
class PreferenceConfig:
    """What a run is made of.

    Attributes:
        dataset: the fashion world, or a folder of CelebA or CUB.
        data: that folder.
        seeds: each draws its own combinations and pictures.
        limit: combinations of three attributes a seed; the paper has 20 (CelebA) and 58 (CUB).
        five: combinations of five attributes a seed; the fashion world alone has them here.
        per_category: pictures in each category (CelebA, the paper: 100).
    """

    dataset: Source = "fashion"
    data: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int = 20
    five: int = 2
    per_category: int = 12

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on."""
        facts = asdict(self) | {
            "data": str(self.data.absolute()) if self.data else None,
            "seeds": list(self.seeds),
        }
        return facts | {"model": encoder.spec.name, "start_fraction": encoder.start_fraction}


def preference(
    encoder: Encoder,
    settings: PreferenceConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure both weightings; finished (method, seed) cells and features are taken from the work folder.

    Args:
        encoder: a model whose text tower takes token weights.
        settings: what to run.
        work: where finished parts are kept; `GAIR_HOME/bench` unless given.
        save_run: keep the rankings, too, which runs finished cells again.
        on_progress: called with the pictures that are done and those there are.

    Raises:
        DatasetError: the data set is absent or incomplete. ModelError: the tower takes plain prompts only.
    """
    _ = encoder.text_tower  # refused before an hour of encoding
    report = Report("preference", settings.to_json(encoder), {}, [])
    cells_of = {name: value for name, value in report.settings.items() if name != "seeds"}
    cells_of["measures"] = ["AP", "P@k", "separation"]  # what a cell's lists hold
    keep = Work("preference", cells_of | {"embedder": encoder.embedder_id.to_metadata()}, work)
    pools = _Pools(encoder, settings, keep, on_progress)
    cells: dict[str, list[Cell]] = {}
    for method, encode in WEIGHTINGS.items():
        cells[method] = []
        for seed in settings.seeds:
            name = f"{method.replace(' ', '-')}-seed{seed}"

            def make(seed: int = seed, method: str = method, encode: Any = encode) -> Cell:
                return [
                    _measured(encoder, encode, combination, features, report if save_run else None, method)
                    for combination, features in pools.of(seed)
                ]

            cells[method].append(keep.cell(name, make, again=save_run))
    _fill(report, cells, settings)
    return report


class _Pools:
    """A seed's combinations with their pictures' features."""

    def __init__(
        self, encoder: Encoder, settings: PreferenceConfig, work: Work, on_progress: Progress | None
    ) -> None:
        self.encoder, self.settings, self.work = encoder, settings, work
        self.on_progress = on_progress
        self.done = self.total = 0
        self.data: AttributeSet | None = None
        self.attributes: list[str] = []

    def of(self, seed: int) -> Iterator[tuple[Combination, NDArray[np.float32]]]:
        """Combinations and their image features `[N, embed_dim]`."""
        found = list(self._combinations(seed))
        if not found:
            raise DatasetError(
                f"{self.settings.dataset}: no combination of attributes has {self.settings.per_category} images "
                f"in each category; try a smaller --per-category"
            )
        self.total += sum(len(combination.pictures) for combination in found)
        for combination in found:
            yield combination, self.work.features(self.encoder, combination.pictures, self._advance)

    def _advance(self, n: int) -> None:
        self.done += n
        if self.on_progress:
            self.on_progress(self.done, self.total)

    def _combinations(self, seed: int) -> Iterator[Combination]:
        s = self.settings
        if s.dataset == "fashion":
            yield from fashion_combinations(seed, s.limit, s.per_category)
            yield from fashion_combinations(seed, s.five, max(1, s.per_category // 2), attributes=5)
            return
        if s.data is None:
            raise DatasetError(f"{s.dataset}: say where it lies with --data FOLDER")
        if s.dataset == "cub":
            self.data = self.data or cub(s.data)
            yield from cub_combinations(self.data, seed, s.limit)
            return
        if self.data is None:
            self.data = celeba(s.data)
            self.attributes = self._told_apart(self.data)
        yield from celeba_combinations(self.data, self.attributes, seed, s.per_category, s.limit)

    def _told_apart(self, data: AttributeSet) -> list[str]:
        """CelebA's attributes that the model tells on the test split with a ROC AUC of 0.75 or more."""
        pictures = [data.pictures[i] for i in np.flatnonzero(data.test)]
        self.total += len(pictures)
        images = self.work.features(self.encoder, pictures, self._advance)
        kept = []
        for name, phrase in CELEBA_PHRASES.items():
            text = self.encoder.encode_texts([f"a photo of a person {phrase}"])[0]
            labels = data.labels[name][data.test]
            if labels.any() and not labels.all() and roc_auc(images @ text, labels) >= ZERO_SHOT_AUC:
                kept.append(name)
        return kept


def _measured(
    encoder: Encoder,
    encode: Any,
    combination: Combination,
    images: NDArray[np.float32],
    report: Report | None,
    method: str,
) -> dict[str, Any]:
    """One combination under every weighting of the tables and figures; five attributes for table 6 alone."""
    names = combination.attributes
    settings: list[dict[str, float]] = [{}]
    settings += [{name: weight} for name in names for weight in (UP, DOWN)]
    if len(names) == 3:
        settings += [{more: MORE, up: UP} for more, up in permutations(names, 2)]
        settings += [{a: w, b: round(2 - w, 1)} for a, b in combinations(names, 2) for w in OPPOSITE]
        settings += [{name: weight} for name in names for weight in ALONE]
    prompts = compiled(encoder, [combination.prompt(weights) for weights in settings])
    scores = encode(encoder, prompts) @ images.T
    ids = [picture.id for picture in combination.pictures]
    orders = [ranked(row, ids) for row in scores]
    place = {_key(weights): i for i, weights in enumerate(settings)}

    def measure(name: str, weights: Mapping[str, float]) -> list[float | None]:
        row, labels = place[_key(weights)], combination.labels[name]
        flags = labels[orders[row]]
        at_k = precision_at(flags, combination.k) if combination.k else None
        return [average_precision(flags), at_k, separation(scores[row], labels)]

    entry: dict[str, Any] = {"id": combination.id, "attributes": list(names), "n": len(ids)}
    entry["plain"] = {name: measure(name, {}) for name in names}
    entry["up"] = {name: measure(name, {name: UP}) for name in names}
    entry["down"] = {name: measure(name, {name: DOWN}) for name in names}
    if report is not None:
        _keep_runs(report, combination, method, {"1.5": UP, "0.5": DOWN}, scores, place, ids)
    if len(names) > 3:
        return entry
    pairs = list(permutations(names, 2))
    entry["graded up"] = [[up, *measure(up, {more: MORE, up: UP})] for more, up in pairs]
    entry["graded more"] = [[more, *measure(more, {more: MORE, up: UP})] for more, up in pairs]
    categories = combination.categories()
    entry["opposite"] = [
        {
            "pair": [a, b],
            # presence of the first, the second and the other attribute -> area at each weight
            "auc": {
                _marks(key, [names.index(a), names.index(b), 3 - names.index(a) - names.index(b)]): [
                    category_auc(member[orders[place[_key({a: w, b: round(2 - w, 1)})]]]) for w in OPPOSITE
                ]
                for key, member in categories.items()
                if member.any()
            },
        }
        for a, b in combinations(names, 2)
    ]
    entry["alone"] = {
        name: [category_auc(combination.labels[name][orders[place[_key({name: w})]]]) for w in ALONE]
        for name in names
    }
    return entry


def _key(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Weights without those that change nothing."""
    return tuple(sorted((name, weight) for name, weight in weights.items() if weight != 1))


def _marks(key: Sequence[bool], order: Sequence[int]) -> str:
    return "".join("+" if key[i] else "-" for i in order)


def _keep_runs(
    report: Report,
    combination: Combination,
    method: str,
    weights: Mapping[str, float],
    scores: NDArray[np.float32],
    place: Mapping[tuple[tuple[str, float], ...], int],
    ids: Sequence[str],
) -> None:
    """Rankings as runs: plain, and with each weight on the attribute that the query asks for."""
    qrels: dict[str, dict[str, int]] = report.qrels  # type: ignore[assignment]
    for name, labels in combination.labels.items():
        query = f"{combination.id}/{name}"
        qrels[query] = {image: 1 for image, there in zip(ids, labels, strict=True) if there}
        rows = {"plain": ()} | {f"{method} {text}": _key({name: w}) for text, w in weights.items()}
        for tag, key in rows.items():
            run: dict[str, dict[str, float]] = report.runs.setdefault(tag, {})  # type: ignore[assignment]
            run[query] = dict(zip(ids, map(float, scores[place[key]]), strict=True))


def _fill(report: Report, cells: Mapping[str, Sequence[Cell]], settings: PreferenceConfig) -> None:
    """Values, tables and figures out of all cells."""
    paper = {"fashion": (0, 1), "celeba": (0, 1), "cub": (2,)}[settings.dataset]
    for method, by_seed in cells.items():
        three = [[entry for entry in cell if len(entry["attributes"]) == 3] for cell in by_seed]
        five = [[entry for entry in cell if len(entry["attributes"]) > 3] for cell in by_seed]
        values: dict[str, Any] = {"table 3": _changes(three)}
        report.tables.append(
            _change_table(
                f"Tables 3 and 5, three attributes: {method}", values["table 3"], PAPER, paper, PAPER_METACLIP
            )
        )
        if any(five):
            values["table 6"] = _changes(five)
            report.tables.append(
                _change_table(f"Table 6, five attributes: {method}", values["table 6"], PAPER_FIVE, (0, 1))
            )
        values["table 4"] = _graded(three)
        values |= {"figure 5": _opposite(three), "figure 6b": _alone(three)}
        report.values[method] = values
    report.tables.append(_graded_table({method: v["table 4"] for method, v in report.values.items()}))
    report.tables.append(_curve_table(report.values))
    report.figures = {
        "preference-opposite": lambda: _opposite_figure(report.values),
        "preference-alone": lambda: _alone_figure(report.values),
    }


def _changes(by_seed: Sequence[Cell]) -> dict[str, Any]:
    """Table 3: plain, emphasised and de-emphasised over all controlled attributes, and how many move as they should."""
    controlled = [(entry, name) for cell in by_seed for entry in cell for name in entry["attributes"]]
    found: dict[str, Any] = {"n": len(controlled), "seeds": len(by_seed)}
    for index, measure in enumerate(("AP", "P@k", "separation")):
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


def _graded(by_seed: Sequence[Cell]) -> dict[str, Any]:
    """Table 4: one attribute at 1.5 while another is at 2."""
    found: dict[str, Any] = {}
    for index, measure in enumerate(("AP", "P@k")):
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


def _opposite(by_seed: Sequence[Cell]) -> dict[str, Any]:
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


def _alone(by_seed: Sequence[Cell]) -> dict[str, Any]:
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


def _s(facts: Mapping[str, Any], spec: str = ".3f") -> str:
    return format(Summary(**facts), spec)


def _change_table(
    title: str,
    found: Mapping[str, Any],
    paper: Mapping[str, tuple[str, ...]],
    columns: tuple[int, ...],
    other: Mapping[str, tuple[str, ...]] | None = None,
) -> Table:
    """Table 3, 5 or 6 beside the paper's."""
    measures = [name for name in ("AP", "P@k") if name in found]
    theirs = [("AP", "P@400", "CUB AP")[i] for i in columns]
    models = [("CLIP", paper)] + ([("MetaCLIP", other)] if other else [])
    head = ("", *measures, *(f"paper, {model}: {name}" for model, _ in models for name in theirs))
    labels = {"plain": "plain", "up": f"emphasised ({UP})", "down": f"de-emphasised ({DOWN})"}
    rows = [
        (
            label,
            *(
                _s(found[m][way]) + ("" if way == "plain" else f", {_s(found[m][f'{way} - plain'], '+.3f')}")
                for m in measures
            ),
            *(numbers[way][i] for _, numbers in models for i in columns),
        )
        for way, label in labels.items()
    ]
    ap, apart = found["AP"], found["separation"]
    note = (
        f"n = {found['n']} controlled attributes, seeds: {found['seeds']}; ± is the standard deviation over the "
        f"attributes. With {UP}, AP rises for {ap['share up']:.1%} of them and falls for "
        f"{ap['share up, wrong way']:.1%}; with {DOWN}, it falls for {ap['share down']:.1%} and rises for "
        f"{ap['share down, wrong way']:.1%}; the others' stays the same. Both as they should: "
        f"{ap['share both']:.1%}; of the separation of their scores, which knows no ties, {apart['share both']:.1%}. "
        f"Mean change of AP, ± over seeds: {_s(ap['up - plain over seeds'], '+.4f')} and "
        f"{_s(ap['down - plain over seeds'], '+.4f')}. Paired bootstrap over the attributes, 95%: "
        f"[{ap['up against plain']['low']:+.4f}, {ap['up against plain']['high']:+.4f}] and "
        f"[{ap['down against plain']['low']:+.4f}, {ap['down against plain']['high']:+.4f}]."
    )
    return Table(title, head, tuple(rows), note)


def _graded_table(by_method: Mapping[str, Mapping[str, Any]]) -> Table:
    """Table 4 beside the paper's."""
    measures = [name for name in ("AP", "P@k") if all(name in found for found in by_method.values())]
    head = ("", *(f"{method}: {m}" for method in by_method for m in measures), "paper: AP", "paper: P@400")
    labels = {"plain": "plain", "up": f"attribute with {UP}", "more": f"attribute with {MORE}"}
    rows = [
        (
            label,
            *(
                _s(found[m][way]) + ("" if way == "plain" else f", {_s(found[m][f'{way} - plain'], '+.3f')}")
                for found in by_method.values()
                for m in measures
            ),
            *PAPER_GRADED[way],
        )
        for way, label in labels.items()
    ]
    return Table(f"Table 4: one attribute at {UP}, another at {MORE}", head, tuple(rows))


def _curve_table(values: Mapping[str, Any]) -> Table:
    """What the figures show, as numbers; the paper shows curves of one prompt."""
    lines: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        (
            "curves of categories with one attribute and without the other",
            lambda v: f"{v['figure 5']['n curves']}",
        ),
        (
            "of them never falling, w = 0 to 2",
            lambda v: f"{v['figure 5']['share of curves that never fall']:.1%}",
        ),
        ("steps of 0.2 that fall", lambda v: f"{v['figure 5']['share of steps that fall']:.1%}"),
        ("mean curve monotone", lambda v: "yes" if v["figure 5"]["mean curve monotone"] else "no"),
        ("AUC gained from w = 0 to w = 2", lambda v: f"{v['figure 5']['from w=0 to w=2']:+.3f}"),
        (
            "share of the change that is below 0.5 and above 1.5, where 40% of the steps are",
            lambda v: f"{v['figure 5']['share of the change below 0.5 and above 1.5']:.1%}",
        ),
        (
            "one weight alone, 0 to 10: curves that are highest at 10",
            lambda v: f"{v['figure 6b']['share whose best weight is the largest']:.1%}",
        ),
        (
            "AUC lost from the best weight to 10",
            lambda v: f"{v['figure 6b']['from the best weight to w=10']:+.3f}",
        ),
    ]
    rows = tuple((label, *(show(found) for found in values.values())) for label, show in lines)
    return Table("Figures 5 and 6: area under the curve over weights", ("", *values), rows)


def _opposite_figure(values: Mapping[str, Any]) -> "Figure":
    """Figures 5 and 6a: the eight categories' areas over w, mean over all pairs of attributes."""
    figure = new_figure(len(values))
    for axes, (method, found) in zip(figure.axes, values.items(), strict=True):
        for marks, areas in found["figure 5"]["curves"].items():
            style = {"+-": "-", "-+": "--", "++": ":", "--": "-."}[marks[:2]]
            axes.plot(OPPOSITE, areas, style, color="C0" if marks[2] == "+" else "C1", label=marks)
        axes.set(title=method, xlabel="w on the first attribute, 2 - w on the second")
    figure.axes[0].set_ylabel("AUC")
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, title="first,\nsecond,\nthird", loc="outside right center")
    return figure


def _alone_figure(values: Mapping[str, Any]) -> "Figure":
    """Figure 6b: the area of pictures with the attribute while its weight alone grows."""
    figure = new_figure(1)
    for method, found in values.items():
        figure.axes[0].plot(ALONE, found["figure 6b"]["curve"], "o-", markersize=3, label=method)
    figure.axes[0].set(xlabel="weight of one attribute, the others at 1", ylabel="AUC of pictures with it")
    figure.axes[0].legend()
    return figure
