"""Tables 1 and 3 beside the paper's, the likes of figures 1 and 4."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.figures import new_figure
from gair_search.benchmarks.harness.learned_tokens import LearnedTokens
from gair_search.benchmarks.harness.measures import Summary
from gair_search.benchmarks.harness.report import (
    Report,
    Table,
    difference_cells,
    left_out_note,
    percent,
)
from gair_search.benchmarks.harness.sheets import (
    SIDE,
    SheetCell,
    block,
    grid,
    sheet,
    tiles,
)
from gair_search.benchmarks.harness.token_cells import cell_name
from gair_search.benchmarks.methods.concepts import (
    OURS,
    PROMPT_TUNING,
    Study,
    row_label,
)
from gair_search.benchmarks.methods.prompts import context_conditioning
from gair_search.generation.sampling import SamplingConfig
from gair_search.learning.config import LearningConfig
from gair_search.learning.report import affinity
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AUCS = ("concept / parent", "concept / others", "parent / others")
"""Table 3's, of f(x) . tau_*."""

ACCURACIES = ("accuracy (c)", "accuracy (* c)")
"""Table 1's: parent and concept pictures that 'image of a c' against 'image of a * c' puts on the right side."""

PAPER_TABLE_3 = {
    PROMPT_TUNING: ("100.0 ± 0.0", "100.0 ± 0.0", "58.9 ± 25.2"),
    "textual inversion": ("58.9 ± 42.1", "80.5 ± 30.4", "70.5 ± 16.0"),
    OURS: ("98.9 ± 2.2", "100.0 ± 0.0", "85.5 ± 11.4"),
}
"""AUC in percent, ± over five concepts of Textual Inversion."""

PAPER_TABLE_1 = {
    (0.0, 1.0): ("98.5", "100"),
    (1.0, 0.1): ("99.2", "100"),
    (1.0, 0.001): ("93.3", "100"),
    (1.0, 0.0): ("100", "0.0"),
}
"""Accuracies in percent, on one concept: a teapot."""

ATTRIBUTES = "attributes"
"""Row of figure 4: the attributes' own embeddings."""

SAMPLES = 4
"""Images of each token in figure 1."""


@dataclass(frozen=True)
class FigureConcept:
    """A concept for the figures: its study, and its tokens `[n_vectors, text_width]` by method and loss weights."""

    study: Study
    tokens: dict[str, Tensor]


def token_aucs_table(report: Report, how: LearningConfig) -> Table:
    head = ("", *AUCS, "mean - prompt tuning [95%]", "p", "s a concept", *(f"paper: {name}" for name in AUCS))
    rows = []
    for name, found in report.values["methods"].items():
        rows.append(
            (
                row_label(name),
                *(_percent_with_seeds(found.get(measure)) for measure in AUCS),
                *difference_cells(found.get("against prompt tuning")),
                f"{found['seconds a concept']:.2f}",
                *PAPER_TABLE_3.get(name, ("",) * len(AUCS)),
            )
        )
    s = report.settings
    first: dict[str, Any] = next(iter(report.values["methods"].values()), {})
    with_parents = first.get(AUCS[0], {}).get("n", 0)
    note = (
        f"{s['dataset']}, {s['model']}: ROC AUC in percent of f(x) . tau_*, of n = {first.get('n', 0)} concepts over "
        f"{len(s['seeds'])} seeds ({with_parents} with pictures of the parent); {s['shots']} "
        f"concept images, {how.steps} steps at a rate of {how.learning_rate:g}, {how.n_vectors} vectors, loss weights "
        f"({how.lambda_sd:g}, {how.lambda_ce:g}). ± is the standard deviation over the concepts, as in the paper; in "
        f"brackets that of the seeds' means. The difference is of the mean of the three, resampled in pairs over "
        f"concepts. The paper: five concepts of Textual Inversion among Caltech-256, Stable Diffusion 1.4, 10 vectors."
    )
    note += left_out_note(report.values["skipped"])
    return Table("Table 3: what a token tells apart", head, tuple(rows), note)


