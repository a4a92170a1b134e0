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
    comparisons_table,
    holm_cells,
    interval_cell,
    left_out_note,
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


def retrieval_tables(report: Report, measures: Sequence[str]) -> list[Table]:
    """Table 4 beside the paper's, one for each gallery, in percent; then the rows that are compared with each other."""
    found = []
    for gallery, size in report.values["galleries"].items():
        found.append(gallery_table(report, measures, gallery, size))
        for family, title in (("ladder", "rows compared"), ("GAIR", "GAIR and its controls")):
            if own := report.values["comparisons"][gallery][family]:
                found.append(comparisons_table(own, f"Table 4, {title}{_named(gallery)}"))
    return found


def gallery_table(report: Report, measures: Sequence[str], gallery: str, size: int) -> Table:
    """Table 4 of one gallery.

    Args:
        report: with `values`.
        measures: the columns.
        gallery: its name.
        size: images in it.
    """
    methods = report.values["methods"]
    compared = {one["a"]: one for one in report.values["comparisons"][gallery]["prompt tuning"]}
    head = (
        "", "MRR [95%]", *measures[1:], "MRR - prompt tuning [95%]", "p, Holm", "s a concept",
        "paper: MRR, DeepFashion2",
    )  # fmt: skip
    rows = tuple(
        (
            row_label(name),
            interval_cell(found["galleries"][gallery]["interval"]),
            *(f"{100 * found['galleries'][gallery][measure]['mean']:.1f}" for measure in measures[1:]),
            *holm_cells(compared.get(name)),
            f"{found['seconds a concept']:.2f}",
            PAPER.get(name, ""),
        )
        for name, found in methods.items()
    )
    return Table(
        f"Table 4: text-to-image retrieval of concepts{_named(gallery)}",
        head,
        rows,
        _note(report, gallery, size),
    )


def _note(report: Report, gallery: str, size: int) -> str:
    """What a gallery's figures are of."""
    s, methods = report.settings, report.values["methods"]
    nothing: dict[str, Any] = {"galleries": {gallery: {"n": 0, "interval": {"n": 0}}}}
    counts, learning = next(iter(methods.values()), nothing)["galleries"][gallery], s["learning"]
    note = (
        f"{s['dataset']}, {s['model']}: {counts['n']} queries of {counts['interval']['n']} concepts, {len(s['seeds'])} "
        f"seeds, {size} images in the gallery, {s['shots']} concept images, {learning['steps']} steps of learning at a "
        f"rate of {learning['learning_rate']:g}, {learning['n_vectors']} vectors, negatives: {s['negatives']}. In "
        f"percent; intervals and differences are resampled over concepts (each one's mean over its queries and seeds), "
        f"p is corrected over the column."
    )
    if mistakes := report.values.get("negatives"):
        note += (
            f" Transductive: negatives are of the gallery that is searched; {mistakes['showing the concept']} of "
            f"{mistakes['images']} show the concept itself, of {mistakes['concepts with any']} of "
            f"{mistakes['concepts']} concepts."
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
    return note + left_out_note(report.values["skipped"])


def _named(gallery: str) -> str:
    return f", {gallery}" if gallery else ""


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
