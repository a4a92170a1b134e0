"""What tables 1 to 3 share: concepts to learn, how, and the tokens that come of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gair_search.benchmarks.datasets.trials import (
    Trial,
    dreambooth_trials,
    fashion_trials,
    folder_trials,
)
from gair_search.benchmarks.methods.concepts import (
    LEARNED,
    TEXT_ONLY,
    Features,
    Study,
)
from gair_search.benchmarks.tables import retrieval
from gair_search.benchmarks.tables.retrieval import NEEDS_GENERATOR, TokenCells, own_generator
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError
from gair_search.learning.joint import Settings as Learning
from gair_search.learning.lessons import settings_for
from gair_search.learning.negatives import N_NEGATIVES, parent_images
from gair_search.tokens import facts

Source = Literal["fashion", "dreambooth", "textual-inversion"]
Negatives = Literal["pool", "drawn"]

METHODS = (TEXT_ONLY, *LEARNED)
"""The rows; `text only` is the parent without a token."""

SHOTS: dict[Source, int] = {"fashion": 5, "dreambooth": 3, "textual-inversion": 3}
PER_CLASS: dict[Source, int] = {"fashion": 20, "dreambooth": 0, "textual-inversion": 10}

NO_CLASSES = "textual-inversion: say where its parents and other classes lie with --classes FOLDER"


@dataclass(frozen=True)
class TokenRunConfig:
    """What is learned, and how.

    Attributes:
        dataset: the fashion world, or folders of another.
        data: that folder, of concepts.
        classes: of Textual Inversion's parents and other classes, one folder each.
        parents: of Textual Inversion's concepts, those that are wanted.
        seeds: each draws concepts (fashion world) or concept images, and seeds the learning.
        limit: concepts a seed.
        methods: which rows, in the table's order; all where empty.
        steps: of learning; the model's own unless given.
        shots: concept images; as `SHOTS` unless given.
        attributes: that span the subspace; those nearest to the parent where empty.
        negatives: negative images come out of the trial's pool, or are drawn from 'image of a c', as in the
            paper; drawn for Textual Inversion unless given.
        per_class: tested pictures of each class; as `PER_CLASS` unless given. DreamBooth has as many as it has.
        world: further arguments of `fashion_world`.
    """

    dataset: Source = "fashion"
    data: Path | None = None
    classes: Path | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int | None = None
    methods: tuple[str, ...] = ()
    steps: int | None = None
    shots: int | None = None
    attributes: tuple[str, ...] = ()
    negatives: Negatives | None = None
    per_class: int | None = None
    world: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[str, ...]:
        """The methods to run. Raises GairError on an unknown one."""
        known = {name.lower(): name for name in METHODS}
        if unknown := [name for name in self.methods if name.lower() not in known]:
            raise GairError(f'no method "{unknown[0]}"; there are: {", ".join(METHODS)}')
        asked = {known[name.lower()] for name in self.methods} or set(METHODS)
        return tuple(name for name in METHODS if name in asked)

    @property
    def drawn_negatives(self) -> bool:
        """Whether negative images are drawn."""
        return (self.negatives or ("drawn" if self.dataset == "textual-inversion" else "pool")) == "drawn"

    def learning(self, encoder: Encoder) -> Learning:
        """The settings of learning a token."""
        own = settings_for(encoder.spec)
        return own if self.steps is None else replace(own, steps=self.steps)

    def trials(self, seed: int) -> list[Trial]:
        """All trials of a seed; the run's own are the first `limit`. Raises DatasetError."""
        shots = self.shots or SHOTS[self.dataset]
        per_class = self.per_class or PER_CLASS[self.dataset]
        if self.dataset == "fashion":
            same = {name: self.world[name] for name in ("size", "kinds") if name in self.world}
            return fashion_trials(self._lessons.load(seed), seed, per_class=per_class, **same)
        if self.data is None:
            raise DatasetError(f"{self.dataset}: say where it lies with --data FOLDER")
        if self.dataset == "dreambooth":
            return dreambooth_trials(self.data, shots, seed)
        if not self.parents:
            raise DatasetError("textual-inversion: say what its concepts are, as --parents red_teapot=teapot")
        if self.classes is None and not self.drawn_negatives:
            raise DatasetError(NO_CLASSES)
        return folder_trials(self.data, self.classes, self.parents, shots, seed, per_class)

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return asdict(self) | {
            "data": str(self.data.absolute()) if self.data else None,
            "classes": str(self.classes.absolute()) if self.classes else None,
            "parents": dict(self.parents),
            "seeds": list(self.seeds),
            "methods": list(self.rows),
            "shots": self.shots or SHOTS[self.dataset],
            "attributes": list(self.attributes),
            "negatives": "drawn" if self.drawn_negatives else "pool",
            "per_class": self.per_class or PER_CLASS[self.dataset],
            "world": dict(self.world),
            "model": encoder.spec.name,
            "learning": asdict(self.learning(encoder)),
        }

    def token_key(self, encoder: Encoder) -> dict[str, Any]:
        """All that a token depends on. Where `gair bench retrieval` learns the same, it is the same key."""
        if self.dataset == "fashion":
            key = self._lessons.to_json(encoder, self.learning(encoder))
            return key | ({"negatives": "drawn"} if self.drawn_negatives else {})
        apart = {"seeds", "limit", "methods"}
        if self.drawn_negatives:  # then nobody asks what else there is
            apart |= {"classes", "per_class"}
        own = {one.name for one in fields(TokenRunConfig)} | {"model", "learning"}
        return {name: value for name, value in self.to_json(encoder).items() if name in own - apart}

    @property
    def _lessons(self) -> retrieval.RetrievalConfig:
        """Table 4's settings of the same tokens."""
        return retrieval.RetrievalConfig(
            steps=self.steps, shots=self.shots, attributes=self.attributes, world=self.world
        )


