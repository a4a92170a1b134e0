"""Table 4 beside the paper's, its bars, and the like of figure 6."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from gair_search.benchmarks.datasets.base import Picture, RetrievalSet
from gair_search.benchmarks.harness.cells import digest
from gair_search.benchmarks.harness.figures import new_figure
from gair_search.benchmarks.harness.report import (
    Report,
    Table,
    difference_cells,
    left_out_note,
    percent,
)
from gair_search.benchmarks.harness.sheets import SheetCell, grid, sheet, tiles
from gair_search.benchmarks.harness.token_cells import TokenCells, cell_name, token_vectors
from gair_search.benchmarks.methods.concepts import (
    GAIR,
    OURS,
    PALAVRA,
    PROMPT_TUNING,
    TEXT_ONLY,
    Study,
    query_mixture,
    row_label,
)
from gair_search.gair.options import GairConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = {
    TEXT_ONLY: "17.6 ± 0.0",
    "text + average image": "21.7 ± 2.4",
    PALAVRA: "28.4 ± 0.7",
    "ideal words": "37.0 ± 1.1",
    PROMPT_TUNING: "51.4 ± 2.1",
    f"{PROMPT_TUNING} + GAIR": "45.2 ± 0.8",
    OURS: "56.6 ± 2.3",
    f"{OURS} + GAIR": "58.8 ± 2.3",
}
"""Table 4: MRR on DeepFashion2, in percent; PALAVRA there with both stages."""

QUERIES, HITS = 4, 3
"""A concept's queries and each one's first hits in figure 6."""

_SIDE, _RIGHT = 128, "#2ca02c"


def retrieval_table(report: Report, measures: Sequence[str], gallery_size: int) -> Table:
    """Table 4 beside the paper's, in percent.

    Args:
        report: with `values`.
        measures: the columns.
        gallery_size: images in the gallery.
    """
    methods, s = report.values["methods"], report.settings
    head = ("", *measures, "MRR - prompt tuning [95%]", "p", "s a concept", "paper: MRR, DeepFashion2")
    rows = tuple(
        (
            row_label(name),
            *(percent(found[measure]) for measure in measures),
            *difference_cells(found.get("against prompt tuning")),
            f"{found['seconds a concept']:.2f}",
            PAPER.get(name, ""),
        )
        for name, found in methods.items()
    )
    first, learning = next(iter(methods.values()), {"n": 0}), s["learning"]
    note = (
        f"{s['dataset']}, {s['model']}: n = {first['n']} queries over {len(s['seeds'])} seeds, {gallery_size} "
        f"images in the gallery, {s['shots']} concept images, {learning['steps']} steps of learning at a rate of "
        f"{learning['learning_rate']:g}, {learning['n_vectors']} vectors. In percent; ± is the standard deviation "
        f"of the seeds' means. The difference is resampled in pairs over concepts (each one's mean over its queries)."
    )
    for name, found in methods.items():
        if "mixing weight" in found:
            weight = found["mixing weight"]
            note += f" {name}: mixing weight {weight['mean']:.2f} ± {weight['sd']:.2f} over the queries."
    if faces := report.values.get("redacted"):
        note += (
            f" Frontal faces that a detector found are blacked out in the concept images: {faces['faces']} "
            f"in {faces['photos']} of {faces['of photos']}."
        )
    note += left_out_note(report.values["skipped"])
    return Table("Table 4: text-to-image retrieval of concepts", head, rows, note)


def mrr_figure(methods: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Table 4 as bars: MRR in percent, the seeds' deviation, and the paper's own value."""
    figure = new_figure(1, 5.6, 0.8 + 0.26 * len(methods))
    (axes,) = figure.axes
    places = range(len(methods))
    means, deviations = ([100 * found["MRR"][key] for found in methods.values()] for key in ("mean", "sd"))
    colors = ["C0" if name.startswith(OURS) else "0.65" for name in methods]
    axes.barh(places, means, 0.65, xerr=deviations, color=colors, error_kw={"linewidth": 1, "capsize": 2})
    theirs = [
        (place, *map(float, PAPER[name].split(" ± "))) for place, name in enumerate(methods) if name in PAPER
    ]
    if theirs:
        rows, values, spread = zip(*theirs, strict=True)
        label = "paper, DeepFashion2"
        axes.errorbar(values, rows, xerr=spread, fmt="D", color="C3", markersize=4, linewidth=1, label=label)
        figure.legend(fontsize=7, loc="outside upper right")
    axes.set_yticks(places, list(methods))
    axes.set(xlabel="MRR, %", xlim=(0, 100))
    axes.invert_yaxis()
    return figure


def hits_figure(
    cells: TokenCells,
    study: Study,
    name: str,
    answers: Sequence[tuple[float, Sequence[str]]],
    data: RetrievalSet,
    weights: Sequence[float] | None,
) -> Image.Image:
    """Figure 6 of a concept: its queries, what they draw, what was asked for, and the first hits.

    Args:
        cells: keep the token.
        study: of the concept.
        name: of the method.
        answers: reciprocal rank and the first hits' ids, by query.
        data: holds the gallery.
        weights: the queries' mixing weights, with GAIR.
    """
    gallery = {picture.id: picture for picture in data.gallery}
    queries, photos = study.queries[:QUERIES], study.concept.images
    drawn = _query_images(cells, study, name, weights) if name in (OURS, f"{OURS} + GAIR") else []
    rows = []
    for i, (query, (reciprocal, hits)) in enumerate(zip(queries, answers[: len(queries)], strict=True)):
        row = [SheetCell(photos[i % len(photos)].image(_SIDE))]
        if drawn:
            row.append(SheetCell(drawn[i].image(_SIDE), f"w = {weights[i]:.2f}" if weights else ""))
        truth = next(image for image in (*hits, *sorted(query.relevant)) if image in query.relevant)
        rank = f"rank {round(1 / reciprocal)}" if reciprocal else "not found"
        row.append(SheetCell(gallery[truth].image(_SIDE), rank))
        for hit in hits:
            row.append(SheetCell(gallery[hit].image(_SIDE), frame=_RIGHT if hit in query.relevant else ""))
        rows.append((query.text(f"* {study.concept.parent}"), row))
    ranks = map(str, range(1, HITS + 1))
    columns = ["concept", *(["drawn from the query"] if drawn else []), "ground truth", *ranks]
    return grid(rows, columns, title=f"{study.concept.name}: {name}", side=_SIDE)


def _query_images(
    cells: TokenCells, study: Study, name: str, weights: Sequence[float] | None
) -> list[Picture]:
    """An image of each query that is shown; with GAIR that of the selected weight, from the noise that it saw."""
    queries, generator = study.queries[:QUERIES], study.generator
    assert generator is not None

    def draw() -> bytes:
        vectors = token_vectors(study, cells.token(study, GAIR.get(name, name)))
        mixtures = [query_mixture(study, query, vectors) for query in queries]
        selected = weights or [1.0] * len(queries)
        rows = [mixture.conditioning(w) for mixture, w in zip(mixtures, selected, strict=False)]
        return sheet(generator, torch.stack(rows), 1, GairConfig().sampling)

    key = digest([[query.text("") for query in queries], list(weights or ())])
    file = cells.work_with_generator.file(f"{cell_name(study, name)}-{key}.png", draw)
    return tiles(file, len(queries), 1)
