"""The papers' figures, each beside ours."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.harness.measures import Summary
from gair_search.benchmarks.harness.report import Report, Table, percent
from gair_search.benchmarks.presentation import generation as drawing
from gair_search.benchmarks.presentation import preference as preferring
from gair_search.benchmarks.presentation import recognition as recognising
from gair_search.benchmarks.presentation import retrieval as retrieving
from gair_search.benchmarks.reproduction.papers_fewshot import fewshot_figures, mean_figures
from gair_search.benchmarks.tables.generation import MEASURES as DRAWING_MEASURES

LEFT_OUT = "-"
"""Ours where a row was not run."""


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of a paper and ours.

    Attributes:
        table: `tokens-4`.
        row, column: of the paper's table.
        paper, ours: as text, with ± where there is a deviation.
    """

    table: str
    row: str
    column: str
    paper: str
    ours: str

    def to_json(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


def _share(found: Mapping[str, Any] | None, spec: str = ".3f") -> str:
    """A summary as `0.123 ± 0.045`."""
    return LEFT_OUT if found is None else format(Summary(found["mean"], found["sd"], found["n"]), spec)


def _with_change(found: Mapping[str, Any] | None, way: str) -> str:
    """A row of tables 3 to 6: its value, and its change where it is not the plain one."""
    if found is None or way not in found:
        return LEFT_OUT
    change = "" if way == "plain" else f", {_share(found[f'{way} - plain'], '+.3f')}"
    return _share(found[way]) + change


def _percent(found: Mapping[str, Any] | None) -> str:
    return percent(found) or LEFT_OUT


def recognition_figures(report: Report) -> Iterator[ComparedFigure]:
    """Custom tokens, tables 1 and 3, in percent."""
    for (sd, ce), accuracies in recognising.PAPER_TABLE_1.items():
        row = f"({sd:g}, {ce:g})"
        found = report.values["loss weights"].get(row, {})
        for column, paper in zip(recognising.ACCURACIES, accuracies, strict=True):
            yield ComparedFigure("tokens-1", row, column, paper, _percent(found.get(column)))
    for row, theirs in recognising.PAPER_TABLE_3.items():
        found = report.values["methods"].get(row, {})
        for column, paper in zip(recognising.AUCS, theirs, strict=True):
            yield ComparedFigure("tokens-3", row, column, paper, _percent(found.get(column)))


def generation_figures(report: Report) -> Iterator[ComparedFigure]:
    """Custom tokens, table 2. The second judge is another than the paper's, and its column says which."""
    judges = report.values["judges"]
    for place, (judge, by_method) in enumerate(judges.items()):
        encoder = ("CLIP", f"ALIGN, ours {judge}")[place]
        for row, theirs in drawing.PAPER.items():
            if row == "chance":
                continue
            found = by_method.get(row, {})
            for column, paper in zip(DRAWING_MEASURES[:3], theirs[place], strict=True):
                yield ComparedFigure(
                    "tokens-2", row, f"{encoder}: {column}", paper, _share(found.get(column))
                )


def retrieval_figures(report: Report) -> Iterator[ComparedFigure]:
    """Custom tokens, table 4, in percent."""
    for row, paper in retrieving.PAPER.items():
        found = report.values["methods"].get(row, {})
        yield ComparedFigure("tokens-4", row, "MRR", paper, _percent(found.get("MRR")))


_WAYS = {"plain": "plain", "up": "emphasised", "down": "de-emphasised"}


def preference_figures(report: Report, metaclip: bool = False) -> Iterator[ComparedFigure]:
    """SToRI, tables 3 to 6: of CelebA, or of CUB."""
    values = report.values["SToRI"]
    on_cub = report.settings["dataset"] == "cub"
    columns = {"CUB: AP": ("AP", 2)} if on_cub else {"CelebA: AP": ("AP", 0), "CelebA: P@400": ("P@k", 1)}
    name, theirs = ("stori-5", preferring.PAPER_METACLIP) if metaclip else ("stori-3", preferring.PAPER)
    for way, row in _WAYS.items():
        for column, (measure, place) in columns.items():
            ours = _with_change(values["table 3"].get(measure), way)
            yield ComparedFigure(name, row, column, theirs[way][place], ours)
    if on_cub:
        return
    if not metaclip:
        for way, paper in preferring.PAPER_GRADED.items():
            for column, (measure, place) in columns.items():
                ours = _with_change(values["table 4"].get(measure), way)
                yield ComparedFigure("stori-4", way, column, paper[place], ours)
    model, five = (
        ("MetaCLIP", preferring.PAPER_FIVE_METACLIP) if metaclip else ("CLIP", preferring.PAPER_FIVE)
    )
    for way, row in _WAYS.items():
        for column, (measure, place) in {"AP": ("AP", 0), "P@80": ("P@k", 1)}.items():
            ours = _with_change(values.get("table 6", {}).get(measure), way)
            yield ComparedFigure("stori-6", f"{model}, {row}", column, five[way][place], ours)


def speed_figures(report: Report) -> Iterator[ComparedFigure]:
    """SToRI, table 7: the paper's milliseconds are not in the text that we have, what it says of them is."""
    found = report.values["text"]["ratios"]["encoding with token weights"]
    yield ComparedFigure(
        "stori-7", "reweighted text", "time, to plain text's", "not significantly different", _share(found)
    )


def _fewshot_figures(data_set: str, metaclip: bool, report: Report) -> Iterator[ComparedFigure]:
    """SToRI, tables 1, 2 and 8: of one data set."""
    for table, row, column, paper, ours in fewshot_figures(report, data_set, metaclip):
        yield ComparedFigure(table, row, column, paper, ours or LEFT_OUT)


def whole_figures(values: Mapping[str, Mapping[str, Any]]) -> Iterator[ComparedFigure]:
    """Figures that several runs make: the mean over the six data sets of SToRI's tables 2 and 8.

    Args:
        values: run -> its report's values.
    """
    for end in ("", "-metaclip"):
        own = {name: values[f"fewshot-{name}{end}"] for name in COOP_SETS if f"fewshot-{name}{end}" in values}
        for table, row, column, paper, ours in mean_figures(own, bool(end)):
            yield ComparedFigure(table, row, column, paper, ours or LEFT_OUT)


FIGURES: dict[str, Callable[[Report], Iterator[ComparedFigure]]] = {
    "recognition": recognition_figures,
    "generation": generation_figures,
    "retrieval": retrieval_figures,
    "preference-celeba": preference_figures,
    "preference-cub": preference_figures,
    "preference-celeba-metaclip": lambda report: preference_figures(report, metaclip=True),
    "preference-cub-metaclip": lambda report: preference_figures(report, metaclip=True),
    **{
        f"fewshot-{name}{end}": partial(_fewshot_figures, name, bool(end))
        for name in COOP_SETS
        for end in ("", "-metaclip")
    },
    "speed": speed_figures,
}
"""Run -> the papers' figures that it makes."""


def figures_table(figures: Sequence[ComparedFigure], remark: str = "") -> Table:
    """All of them, the papers' beside ours; a remark goes before the note."""
    rows = tuple((one.table, one.row, one.column, one.paper, one.ours) for one in figures)
    note = (
        f"{remark}± of each is over what its table says. A dash: the row was not run, or has no such figure."
    )
    return Table("The papers' figures and ours", ("table", "row", "figure", "paper", "ours"), rows, note)
