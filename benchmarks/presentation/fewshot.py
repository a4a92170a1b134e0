"""SToRI's tables 1 and 2 beside the paper's, the table without class names, and accuracy over shots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gair_search.benchmarks.harness.classifiers import (
    AGNOSTIC,
    BASE,
    BOTH,
    NAMED,
    STORI,
    TASKRES,
)
from gair_search.benchmarks.harness.figures import new_figure
from gair_search.benchmarks.harness.report import Report, Table, left_out_note, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = {
    (TASKRES, BASE): {1: "77.53", 2: "77.93", 4: "78.31", 8: "80.60", 16: "82.29"},
    (TASKRES, BOTH): {1: "81.70", 2: "82.95", 4: "84.41", 8: "85.89", 16: "87.24"},
    (STORI, BOTH): {1: "82.01", 2: "83.28", 4: "84.22", 8: "85.62", 16: "86.79"},
}
"""Table 2, CLIP ViT-L/14: the mean over ImageNet, DTD, Flowers102, SUN397, Caltech101 and Food101."""
PAPER_NONSENSE = {
    "descriptions": ("97.42 ± 0.23", "79.54 ± 0.12"),
    "descriptions + nonsense": ("97.30 ± 0.15", "79.11 ± 0.10"),
}
"""Table 1, 16 shots: Caltech101 and SUN397."""


def _shots_of(rows: Mapping[str, Mapping[str, Any]]) -> list[int]:
    return sorted({int(k) for found in rows.values() for k in found} - {0})


def _differences_note(values: Mapping[str, Any], shots: Sequence[int]) -> str:
    """What the paired bootstrap says."""
    differences: dict[str, list[str]] = {}
    for c in values["compared"]:
        if c["shots"] in shots:
            interval = f"{c['difference']:+.1%} [{c['low']:+.1%}, {c['high']:+.1%}]"
            differences.setdefault(f"{c['a']} less {c['b']}", []).append(
                f"{interval} at {_shots_label(c['shots'])}"
            )
    pairs = "; ".join(f"{pair} {', '.join(each)}" for pair, each in differences.items())
    return f"paired bootstrap over the pictures, 95%: {pairs}."


def _size_note(report: Report, table: str) -> str:
    values, s = report.values[table], report.settings
    return (
        f"{values['data set']}, {s['model']}: {len(values['classes'])} classes, {values['pictures a seed']} pictures "
        f"to classify, {len(s['seeds'])} seeds. In percent; ± is the standard deviation over the seeds."
    )


def named_table(report: Report) -> Table:
    """Table 2 beside the paper's."""
    values = report.values["named"]
    cuts = _shots_of(values["rows"])
    head = ("", "text", *(_shots_label(k) for k in cuts), *(f"paper, {k}" for k in cuts))
    rows = []
    for method, text in NAMED:
        found = values["rows"][f"{method}, {text}"]
        theirs = PAPER.get((method, text), {})
        ours = (percent(found.get(str(k), found.get("0")), 2) for k in cuts)
        rows.append((method, text, *ours, *(theirs.get(k, "") for k in cuts)))
    note = (
        f"{_size_note(report, 'named')} The paper's: CLIP ViT-L/14, mean over six data sets, descriptions of CuPL. "
        f"Compared on {BOTH}: {_differences_note(values, (cuts[0], cuts[-1]))}"
    )
    return Table("Table 2: few-shot classification, accuracy", head, tuple(rows), note)


def _shots_label(k: int) -> str:
    return f"{k} shot{'s' if k > 1 else ''}"


def nonsense_table(report: Report) -> Table:
    """Table 1 beside the paper's."""
    values = report.values["nonsense"]
    (k,) = _shots_of(values["rows"])
    head = ("token weights on", "all 1", _shots_label(k), "paper, 16: Caltech101", "paper, 16: SUN397")
    rows = tuple(
        (text, percent(found["0"], 2), percent(found[str(k)], 2), *PAPER_NONSENSE.get(text, ("", "")))
        for text, found in values["rows"].items()
    )
    note = f"{_size_note(report, 'named')} Compared: {_differences_note(values, (k,))}"
    return Table("Table 1: token weights on nonsense, accuracy", head, rows, note)


def agnostic_table(report: Report) -> Table:
    """MC-TI's own; the paper's numbers are not in its abstract, which is what we have."""
    values, learning = report.values["agnostic"], report.settings["learning"]
    cuts = _shots_of(values["rows"])
    head = ("", *(_shots_label(k) for k in cuts), "s to learn")
    rows = tuple(
        (
            name,
            *(percent(values["rows"][name].get(str(k)), 2) for k in cuts),
            f"{np.mean([found['seconds'] for found in values['rows'][name].values()]):.2f}",
        )
        for name in AGNOSTIC
        if name in values["rows"]
    )
    note = (
        f"{_size_note(report, 'agnostic')} No name of a class is used. Tokens of {learning['n_vectors']} vectors, "
        f"{learning['steps']} steps at a rate of {learning['learning_rate']:g}; a step's diffusion loss is one class's."
    )
    if values["compared"]:
        note += f" Compared: {_differences_note(values, cuts)}"
    note += left_out_note(report.values["skipped"])
    return Table("Semantic-agnostic classification, accuracy", head, rows, note)


def shots_figure(rows: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Accuracy over shots, the deviation as a band."""
    figure = new_figure(1)
    (axes,) = figure.axes
    cuts = _shots_of(rows)
    for row, found in rows.items():
        if set(found) == {"0"}:
            style = ":" if row.endswith(BASE) else "--"
            axes.axhline(found["0"]["mean"], linestyle=style, color="0.4", label=row)
            continue
        mean, sd = (np.array([found[str(k)][name] for k in cuts]) for name in ("mean", "sd"))
        (line,) = axes.plot(cuts, mean, "o-", markersize=3, label=row)
        axes.fill_between(cuts, mean - sd, mean + sd, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(cuts, [str(k) for k in cuts])
    axes.set(xlabel="shots", ylabel="accuracy")
    axes.legend(fontsize=6)
    return figure
