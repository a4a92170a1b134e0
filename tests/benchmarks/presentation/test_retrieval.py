"""Table 4's bars."""

from gair_search.benchmarks.methods.concepts import OURS
from gair_search.benchmarks.presentation.retrieval import mrr_figure


def test_the_figure_has_our_means_and_the_papers() -> None:
    said = {"MRR": {"mean": 0.25, "sd": 0.05}}
    (axes,) = mrr_figure({"text only": said, "joint": said, OURS: said}).axes
    assert [bar.get_width() for bar in axes.patches] == [25] * 3
    (marks,) = [line for line in axes.lines if line.get_marker() == "D"]
    assert list(zip(marks.get_xdata(), marks.get_ydata(), strict=True)) == [(17.6, 0), (56.6, 2)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["text only", "joint", OURS]
