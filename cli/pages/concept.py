"""The page of a custom token: its facts, how good it is, and where it lies among words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gair_search.cli.pages.html import write_page

_DARKEST = 0.4
"""The cosine from which on an affinity is shown darkest: Perera et al., figure 4."""

_CURVE_WIDTH, _CURVE_HEIGHT = 600.0, 140.0


def write_concept(
    file: Path, facts: Mapping[str, Any], rows: Mapping[str, str], figures: Mapping[str, Any]
) -> None:
    """Write the page.

    Args:
        facts: as `gair concepts show --json` prints them.
        rows: the facts that are shown line by line.
        figures: `losses`, pairs of step and held-out loss; where the text tower is at hand, `affinity` (labels,
            and their cosines `[n, n]`) and `norm_range` (lowest and highest norm of the attributes).

    Raises:
        GairError: the file can't be written.
    """
    low, high = figures.get("norm_range", (0.0, 0.0))
    if facts["quality"]:
        low, high = facts["quality"]["norm_lowest"], facts["quality"]["norm_highest"]
    labels, cosines = figures.get("affinity", ([], []))
    cells = [[(float(c), min(max(float(c), 0) / _DARKEST, 1)) for c in row] for row in cosines]
    losses = figures["losses"]
    write_page(
        file,
        "concept.html.j2",
        title=f"<{facts['name']}>",
        facts=facts,
        rows=rows,
        low=low,
        high=high,
        top=1.05 * max([*facts["norms"], high]) or 1,
        labels=labels,
        affinity=list(zip(labels, cells, strict=True)),
        darkest=_DARKEST,
        losses=losses,
        curve=_curve_points(losses),
        marked=_index_of_step(losses, facts["facts"].get("step")),
    )


def _curve_points(losses: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Places of (step, loss) in the figure, the highest loss at its top; [] of fewer than two."""
    steps, values = zip(*losses, strict=True) if len(losses) > 1 else ((), ())
    if not values or steps[0] == steps[-1]:
        return []
    low, span = min(values), max(values) - min(values) or 1
    return [
        (
            _CURVE_WIDTH * (step - steps[0]) / (steps[-1] - steps[0]),
            _CURVE_HEIGHT * (1 - (value - low) / span),
        )
        for step, value in losses
    ]


def _index_of_step(losses: Sequence[tuple[int, float]], step: str | None) -> int | None:
    """Which point of the curve the token is of: the lowest where its file names no step; None where it is none."""
    steps, values = [str(step) for step, _ in losses], [loss for _, loss in losses]
    if step is None and values:
        return values.index(min(values))
    return steps.index(step) if step in steps else None
