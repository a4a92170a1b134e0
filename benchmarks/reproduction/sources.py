"""What a reproduction is made from and how much of it is run: models, data, and the scale of a trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CLIP = "ViT-L-14/openai"
"""The model of all papers; its text tower is Stable Diffusion 1.4's."""

METACLIP = "ViT-L-14-quickgelu/metaclip_400m"
"""The second model of SToRI's tables 5, 6 and 8."""

STABLE_DIFFUSION = "CompVis/stable-diffusion-v1-4"

JUDGE = "ViT-B-32/laion2b_s34b_b79k"
"""The second judge of what tokens draw. The paper's is ALIGN, which open_clip has not."""

TEXTUAL_INVERSION, CALTECH, PERVL, CELEBA, CUB, COOP, CUPL = (
    "textual_inversion",
    "256_ObjectCategories",
    "PerVLBenchmark",
    "celeba",
    "CUB_200_2011",
    "coop",
    "cupl",
)
"""Names of folders below that of all data."""

RECOGNISED = {
    "colorful_teapot": "teapot",
    "red_teapot": "teapot",
    "mug_skulls": "coffee mug",
    "physics_mug": "coffee mug",
    "elephant": "elephant",
}
"""Textual Inversion's concepts whose parents Caltech-256 has: five, as in table 3. The paper does not name its own."""

DRAWN = {**RECOGNISED, "clock": "clock"}
"""Six, as table 2's chance of 0.166 says; drawing asks nothing of Caltech-256."""


@dataclass(frozen=True)
class Sources:
    """Where everything is.

    Attributes:
        data: folder of all data sets, each in a folder of its official name.
        model, metaclip, judge: models, as for `models.resolve`; no judge where it is "".
        generator: as for `Generator.load`.
        recognised, drawn: folder of a concept of Textual Inversion -> its parent, for tables 1 and 3, and for 2.
    """

    data: Path
    model: str = CLIP
    metaclip: str = METACLIP
    generator: str = STABLE_DIFFUSION
    judge: str = JUDGE
    recognised: Mapping[str, str] = field(default_factory=lambda: dict(RECOGNISED))
    drawn: Mapping[str, str] = field(default_factory=lambda: dict(DRAWN))

    def folder(self, name: str) -> Path:
        """The folder of a data set."""
        return self.data / name

    def descriptions(self, data_set: str) -> Path:
        """The file of CuPL's descriptions of one of CoOp's data sets."""
        return self.data / CUPL / f"{data_set}.json"


@dataclass(frozen=True)
class Scale:
    """How much is run; the papers' own where nothing is said.

    Attributes:
        seeds: how many seeds a run has; what the paper has where None.
        limit: concepts, classes or combinations a seed.
        steps: of learning a token.
        epochs: of learning token weights.
        shots: pictures of a class to learn from.
        contexts: how many of the contexts of table 2.
        images: drawn of each.
        draw_steps: of denoising, in table 2.
        per_class: pictures of each class that are tested.
        per_category: CelebA's pictures in each category.
        rounds: timings of table 7.
    """

    seeds: int | None = None
    limit: int | None = None
    steps: int | None = None
    epochs: int | None = None
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    contexts: int = 10
    images: int = 8
    draw_steps: int | None = None
    per_class: int | None = None
    per_category: int = 100
    rounds: int = 28_000

    def seed_numbers(self, papers: int) -> tuple[int, ...]:
        """0, 1, ...: as many as the paper has runs, or as many as were asked for."""
        return tuple(range(papers if self.seeds is None else self.seeds))


PAPERS = Scale()
"""All of it."""

TRIAL = Scale(
    seeds=1, limit=2, steps=2, epochs=1, shots=(1, 2), contexts=2, images=1, draw_steps=2, per_class=2,
    per_category=1, rounds=3,
)  # fmt: skip
"""Every path once, with as little as it takes: it shows that all runs through, and its figures mean nothing."""
