"""`gair bench speed --parts gair`: the search for the mixing weight, coarse to fine, against the plain loop.

The loop is Algorithm 1 as written: 11 candidates, 0 to 1 in tenths, drawn and embedded one by one; and, as the search
tries no weight below `COARSE` by default, a loop over the same tenths. All draw the same noise with the same
scheduler, steps and guidance, and read nothing from disk. Measured for each query and seed: seconds, images and rows
through the denoiser; whether the weight is selected that the loop of 11 selects among the tenths that a way could
select, exactly and within a tenth; and by how much the score of what is selected falls short of that one's.

Concepts are stored tokens, with what their files say; or else instances of the fashion world's test split, whose
stand-in tokens are the embeddings of the words that describe them, with noise. Such stand-ins do for speed and
agreement, and for nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    instance,
    render,
    scene,
)
from gair_search.benchmarks.harness.report import Table
from gair_search.benchmarks.harness.timing import Task, TimedPart, format_over_seeds
from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError
from gair_search.gair.algorithm import COARSE, STEP, TENTHS, plain_loop, select
from gair_search.gair.drawing import Visualizer
from gair_search.gair.mixing import Mixture, mix_prompt, spread
from gair_search.gair.options import GairConfig
from gair_search.gair.selection import functions_for, select_weight
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import compile_query
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore

ATTRIBUTES = "red, old, worn, bright, dark, pink"  # the paper's, section 5
FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
UPPER = tuple(w for w in TENTHS if w >= min(COARSE))
VIEWS, SIDE, N_VECTORS = 4, 128, 2


@dataclass(frozen=True)
class SearchOutcome:
    """What one way came to on one query.

    Attributes:
        scores: by candidate weight.
        images: how many were drawn.
        rows: that went through the denoiser.
    """

    scores: dict[float, float]
    images: int
    rows: int

    @property
    def w(self) -> float:
        """The selected weight."""
        return select(self.scores)

    @property
    def best(self) -> float:
        """Its score."""
        return max(self.scores.values())

    def within(self, tried: Sequence[float]) -> "SearchOutcome":
        """The same where only weights from the least of `tried` on could be selected."""
        return replace(self, scores={w: score for w, score in self.scores.items() if w >= min(tried)})


def stand_in(number: int, seed: int, encoder: Encoder) -> CustomToken:
    """A token for an instance of the fashion world: its words' embeddings with noise, and its views' features."""
    item = instance(seed * 100_000 + number, "test")
    views = [scene(2_000_000 + VIEWS * number + i, "test", item=item) for i in range(VIEWS)]
    pixels = np.stack([encoder.preprocessing.pixels(render(view, SIDE)) for view in views])
    tower = encoder.text_tower
    words = torch.tensor(tower.token_ids(f"{item.color} {item.pattern}"))
    rows = spread(tower.token_embeddings(words.to(encoder.device)), N_VECTORS).cpu().numpy()
    noise = np.random.default_rng((seed, number)).normal(size=rows.shape) * 0.3 * rows.std()
    features = encoder.encode_pixels(pixels).mean(axis=0)
    stored = {facts.ATTRIBUTES: ATTRIBUTES, facts.CONCEPT_FEATURES: facts.pack(features)}
    name = f"stand-in-{number}"
    vectors = (rows + noise).astype(np.float32)
    return CustomToken(name, vectors, tower.table_hash, str(encoder.embedder_id), item.kind, stored)


def concept_prompts(tokens: Sequence[CustomToken], n: int) -> list[tuple[str, CustomToken]]:
    """`n` prompts with their concepts, each in another place."""
    places = [phrases[0] for phrases in BACKGROUNDS.values()]
    chosen = [tokens[i % len(tokens)] for i in range(n)]
    return [
        (f"a <{token.name}> {token.parent} {places[i % len(places)]}".replace("  ", " "), token)
        for i, token in enumerate(chosen)
    ]


def run_plain_loop(
    query: Mixture, features: NDArray[np.float32], visualizer: Visualizer, config: GairConfig
) -> tuple[dict[float, float], int]:
    """The plain loop over `config.coarse`; a blank image can't be the best."""
    functions = functions_for(query, features, visualizer, config)
    _, scores = plain_loop(*functions, W=config.coarse)
    return scores, len({0.0, *config.coarse})


def run_coarse_to_fine(
    query: Mixture, features: NDArray[np.float32], visualizer: Visualizer, config: GairConfig
) -> tuple[dict[float, float], int]:
    """Coarse to fine, each round in one batch: what `Engine.gair` does."""
    candidates = select_weight(query, features, visualizer, config).candidates
    scores = {
        one.mixing_weight: one.score for one in candidates if one.score is not None and not one.context_only
    }
    return scores, len(candidates)


LOOP = "plain loop of 11"
Way = Callable[[Mixture, NDArray[np.float32], Visualizer, GairConfig], tuple[dict[float, float], int]]
"""Mixture, mean features of the concept images, ... -> scores by candidate weight, and how many images it took."""
WAYS: Mapping[str, tuple[Way, tuple[float, ...]]] = {
    LOOP: (run_plain_loop, TENTHS),
    f"plain loop from {min(COARSE):g} on": (run_plain_loop, UPPER),
    f"coarse to fine from {min(COARSE):g} on": (run_coarse_to_fine, COARSE),
    "coarse to fine over all": (run_coarse_to_fine, FIFTHS),
}
"""Way -> what it does, and the weights that it begins with."""


