"""GAIR's search for the mixing weight: all candidates in a batch, coarse to fine, against the plain loop.

    python benchmarks/gair_speed.py [--model gair-mini] [--generator FOLDER] [--queries 24] [--seeds 0 1 2]

The loop is Algorithm 1 as written: 11 candidates, 0 to 1 in tenths, drawn and embedded one by one. Both draw the
same noise with the same scheduler, steps and guidance, and read nothing from disk. Measured for each query and
seed: seconds, images and rows through the denoiser; whether the same weight is selected, exactly (which only a
refinement on tenths can) and within a tenth; and by how much the score of what is selected falls short of the loop's.

Concepts are those of `--concepts`, with what their files say; or else instances of the fashion world's test
split, whose stand-in tokens are the embeddings of the words that describe them, with noise. Such stand-ins do for
speed and agreement, and for nothing else. Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from gair_search.clip import Clip
from gair_search.errors import ConceptError
from gair_search.gair import (
    COARSE,
    STEP,
    GairOptions,
    Mixture,
    aligned,
    context_score,
    mixture,
    object_score,
    plain_loop,
    select,
)
from gair_search.generator import SCHEDULERS, Generator, Sampling
from gair_search.models import resolve
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore
from gair_search.visualize import Visualizer
from gair_search.world import BACKGROUNDS, instance, render, scene

ATTRIBUTES = "red, old, worn, bright, dark, pink"  # the paper's, section 5
TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
VIEWS, SIDE, N_VECTORS = 4, 128, 2


@dataclass(frozen=True)
class Run:
    """One way to search, on one query and seed."""

    scores: dict[float, float]
    seconds: float
    images: int
    rows: int

    @property
    def w(self) -> float:
        return select(self.scores)


def stand_in(number: int, seed: int, clip: Clip) -> CustomToken:
    """A token for an instance of the fashion world: its words' embeddings with noise, and its views' features."""
    item = instance(seed * 100_000 + number, "test")
    views = [scene(2_000_000 + VIEWS * number + i, "test", item=item) for i in range(VIEWS)]
    pixels = np.stack([clip.preprocessing.pixels(render(view, SIDE)) for view in views])
    tower = clip.text_tower
    words = torch.tensor(tower.token_ids(f"{item.color} {item.pattern}"))
    rows = aligned(tower.token_embeddings(words.to(clip.device)), N_VECTORS).cpu().numpy()
    noise = np.random.default_rng((seed, number)).normal(size=rows.shape) * 0.3 * rows.std()
    features = clip.encode_images(pixels).mean(axis=0)
    said = {facts.ATTRIBUTES: ATTRIBUTES, facts.CONCEPT_FEATURES: facts.pack(features)}
    name = f"stand-in-{number}"
    vectors = (rows + noise).astype(np.float32)
    return CustomToken(name, vectors, tower.table_hash, str(clip.embedder_id), item.kind, said)


def queries(tokens: Sequence[CustomToken], n: int) -> list[tuple[str, CustomToken]]:
    """`n` prompts with their concepts, each in another place."""
    places = [phrases[0] for phrases in BACKGROUNDS.values()]
    chosen = [tokens[i % len(tokens)] for i in range(n)]
    return [
        (f"a <{token.name}> {token.parent} {places[i % len(places)]}".replace("  ", " "), token)
        for i, token in enumerate(chosen)
    ]


def timed(work: Callable[[], tuple[dict[float, float], int]], generator: Generator) -> Run:
    """Run one way, its scores and number of images, and measure it."""
    rows, began = generator.denoiser_rows, time.perf_counter()
    scores, images = work()
    return Run(scores, time.perf_counter() - began, images, generator.denoiser_rows - rows)


def looped(
    told: Mixture, features: NDArray[np.float32], visualizer: Visualizer, options: GairOptions
) -> tuple[dict[float, float], int]:
    """The plain loop. Its context images are its own first candidate's."""
    context: list[NDArray[np.float32]] = []

    def evaluate(weights: Sequence[float]) -> dict[float, float]:
        (w,) = weights
        (drawn,) = visualizer.draw(told.conditioning([w]), options.seeds, options.sampling)
        image = drawn.features[None]
        if not context:
            context.append(image)
        return {w: min(object_score(image, features), context_score(image, context[0]))}

    scores = plain_loop(evaluate)
    return scores, len(scores)


