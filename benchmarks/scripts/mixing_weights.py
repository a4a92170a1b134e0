"""Table 4 at constant mixing weights: MRR of q(w) for w = 0, 0.1, ... 1, with no picture drawn.

    python -m gair_search.benchmarks.scripts.mixing_weights [--limit 5] [--seeds 7 8 100 101]

Concepts, tokens, queries and galleries are those of `gair bench retrieval`; learned tokens are kept in its work folder
and taken from there. The constant control of GAIR is chosen by it on validation seeds, which are its default. `--gair`
adds the column of GAIR's own weights. Prints a Markdown table in percent, a row for each method and gallery.
"""

import argparse
from pathlib import Path

import numpy as np

from gair_search.benchmarks.harness.negatives import NegativeImages
from gair_search.benchmarks.harness.run import VALIDATION_SEEDS, load_own_generator
from gair_search.benchmarks.harness.token_cells import TokenCells
from gair_search.benchmarks.methods.concepts import OURS, PROMPT_TUNING
from gair_search.benchmarks.tables.retrieval import (
    RetrievalConfig,
    rank_galleries,
    retrieval_studies,
)
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve

WEIGHTS = tuple(round(0.1 * i, 1) for i in range(11))


def mrr_by_weight(
    encoder: Encoder, config: RetrievalConfig, work: Path | None, gair: bool
) -> dict[str, dict[str, float]]:
    """Method and gallery -> column -> MRR over all queries of all seeds.

    Args:
        encoder: a model with a generator.
        config: of the run; its methods are those whose tokens are mixed.
        work: where tokens are kept; `GAIR_HOME/bench` unless given.
        gair: whether GAIR's own weights are measured, too.
    """
    generator, _ = load_own_generator(encoder)
    identity = generator.identity if generator else None
    cells = TokenCells(encoder, config.token_key(encoder), identity, work)
    sources = NegativeImages(config.negatives, encoder, generator, cells.work_with_generator)
    found: dict[str, dict[str, list[float]]] = {}
    for seed in config.seeds:
        data = config.load(seed)
        gallery = cells.work.features(encoder, data.gallery)
        for study in retrieval_studies(encoder, data, gallery, cells.work, config, generator, seed, sources):
            for method in config.rows:
                mixtures = cells.mixtures(study, method)
                columns = {f"{w:g}": np.stack([one.at(w) for one in mixtures]) for w in WEIGHTS}
                if gair:
                    columns["GAIR"] = cells.query_vectors(study, f"{method} + GAIR")[0]
                for column, rows in columns.items():
                    for answer in rank_galleries(data, gallery, study, rows, method):
                        own = found.setdefault(f"{method}, {answer.gallery}", {})
                        own.setdefault(column, []).append(answer.values["MRR"])
    return {
        method: {column: float(np.mean(values)) for column, values in own.items()}
        for method, own in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(VALIDATION_SEEDS))
    parser.add_argument("--limit", type=int, default=5, help="concepts a seed")
    parser.add_argument("--steps", type=int, help="of learning; the model's own unless given")
    parser.add_argument("--methods", nargs="+", default=[PROMPT_TUNING, OURS])
    parser.add_argument("--gair", action="store_true")
    parser.add_argument("--work", type=Path, help="where tokens are kept")
    args = parser.parse_args()
    config = RetrievalConfig(
        seeds=tuple(args.seeds), limit=args.limit, methods=tuple(args.methods), steps=args.steps
    )
    found = mrr_by_weight(Encoder(resolve(args.model)), config, args.work, args.gair)
    columns = list(next(iter(found.values())))
    print(f"| w | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for method, own in found.items():
        print(f"| {method} | {' | '.join(f'{100 * own[column]:.1f}' for column in columns)} |")


if __name__ == "__main__":
    main()