class LearnedTokens:
    """The tokens of a run, a kept cell each.

    Attributes:
        rows: the methods that can be run.
        skipped: method -> why it can't.
        generator: the model's own; None where it has none, or nothing asks for it.
        why: why it has none.
        kept: where they are kept.
    """

    def __init__(
        self,
        encoder: Encoder,
        settings: TokenRunConfig,
        work: Path | None,
        draws: bool = False,
        asks: bool = False,
    ) -> None:
        """Load the generator where it is asked for.

        Args:
            encoder, settings: of the run.
            work: where tokens are kept; `GAIR_HOME/bench` unless given.
            draws: whether a generator is needed whatever is learned.
            asks: whether tokens that are no method's ask for one.

        Raises:
            ModelError: the tower takes plain prompts only. GairError: an unknown method; a generator is
                needed, and there is none.
        """
        _ = encoder.text_tower
        self.encoder, self.settings, self.learning = encoder, settings, settings.learning(encoder)
        needed = draws or settings.drawn_negatives
        asked = needed or asks or NEEDS_GENERATOR & set(settings.rows)
        self.generator, self.why = own_generator(encoder) if asked else (None, "")
        if needed and self.generator is None:
            raise GairError(f"images are to be drawn, and that takes a generator: {self.why}")
        lacking = [name for name in settings.rows if name in NEEDS_GENERATOR and self.generator is None]
        self.skipped = dict.fromkeys(lacking, self.why)
        self.rows = tuple(name for name in settings.rows if name not in lacking)
        identity = self.generator.identity if self.generator else None
        key = settings.token_key(encoder) | ({"drawn by": identity} if settings.drawn_negatives else {})
        self.kept = TokenCells(encoder, key | {"generator": identity}, work)
        self._drawn: dict[str, Features] = {}

    def study(self, trial: Trial, seed: int) -> Study:
        """What a trial's methods share."""
        concept = trial.concept
        others = (
            self._drawn_negatives(concept.parent) if self.settings.drawn_negatives else self._of_pool(trial)
        )
        images = self.kept.work.features(self.encoder, concept.images)
        words = self.settings.attributes
        return Study(self.encoder, concept, (), images, others, self.learning, words, seed, self.generator)

    def vectors(self, study: Study, name: str, learning: Learning | None = None) -> tuple[Tensor, float]:
        """A method's token `[n_vectors, text_width]`, and the seconds that it took; no vectors for the text alone.

        `learning` are settings of a token under a name of its own, unless a method has the same.
        """
        for row, (method, projection) in LEARNED.items():
            if learning == replace(self.learning, projection=projection).by(method):
                name, learning = row, None
        if name == TEXT_ONLY:
            return torch.empty(0, self.encoder.text_tower.width, device=self.encoder.device), 0.0
        cell = self.kept.token(study, name, learning)
        return torch.from_numpy(retrieval.vectors_of(study, cell)).to(self.encoder.device), cell["seconds"]

    def image_key(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """All that a token's images depend on: what the token does, and `facts` of the drawing."""
        apart = ("seeds", "limit", "methods", "gair")
        key = {
            name: value for name, value in self.settings.token_key(self.encoder).items() if name not in apart
        }
        return key | {"embedder": self.encoder.embedder_id.to_metadata()} | dict(facts)

    def _of_pool(self, trial: Trial) -> Features:
        own = {picture.id for picture in trial.concept.images}
        rows = self.kept.work.features(self.encoder, trial.pool)
        return rows[[picture.id not in own for picture in trial.pool]]

    def _drawn_negatives(self, parent: str) -> Features:
        """Features of images drawn from 'image of a c' (section 4.2), kept."""
        if parent not in self._drawn:
            generator = self.generator
            assert generator is not None

            def draw() -> str:
                images = parent_images(parent, self.encoder, generator, N_NEGATIVES)
                return facts.pack(self.encoder.encode_pixels(images).ravel())

            packed = self.kept.drawn.cell(f"negatives/{parent}", draw)
            self._drawn[parent] = facts.unpack(packed).reshape(-1, self.encoder.spec.embed_dim)
        return self._drawn[parent]