def loss_weights_table(report: Report, swept: Mapping[str, LearningConfig]) -> Table:
    head = ("(lambda_SD, lambda_CE)", *ACCURACIES, *AUCS, *(f"paper: {name}" for name in ACCURACIES))
    rows = []
    for name, how in swept.items():
        found = report.values["loss weights"][name]
        rows.append(
            (
                name,
                *(_percent_with_seeds(found.get(measure)) for measure in (*ACCURACIES, *AUCS)),
                *PAPER_TABLE_1.get((how.lambda_sd, how.lambda_ce), ("", "")),
            )
        )
    note = (
        "Without projection. Accuracy: of pictures of the parent and of the concept, told by the larger of "
        "f(x) . tau_parent and f(x) . tau_*. In percent, ± over the concepts, in brackets that of the seeds' means. "
        "The paper: one teapot of Caltech-256."
    )
    return Table("Table 1: loss weights", head, tuple(rows), note)


def _percent_with_seeds(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{percent(found)} ({100 * found['sd of seeds']:.1f})"


def embeddings_table(report: Report) -> Table:
    """Norms and cosines as numbers."""
    values = report.values["embeddings"]
    own = values[ATTRIBUTES]
    rows = tuple(
        (
            _with_loss_weights(name, report.values["loss weights"]),
            *(f"{Summary(v['mean'], v['sd'], v['n']):.3f}" for v in (found["norm"], found["cosine"])),
            f"{(found['norm']['mean'] - own['norm']['mean']) / own['norm']['sd']:+.2f}",
        )
        for name, found in values.items()
    )
    head = ("", "L2 norm", "cosine to the attributes", "norm, in the attributes' deviations from their mean")
    note = (
        "Norms of all vectors of all tokens; cosines between a token's mean vector and each attribute's average "
        "embedding, of the attributes between each two of them. ± is the standard deviation over these. The paper, "
        "of a teapot: textual inversion has more than 50 times the attributes' norm, joint much less, and with the "
        "projection it is within one deviation of theirs; only then is it similar to them."
    )
    return Table("Figure 4: learned vectors and the attributes' embeddings", head, rows, note)


def _with_loss_weights(name: str, swept: Mapping[str, Any]) -> str:
    return f"loss weights {name}" if name in swept else name


def embeddings_figure(values: Mapping[str, Any]) -> "Figure":
    """Figure 4: norms (iv), and correlations with the attributes (i to iii), a box a method."""
    figure = new_figure(2, 3.6, 0.9 + 0.25 * len(values))
    names = list(values)
    labels = {"norm": "L2 norm of the vectors", "cosine": "cosine of their mean to each attribute"}
    for axes, (what, label) in zip(figure.axes, labels.items(), strict=True):
        for y, name in enumerate(names):
            low, first, middle, third, high = values[name][what]["quantiles"]
            color = "0.6" if name == ATTRIBUTES else "C0"
            axes.hlines(y, low, high, color=color, linewidth=1)
            axes.barh(y, third - first, 0.6, first, color=color, alpha=0.45, linewidth=0)
            axes.vlines(middle, y - 0.3, y + 0.3, color="black", linewidth=1)
            axes.plot(values[name][what]["mean"], y, "k.", markersize=3)
        own = values[ATTRIBUTES][what]
        axes.axvspan(own["mean"] - own["sd"], own["mean"] + own["sd"], color="0.6", alpha=0.2, linewidth=0)
        axes.axvline(own["mean"], color="0.6", linewidth=0.8, linestyle="--")
        axes.set(xlabel=label)
    norms = [found["norm"]["quantiles"] for found in values.values()]
    if max(row[-1] for row in norms) > 20 * min(row[0] for row in norms) > 0:
        figure.axes[0].set_xscale("log")
    figure.axes[0].set_yticks(range(len(names)), [f"loss weights {n}" if n[0] == "(" else n for n in names])
    figure.axes[0].invert_yaxis()
    legend = "box: quartiles; line: 5% to 95%; dot: mean; band: the attributes' mean and standard deviation"
    figure.suptitle(legend, fontsize=7)
    return figure


def affinity_figure(one: FigureConcept, names: Sequence[str]) -> "Figure":
    """Figure 4 (i to iii) of one concept: cosines among attributes, and of each method's token with them."""
    tower, words = one.study.encoder.text_tower, one.study.attributes
    rows = []
    for name in names:
        token = CustomToken("c", one.tokens[name].float().cpu().numpy(), tower.table_hash)
        labels, cosines = affinity(token, tower, words)
        rows.append(cosines[-1, :-1])
    matrix, shown = np.vstack([cosines[:-1, :-1], rows]), len(labels) - 1
    figure = new_figure(1, 2.4 + 0.17 * shown, 1.2 + 0.17 * len(matrix))
    (axes,) = figure.axes
    # clipped at 0.4 as in the paper, unless that hides what tokens differ in
    seen = axes.imshow(matrix, "Blues", vmin=0, vmax=max(0.4, float(np.max(rows))))
    axes.axhline(shown - 0.5, color="black", linewidth=1)
    axes.set_xticks(range(shown), labels[:-1], rotation=90, fontsize=7)
    axes.set_yticks(range(len(matrix)), [*labels[:-1], *names], fontsize=7)
    axes.set_title(f"cosines, {one.study.concept.name} ({one.study.concept.parent})", fontsize=8)
    figure.colorbar(seen, ax=axes, shrink=0.5)
    return figure


def loss_weights_picture(
    lessons: LearnedTokens,
    shown: Sequence[FigureConcept],
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
    means: Mapping[str, Any],
    folder: Path | None,
) -> Image.Image:
    """Figure 1: 'image of a * c' by tokens of all loss weights, drawn from the same noise."""
    generator = lessons.generator
    assert generator is not None
    sampling = generator.complete_sampling(SamplingConfig())
    facts = {"generator": generator.identity, "sampling": asdict(sampling), "images": SAMPLES}
    work, side = Work("recognition", lessons.image_key(facts), folder), 2 * SIDE
    rows = []
    for study, tokens in ((one.study, one.tokens) for one in shown):
        concept, label = study.concept, f"seed{study.seed}/{study.concept.name}"
        cells = [SheetCell(concept.images[0].image(side), "learned from")]
        for name in means:

            def draw(parent: str = concept.parent, vectors: Tensor = tokens[name]) -> bytes:
                tower = lessons.encoder.text_tower
                conditioning = context_conditioning(tower, parent, vectors, ("",))
                return sheet(generator, conditioning, SAMPLES, sampling)

            file = work.file(f"{cell_name(study, name)}.png", draw)
            images = [ImageOps.fit(tile.image(), (SIDE, SIDE)) for tile in tiles(file, 1, SAMPLES)]
            cells.append(SheetCell(block(images, 2), _accuracies(found[name][label])))
        rows.append((f"{concept.name}\n{concept.parent}", cells))
    feet = ["(lambda_SD, lambda_CE)\nmean accuracy"] + [
        f"{name}\n{_accuracies({m: v['mean'] for m, v in means[name].items() if m in ACCURACIES})}"
        for name in means
    ]
    title = (
        "'image of a * c' by tokens of different loss weights, and what share of held-out pictures they tell"
    )
    return grid(rows, (), feet, title, side)


def _accuracies(values: Mapping[str, float]) -> str:
    """As `c 98%   * c 100%`; what wasn't measured is left out."""
    labels = zip(("c", "* c"), ACCURACIES, strict=True)
    return "   ".join(f"{short} {values[name]:.0%}" for short, name in labels if name in values)
