"""Where concepts that are learned together start (MC-TI): at words drawn from the vocabulary, or at the words' mean.

    python -m gair_search.benchmarks.scripts.together_start [--seeds 7 8] [--concepts 5]

Concepts of the fashion world, five pictures each, are learned with the model's own configuration from both starts.
Prints a Markdown table: the accuracy on the concepts' pictures in places that were not learned from, and the last
held-out loss, as means over the seeds.
"""

import argparse
from collections.abc import Callable
from unittest import mock

import numpy as np
from torch import Tensor

from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.encoder.text_tower import TextTower
from gair_search.generation.generator import Generator
from gair_search.learning import attributes, several
from gair_search.learning.config import Method
from gair_search.tokens import facts

Start = Callable[[TextTower, int, int, int], Tensor]


def mean_start(tower: TextTower, n_classes: int, n_vectors: int, seed: int) -> Tensor:
    """All vectors at the mean of the vocabulary's embeddings, `[n_classes, n_vectors, text_width]`."""
    mean = attributes.average_embeddings(tower, attributes.vocabulary()).mean(0)
    return mean.expand(n_classes, n_vectors, -1).clone()


STARTS: dict[str, Start] = {"drawn words": several.first_class_vectors, "the words' mean": mean_start}


def measure(
    encoder: Encoder, generator: Generator, method: Method, start: Start, seed: int, concepts: int
) -> tuple[float, float]:
    """Accuracy on pictures of other places, and the last held-out loss."""
    data = fashion_world(seed, concepts=concepts, distractors=0, kinds=concepts, elsewhere=False)
    photos = {f"c{i}": [one.image(None) for one in own.images] for i, own in enumerate(data.concepts)}
    with mock.patch.object(several, "first_class_vectors", start):
        learned = several.learn_together(
            photos, encoder, method=method, generator=generator if method == "joint" else None, seed=seed
        )
    views = len(data.gallery) // concepts
    features = encoder.encode_images([picture.image(None) for picture in data.gallery])
    truth = np.repeat([f"c{i}" for i in range(concepts)], views)
    named = learned.classifier.classify(learned.classifier.features.new_tensor(features))
    return float((np.array(named) == truth).mean()), facts.held_out(learned.tokens[0])[-1][1]


def main() -> None:
    """Learn with both methods from both starts, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8])
    parser.add_argument("--concepts", type=int, default=5)
    args = parser.parse_args()
    encoder = Encoder(resolve("gair-mini"), "cpu")
    generator = Generator.load(encoder)
    print("| method | start | accuracy | held-out loss |\n|---|---|---|---|")
    methods: tuple[Method, ...] = ("prompt tuning", "joint")
    for method in methods:
        for name, start in STARTS.items():
            found = [measure(encoder, generator, method, start, seed, args.concepts) for seed in args.seeds]
            accuracy, loss = np.mean(found, axis=0)
            print(f"| {method} | {name} | {accuracy:.3f} | {loss:.4f} |", flush=True)


if __name__ == "__main__":
    main()
