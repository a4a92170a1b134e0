"""Table 2 beside the paper's, and what each method draws."""

from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.trials import Trial
from gair_search.benchmarks.harness.measures import Summary
from gair_search.benchmarks.harness.report import (
    Report,
    Table,
    difference_cells,
    left_out_note,
)
from gair_search.benchmarks.harness.sheets import SIDE, SheetCell, grid
from gair_search.benchmarks.methods.concepts import OURS, row_label

BASELINE = "textual inversion"

PAPER = {
    "chance": (("0.166", "0.100", "0.133"), ("0.166", "0.100", "0.133")),
    BASELINE: (("0.975", "0.118", "0.546"), ("0.983", "0.098", "0.541")),
    OURS: (("0.942", "0.456", "0.699"), ("0.967", "0.438", "0.702")),
}
"""Table 2: object, context, average; by CLIP, and by ALIGN. Textual inversion is the one through CLIP."""

PAPER_BERT = (("0.621", "0.743", "0.682"), ("0.764", "0.754", "0.759"))
"""Textual inversion through BERT in latent diffusion, which is no row of ours."""


def generation_table(report: Report, judge: str, place: int, measures: Sequence[str]) -> Table:
    """Table 2 by one judge: the first beside the paper's by CLIP, the second beside that by ALIGN.

    Args:
        report: with `values`.
        judge: its name.
        place: 0 for the first judge, 1 for the second.
        measures: the columns; the paper has the first three.
    """
    s, chance = report.settings, report.values["chance"]
    encoder = ("CLIP", "ALIGN")[place]
    head = (
        "",
        *measures,
        "average - textual inversion [95%]",
        "p",
        *(f"paper, {encoder}: {name}" for name in measures[:3]),
    )
    average = (chance["object"] + chance["context"]) / 2
    guessed = (chance["object"], chance["context"], average, chance["object of all"])
    rows = [("chance", *(f"{value:.3f}" for value in guessed), "", "", *PAPER["chance"][place])]
    for name, found in report.values["judges"][judge].items():
        rows.append(
            (
                row_label(name),
                *(f"{Summary(found[m]['mean'], found[m]['sd'], found[m]['n']):.3f}" for m in measures),
                *difference_cells(found.get("against textual inversion"), "+.3f"),
                *(PAPER[name][place] if name in PAPER else ("",) * 3),
            )
        )
    n = next(iter(report.values["judges"][judge].values()))["n"]
    how = s["sampling"]
    note = (
        f"{s['dataset']}, {s['model']}: n = {n} concepts over {len(s['seeds'])} seeds, {len(s['contexts'])} contexts x "
        f"{s['images']} images each, {how['scheduler']}, {how['steps']} steps, guidance {how['guidance']:g}; "
        f"{s['shots']} concept images, {s['learning']['steps']} steps of learning. ± is the standard deviation of the "
        f"seeds' means. Object: nearest to the concept among the {1 / chance['object']:.0f} of a seed's run, and among "
        f"all {1 / chance['object of all']:.0f} of the data set. The difference is resampled in pairs over concepts. "
        f"The paper: Textual Inversion's photos, Stable Diffusion 1.4; textual inversion through BERT, no row "
        f"here, has {', '.join(PAPER_BERT[place])}."
    )
    if blanks := {name: count for name, count in report.values["blank images"].items() if count}:
        note += f" Blank images, which show nothing: {', '.join(f'{k} {v}' for k, v in blanks.items())}."
    note += left_out_note(report.values["skipped"])
    who = f"{judge}, the encoder that tokens are learned with" if place == 0 else judge
    return Table(f"Table 2: what tokens draw, judged by {who}", head, tuple(rows), note)


def context_grid(
    trial: Trial, contexts: Sequence[str], sheets: Mapping[str, Sequence[Picture]]
) -> Callable[[], Image.Image]:
    """A concept's picture: its images, then a row a method with the first image of each context."""

    def draw() -> Image.Image:
        rows: dict[str, Sequence[Picture]] = {
            f"{trial.concept.name}, learned from": trial.concept.images[: len(contexts)]
        }
        rows |= {name: shown[:: len(shown) // len(contexts)] for name, shown in sheets.items()}
        return grid(
            [(name, [SheetCell(one.image(SIDE)) for one in some]) for name, some in rows.items()], contexts
        )

    return draw
