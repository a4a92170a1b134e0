"""Figures of the tables, drawn by matplotlib without a display."""

from typing import TYPE_CHECKING

from gair_search.errors import GairError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(columns: int, width: float = 4.2, height: float = 3.4) -> "Figure":
    """An empty figure with a row of axes.

    Args:
        columns: how many axes.
        width: of each, in inches.
        height: of the figure, in inches.

    Raises:
        GairError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GairError("figures need matplotlib: pip install 'gair-search[bench]'") from error
    # the same file for the same figures, its text as text
    matplotlib.rcParams.update({"svg.hashsalt": "gair", "svg.fonttype": "none", "font.size": 8})
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    figure.subplots(1, columns, sharey=True)
    return figure
