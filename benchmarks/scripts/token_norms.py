"""Norms of learned tokens beside those of the attributes, by the model's own settings (Perera et al., figure 4 iv).

    python -m gair_search.benchmarks.scripts.token_norms [--seed 7] [--concepts 15] [--methods prompt-tuning joint]

Concepts of the fashion world are learned as `gair learn` does: five photos, of which one chooses the step and one is
reported on, and negatives out of the gallery that are nearest to 'image of a c', the concept's own views left out by
label. Prints a Markdown table: tokens whose mean norm lies within the attributes' range, and how far it lies above the
range's top.
"""

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import Concept
from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.generation.generator import Generator
from gair_search.learning.config import Method, config_for
from gair_search.learning.lessons import learn_token
from gair_search.learning.negatives import N_NEGATIVES
from gair_search.learning.report import describe, read_quality

ROWS: tuple[tuple[Method, bool], ...] = (
    ("prompt tuning", False),
    ("prompt tuning", True),
    ("textual inversion", False),
    ("textual inversion", True),
    ("joint", False),
    ("joint", True),
)
"""Losses, and whether the vectors are held in the attributes' subspace."""


def norm_over_top(
    encoder: Encoder,
    generator: Generator,
    concept: Concept,
    others: NDArray[np.float32],
    method: Method,
    projection: bool,
) -> tuple[float, bool]:
    """A token's mean norm over the highest of the attributes', and whether it lies within their range.

    Args:
        encoder, generator: of one model.
        concept: what is learned.
        others: image features that do not show it, `[N, embed_dim]`.
        method, projection: a row.
    """

    def nearest(parent: NDArray[np.float32], _: NDArray[np.float32]) -> NDArray[np.float32]:
        return others[np.argsort(-(others @ parent), kind="stable")[:N_NEGATIVES]]

    token = learn_token(
        "it",
        [picture.image() for picture in concept.images],
        concept.parent,
        encoder,
        nearest,
        config=replace(config_for(encoder.spec), projection=projection),
        method=method,
        generator=None if method == "prompt tuning" else generator,
    ).token
    quality, norm = read_quality(token), float(np.mean(describe(token)["norms"]))
    assert quality is not None
    top = quality["norm_highest"]
    return norm / top, quality["norm_lowest"] <= norm <= top


def main() -> None:
    parser = argparse.ArgumentParser(description="Norms of learned tokens beside the attributes'.")
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--concepts", type=int, default=15)
    parser.add_argument("--methods", nargs="+", default=["prompt-tuning", "textual-inversion", "joint"])
    args = parser.parse_args()
    encoder = Encoder(resolve(args.model))
    generator = Generator.load(encoder)
    data = fashion_world(args.seed)
    gallery = encoder.encode_images([picture.image() for picture in data.gallery])
    print("| losses | subspace | tokens | within the range | mean norm over its top |\n|---|---|---|---|---|")
    for method, projection in ROWS:
        if method.replace(" ", "-") not in args.methods:
            continue
        found = []
        for concept in data.concepts[: args.concepts]:
            others = gallery[[picture.id.partition("/")[0] != concept.name for picture in data.gallery]]
            found.append(norm_over_top(encoder, generator, concept, others, method, projection))
        ratios = np.array([ratio for ratio, _ in found])
        spread = (
            f"{ratios.mean():.2f} ± {ratios.std(ddof=1):.2f}" if len(found) > 1 else f"{ratios.mean():.2f}"
        )
        within, shown = sum(inside for _, inside in found), "yes" if projection else "no"
        print(f"| {method} | {shown} | {len(found)} | {within} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
