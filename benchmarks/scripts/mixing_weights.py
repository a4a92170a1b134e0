"""Table 4 at constant mixing weights: MRR of q(w) for w = 0, 0.1, ... 1, with no picture drawn.

    python -m gair_search.benchmarks.scripts.mixing_weights [--limit 10] [--seeds 0 1 2] [--without-training-places]

Concepts, tokens and queries are those of `gair bench retrieval`; learned tokens are kept in its work folder and taken
from there. With `--without-training-places` the gallery holds no view in a place where a concept was learned; `--gair`
adds the column of GAIR's own weights. Prints a Markdown table in percent.
"""

import argparse
from pathlib import Path

import numpy as np

from gair_search.benchmarks.harness.run import load_own_generator
from gair_search.benchmarks.harness.token_cells import TokenCells, token_vectors
from gair_search.benchmarks.methods.concepts import OURS, PROMPT_TUNING, query_mixture
from gair_search.benchmarks.tables.retrieval import (
    RetrievalConfig,
    rank_gallery,
    retrieval_studies,
)
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve

WEIGHTS = tuple(round(0.1 * i, 1) for i in range(11))


def mrr_by_weight(
    encoder: Encoder, config: RetrievalConfig, work: Path | None, gair: bool
) -> dict[str, dict[str, float]]:
    """Method -> column -> MRR over all queries of all seeds.

    Args:
        encoder: a model with a generator.
        config: of the run; its methods are those whose tokens are mixed.
        work: where tokens are kept; `GAIR_HOME/bench` unless given.
        gair: whether GAIR's own weights are measured, too.
    """
    generator, _ = load_own_generator(encoder)
    identity = generator.identity if generator else None
    cells = TokenCells(encoder, config.token_key(encoder), identity, work)
    found: dict[str, dict[str, list[float]]] = {}
    for seed in config.seeds:
        data = config.load(seed)
        gallery = cells.work.features(encoder, data.gallery)
        for study in retrieval_studies(encoder, data, gallery, cells.work, config, generator, seed):
            for method in config.rows:
                own = found.setdefault(method, {})
                vectors = token_vectors(study, cells.token(study, method))
                mixtures = [query_mixture(study, query, vectors) for query in study.queries]
                columns = {f"{w:g}": [one.query_vector(w) for one in mixtures] for w in WEIGHTS}
                if gair:
                    columns["GAIR"] = list(cells.query_vectors(study, f"{method} + GAIR")[0])
                for column, rows in columns.items():
                    for query, row in zip(study.queries, rows, strict=True):
                        answer = rank_gallery(data, gallery, query, row, seed, method, None)
                        own.setdefault(column, []).append(answer.values["MRR"])
    return {
        method: {column: float(np.mean(values)) for column, values in own.items()}
        for method, own in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=10, help="concepts a seed")
    parser.add_argument("--steps", type=int, help="of learning; the model's own unless given")
    parser.add_argument("--methods", nargs="+", default=[PROMPT_TUNING, OURS])
    parser.add_argument("--without-training-places", action="store_true")
    parser.add_argument("--gair", action="store_true")
    parser.add_argument("--work", type=Path, help="where tokens are kept")
    args = parser.parse_args()
    world = {"elsewhere": False} if args.without_training_places else {}
    config = RetrievalConfig(
        seeds=tuple(args.seeds), limit=args.limit, methods=tuple(args.methods), steps=args.steps, world=world
    )
    found = mrr_by_weight(Encoder(resolve(args.model)), config, args.work, args.gair)
    columns = list(next(iter(found.values())))
    print(f"| w | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for method, own in found.items():
        print(f"| {method} | {' | '.join(f'{100 * own[column]:.1f}' for column in columns)} |")


if __name__ == "__main__":
    main()
