"""How often negatives out of a gallery show the concept itself, and how many lookalikes are left among them.

    python -m gair_search.benchmarks.scripts.negatives [--seeds 7 8 100 101] [--photos PHOTOS] [--photo-seeds 7 8 100]

Concepts of the fashion world and, with `--photos`, DreamBooth's subjects. A lookalike is another instance of the same
words (fashion) or class (photos); its share is of those lookalikes that would be negatives if nothing but the concept
itself were left out. Labels are used to count, never to choose. Beside the library's rule stands the simple one: a
negative is less like the concept's mean than its photos are to each other. Prints a Markdown table.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import RetrievalSet
from gair_search.benchmarks.datasets.dreambooth import dreambooth
from gair_search.benchmarks.datasets.fashion import N_KINDS, fashion_world
from gair_search.benchmarks.harness.cells import Work
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.learning.config import config_for
from gair_search.learning.negatives import LOOK_AT, N_NEGATIVES, likeness, unlike_concept
from gair_search.learning.preparation import view_features

Rule = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.intp]]


def unlike_the_mean(candidates: NDArray[np.float32], concept: NDArray[np.float32]) -> NDArray[np.intp]:
    """The simple rule, arguments as of `unlike_concept`."""
    rows = concept.reshape(-1, concept.shape[-1])
    mean = rows.mean(0)
    return np.flatnonzero(candidates @ (mean / np.linalg.norm(mean)) < likeness(rows))[:N_NEGATIVES]


RULES: dict[str, Rule] = {"cosine to the mean": unlike_the_mean, "whitened, nearest photo": unlike_concept}


def measure(
    encoder: Encoder, data: RetrievalSet, families: Mapping[str, str], seed: int, work: Work, rule: Rule
) -> list[tuple[int, int, float]]:
    """Of each concept: its negatives, how many show it, and the share of lookalikes that are kept.

    Args:
        encoder: the model.
        data: concepts and gallery, with `instances`.
        families: instance -> what it shares with its lookalikes.
        seed: of the views.
        work: keeps features.
        rule: what negatives are.
    """
    features = work.features(encoder, data.gallery)
    shown = np.array([data.instances[picture.id] for picture in data.gallery])
    found = []
    for concept in data.concepts:
        own = {picture.id for picture in concept.images}
        rows = np.flatnonzero([picture.id not in own for picture in data.gallery])
        (plain,) = encoder.encode_texts([f"image of a {concept.parent}"])
        rows = rows[np.argsort(-(features[rows] @ plain), kind="stable")][:LOOK_AT]
        photos = [picture.image(512) for picture in concept.images]
        views = view_features(photos, encoder, config_for(encoder.spec).views, seed)
        negatives = rows[rule(features[rows], views)]
        wanted = rows[shown[rows] != concept.name][:N_NEGATIVES]
        alike = wanted[[families[name] == families[concept.name] for name in shown[wanted]]]
        kept = float(np.isin(alike, negatives).mean()) if len(alike) else np.nan
        found.append((len(negatives), int((shown[negatives] == concept.name).sum()), kept))
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 100, 101])
    parser.add_argument("--photos", type=Path, help="folder of the DreamBooth photos")
    parser.add_argument("--photo-seeds", type=int, nargs="+", default=[7, 8, 100])
    parser.add_argument("--work", type=Path, help="where features are kept")
    args = parser.parse_args()
    encoder, work = Encoder(resolve(args.model)), Work("negatives", {}, args.work)
    rows: dict[str, list[tuple[int, int, float]]] = {}

    def add(what: str, data: RetrievalSet, families: Mapping[str, str], seed: int) -> None:
        for name, rule in RULES.items():
            found = measure(encoder, data, families, seed, work, rule)
            rows.setdefault(f"{what} | {name}", []).extend(found)

    for seed in args.seeds:
        data = fashion_world(seed)
        families = {name: str(int(name.split("-")[1]) % N_KINDS) for name in set(data.instances.values())}
        add("fashion world", data, families, seed)
    for seed in args.photo_seeds if args.photos else ():
        data = dreambooth(args.photos, 3, seed)
        parents = {concept.name: concept.parent for concept in data.concepts}
        add("DreamBooth", data, parents, seed)
    print("| data | rule | concepts | with a negative that shows it | such negatives | lookalikes kept |")
    print("|---|---|---|---|---|---|")
    for name, own in rows.items():
        counts = np.array(own)
        share, kept = counts[:, 1].sum() / counts[:, 0].sum(), np.nanmean(counts[:, 2])
        print(f"| {name} | {len(own)} | {int((counts[:, 1] > 0).sum())} | {share:.2%} | {kept:.0%} |")


if __name__ == "__main__":
    main()