def refined(
    told: Mixture, features: NDArray[np.float32], visualizer: Visualizer, options: GairOptions
) -> tuple[dict[float, float], int]:
    """Coarse to fine, each round in one batch: what `Engine.gair` does."""
    candidates, _ = visualizer.explore(told, features, options)
    return {w: one.score for w, one in candidates.items() if one.score is not None}, len(candidates)


LOOP = "plain loop of 11"
WAYS = {
    LOOP: (looped, COARSE),
    "coarse to fine from 0, .25, ...": (refined, COARSE),
    "coarse to fine from 0, .2, ...": (refined, TENTHS),
}


def row(name: str, runs: Sequence[Run], loops: Sequence[Run]) -> str:
    """A line of the table, against the loop on the same queries."""
    seconds = sum(run.seconds for run in runs)
    speed_up = sum(run.seconds for run in loops) / seconds
    apart = np.array([abs(run.w - loop.w) for run, loop in zip(runs, loops, strict=True)])
    short = [
        max(loop.scores.values()) - max(run.scores.values()) for run, loop in zip(runs, loops, strict=True)
    ]
    figures = (
        f"{seconds / len(runs):.2f}",
        f"{speed_up:.2f}",
        f"{np.mean([run.images for run in runs]):.1f}",
        f"{sum(run.images for run in runs) / seconds:.2f}",
        f"{np.mean([run.rows for run in runs]):.1f}",
        f"{np.mean(apart < 1e-6):.3f}",
        f"{np.mean(apart < STEP + 1e-6):.3f}",
        f"{np.mean(short):+.4f}",
    )
    return f"| {name} | {' | '.join(figures)} |"


def _always(token: CustomToken, _: str) -> CustomToken:
    """A lookup that knows one concept."""
    return token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--generator", help="folder or repository; the model's own unless given")
    parser.add_argument("--device")
    parser.add_argument(
        "--concepts", nargs="*", help="stored tokens; stand-ins of the fashion world unless given"
    )
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--scheduler", choices=list(SCHEDULERS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=Sampling().guidance)
    args = parser.parse_args()
    clip = Clip(resolve(args.model), args.device)
    generator = Generator.load(clip, args.generator)
    sampling = generator.settled(Sampling(args.scheduler, args.steps, args.guidance))
    found: dict[str, list[Run]] = {name: [] for name in WAYS}
    for seed in args.seeds:
        tokens = (
            [TokenStore().get(name) for name in args.concepts]
            if args.concepts
            else [stand_in(i, seed, clip) for i in range(args.queries)]
        )
        options = GairOptions(seeds=(seed,), sampling=sampling, cache=False)
        for i, (prompt, token) in enumerate(queries(tokens, args.queries)):
            features = facts.concept_features(token)
            if features is None:
                raise ConceptError(f"the file of <{token.name}> holds no features of its concept images")
            told = mixture(prompt, clip, partial(_always, token), facts.attributes(token))
            visualizer = Visualizer(clip, generator)
            if not found[LOOP]:  # towers load and kernels are chosen outside the clock
                visualizer.explore(told, features, replace(options, w=0.0))
            for name in (*list(WAYS)[i % 3 :], *list(WAYS)[: i % 3]):  # none is always the first
                work, coarse = WAYS[name]
                chosen = replace(options, coarse=coarse)
                found[name].append(timed(partial(work, told, features, visualizer, chosen), generator))
    print(
        f"{len(found[LOOP])} searches, {sampling.scheduler}, {sampling.steps} steps, guidance "
        f"{sampling.guidance:g}, {sampling.height} x {sampling.width} px, {clip.device}, {torch.get_num_threads()} "
        f"threads\n"
    )
    print(
        "| | seconds a search | times as fast | images | images/s | denoiser rows | same w | within 0.1 | short of "
        "the loop's score |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, runs in found.items():
        print(row(name, runs, found[LOOP]))


if __name__ == "__main__":
    main()