class SearchCost(TimedPart):
    """The search for the mixing weight, a query a round.

    Attributes:
        found: way -> what it came to, by (seed, query).
    """

    title = "GAIR's search against the plain loop"
    baselines: ClassVar[Mapping[str, str]] = {name: LOOP for name in WAYS if name != LOOP}

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        queries: int,
        concepts: Sequence[str],
        sampling: SamplingConfig,
    ) -> None:
        """Put it together.

        Args:
            encoder: a model.
            generator: what draws.
            queries: how many, a seed.
            concepts: names of stored tokens; stand-ins where empty.
            sampling: how images are drawn.

        Raises:
            ConceptError: a token is missing, or its file holds no features of its concept images.
            GeneratorError: a value of `sampling` is out of its range.
        """
        super().__init__(queries)
        self.encoder, self.generator = encoder, generator
        self.sampling = generator.complete_sampling(sampling)
        self.tokens = [TokenStore().get(name) for name in concepts]
        self.found: dict[str, dict[tuple[int, int], SearchOutcome]] = {name: {} for name in WAYS}
        _ = [
            self._mixture_of(*one) for one in concept_prompts(self.tokens, len(self.tokens))
        ]  # errors at once

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        tokens = self.tokens or [stand_in(i, seed, self.encoder) for i in range(self.rounds)]
        queries = [self._mixture_of(*one) for one in concept_prompts(tokens, self.rounds)]
        visualizer = Visualizer(self.encoder, self.generator)
        options = GairConfig(seeds=(seed,), sampling=self.sampling, cache=False)

        def search(name: str, number: int) -> None:
            work, coarse = WAYS[name]
            rows = self.generator.denoiser_rows
            scores, images = work(*queries[number], visualizer, replace(options, coarse=coarse))
            found = SearchOutcome(scores, images, self.generator.denoiser_rows - rows)
            self.found[name][seed, number] = found  # the warm-up's is replaced

        return {name: partial(search, name) for name in WAYS}

    def ratio(self, own: list[float], baseline: list[float]) -> float:
        """Of the totals: the queries differ in how far they are refined."""
        return sum(own) / sum(baseline)

    def values(self) -> dict[str, Any]:
        """The ratios, and what each way came to: means over the searches."""
        return super().values() | {"ways": {name: self._way(name) for name in WAYS}}

    def table(self) -> Table:
        rows = [
            (
                name,
                f"{way['seconds']:.2f}",
                format_over_seeds(self.faster(name), ".2f"),
                f"{way['images']:.1f}",
                f"{way['images per second']:.2f}",
                f"{way['denoiser rows']:.1f}",
                f"{way['same w']:.3f}",
                f"{way['within 0.1']:.3f}",
                f"{way['short']:+.4f}",
            )
            for name, way in ((name, self._way(name)) for name in WAYS)
        ]
        columns = (
            "", "seconds a search", "times as fast", "images", "images/s", "denoiser rows", "same w", "within 0.1",
            "short of the loop's score",
        )  # fmt: skip
        return Table(self.title, columns, tuple(rows), self.note())

    def note(self) -> str:
        how, n = self.sampling, len(self.found[LOOP])
        return (
            f"{n} searches over {len(self.seconds)} seed(s) in turns, {how.scheduler}, {how.steps} steps, guidance "
            f"{how.guidance:g}, {how.height} x {how.width} px; times as fast by a seed's total, ± is over seeds."
        )

    def _mixture_of(self, prompt: str, token: CustomToken) -> tuple[Mixture, NDArray[np.float32]]:
        """A query's mixture, and its concept images' mean features `[embed_dim]`. Raises ConceptError."""
        features = facts.concept_features(token)
        if features is None:
            raise ConceptError(f"the file of <{token.name}> holds no features of its concept images")
        query = compile_query(prompt, self.encoder, lambda _: token)
        return mix_prompt(query, self.encoder, facts.attributes(token)), features

    def _way(self, name: str) -> dict[str, float]:
        """Means over the searches, beside the loop on the same ones."""
        loops = self.found[LOOP]
        pairs = [(one, loops[key].within(WAYS[name][1])) for key, one in self.found[name].items()]
        total = sum(sum(seconds[name]) for seconds in self.seconds)
        apart = np.array([abs(one.w - loop.w) for one, loop in pairs])
        images = sum(one.images for one, _ in pairs)
        return {
            "seconds": total / len(pairs),
            "images": images / len(pairs),
            "images per second": images / total,
            "denoiser rows": float(np.mean([one.rows for one, _ in pairs])),
            "same w": float(np.mean(apart < 1e-6)),
            "within 0.1": float(np.mean(apart < STEP + 1e-6)),
            "short": float(np.mean([loop.best - one.best for one, loop in pairs])),
        }
