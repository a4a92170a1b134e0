"""SToRI's tables 3 to 6 beside the paper's, and the likes of figures 5 and 6."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gair_search.benchmarks.harness.combination_rankings import ALONE, DOWN, MORE, OPPOSITE, UP
from gair_search.benchmarks.harness.figures import new_figure
from gair_search.benchmarks.harness.measures import Summary
from gair_search.benchmarks.harness.report import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
PAPER_FIVE_METACLIP = {
    "plain": ("0.689 ± 0.074", "0.631 ± 0.062"),
    "up": ("0.713 ± 0.078, +0.023 ± 0.008", "0.646 ± 0.062, +0.015 ± 0.011"),
    "down": ("0.644 ± 0.064, -0.045 ± 0.020", "0.602 ± 0.057, -0.029 ± 0.014"),
}
"""Table 6, MetaCLIP ViT-L/14 on CelebA."""


def _format_summary(facts: Mapping[str, Any], spec: str = ".3f") -> str:
    """A summary as `mean ± sd`."""
    return format(Summary(**facts), spec)


def changes_table(
    title: str,
    found: Mapping[str, Any],
    paper: Mapping[str, tuple[str, ...]],
    columns: tuple[int, ...],
    other: Mapping[str, tuple[str, ...]] | None = None,
    k: int = 400,
) -> Table:
    """Table 3, 5 or 6 beside the paper's, whose precision is at k."""
    measures = [name for name in ("AP", "P@k") if name in found]
    theirs = [("AP", f"P@{k}", "CUB AP")[i] for i in columns]
    models = [("CLIP", paper)] + ([("MetaCLIP", other)] if other else [])
    head = ("", *measures, *(f"paper, {model}: {name}" for model, _ in models for name in theirs))
    labels = {"plain": "plain", "up": f"emphasised ({UP})", "down": f"de-emphasised ({DOWN})"}
    rows = [
        (
            label,
            *(
                _format_summary(found[m][way])
                + ("" if way == "plain" else f", {_format_summary(found[m][f'{way} - plain'], '+.3f')}")
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
        f"Mean change of AP, ± over seeds: {_format_summary(ap['up - plain over seeds'], '+.4f')} and "
        f"{_format_summary(ap['down - plain over seeds'], '+.4f')}. Paired bootstrap over the attributes, 95%: "
        f"[{ap['up against plain']['low']:+.4f}, {ap['up against plain']['high']:+.4f}] and "
        f"[{ap['down against plain']['low']:+.4f}, {ap['down against plain']['high']:+.4f}]."
    )
    return Table(title, head, tuple(rows), note)


def graded_table(by_method: Mapping[str, Mapping[str, Any]]) -> Table:
    """Table 4 beside the paper's."""
    measures = [name for name in ("AP", "P@k") if all(name in found for found in by_method.values())]
    head = ("", *(f"{method}: {m}" for method in by_method for m in measures), "paper: AP", "paper: P@400")
    labels = {"plain": "plain", "up": f"attribute with {UP}", "more": f"attribute with {MORE}"}
    rows = [
        (
            label,
            *(
                _format_summary(found[m][way])
                + ("" if way == "plain" else f", {_format_summary(found[m][f'{way} - plain'], '+.3f')}")
                for found in by_method.values()
                for m in measures
            ),
            *PAPER_GRADED[way],
        )
        for way, label in labels.items()
    ]
    return Table(f"Table 4: one attribute at {UP}, another at {MORE}", head, tuple(rows))


def curves_table(values: Mapping[str, Any]) -> Table:
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


def opposite_figure(values: Mapping[str, Any]) -> "Figure":
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


def alone_figure(values: Mapping[str, Any]) -> "Figure":
    """Figure 6b: the area of pictures with the attribute while its weight alone grows."""
    figure = new_figure(1)
    for method, found in values.items():
        figure.axes[0].plot(ALONE, found["figure 6b"]["curve"], "o-", markersize=3, label=method)
    figure.axes[0].set(xlabel="weight of one attribute, the others at 1", ylabel="AUC of pictures with it")
    figure.axes[0].legend()
    return figure
