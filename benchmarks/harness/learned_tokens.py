"""What tables 1 to 3 share: concepts to learn, each with its test, and the tokens that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.datasets.trials import (
    Trial,
    dreambooth_trials,
    fashion_trials,
    folder_trials,
)
from gair_search.benchmarks.harness.concept_runs import ConceptRunConfig
from gair_search.benchmarks.harness.negatives import (
    DRAWN,
    GALLERY,
    NegativeImages,
)
from gair_search.benchmarks.harness.run import load_own_generator, without_generator
from gair_search.benchmarks.harness.token_cells import TokenCells, token_vectors
from gair_search.benchmarks.methods.concepts import (
    LEARNED,
    NEEDS_GENERATOR,
    TEXT_ONLY,
    Features,
    Study,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError
from gair_search.learning.config import LearningConfig

Source = Literal["fashion", "dreambooth", "textual-inversion"]

PER_CLASS: dict[Source, int] = {"fashion": 20, "dreambooth": 0, "textual-inversion": 10}

NO_CLASSES = "textual-inversion: say where its parents and other classes lie with --classes FOLDER"


@dataclass(frozen=True)
class TrialsConfig(ConceptRunConfig):
    """What is learned, how, and what it is tested on. The row `text only` is the parent without a token.

    Attributes:
        classes: folder of Textual Inversion's parents and other classes, one folder each.
        parents: Textual Inversion's concepts that are wanted -> their parents.
        per_class: tested pictures of each class; as `PER_CLASS` unless given. DreamBooth has as many as it has.
    """

    dataset: Source = "fashion"
    shots: int | None = None
    classes: Path | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    per_class: int | None = None

    METHODS: ClassVar[tuple[str, ...]] = (TEXT_ONLY, *LEARNED)
    SHOTS: ClassVar[Mapping[str, int]] = {"fashion": 5, "dreambooth": 3, "textual-inversion": 3}

    def trials(self, seed: int) -> list[Trial]:
        """All trials of a seed; the run's own are the first `limit`. Raises DatasetError."""
        shots = self.shots or self.SHOTS[self.dataset]
        per_class = self.per_class or PER_CLASS[self.dataset]
        if self.dataset == "fashion":
            same = {name: self.world[name] for name in ("size", "kinds") if name in self.world}
            data = fashion_world(seed, shots=shots, **self.world)
            return fashion_trials(data, seed, per_class=per_class, **same)
        if self.dataset == "dreambooth":
            return dreambooth_trials(self.folder, shots, seed)
        folder = self.folder
        if not self.parents:
            raise DatasetError("textual-inversion: say what its concepts are, as --parents red_teapot=teapot")
        if self.classes is None and self.negatives == GALLERY:
            raise DatasetError(NO_CLASSES)
        return folder_trials(folder, self.classes, self.parents, shots, seed, per_class)

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return super().to_json(encoder) | {
            "per_class": self.per_class or PER_CLASS[self.dataset],
        }

    def token_key(self, encoder: Encoder) -> dict[str, Any]:
        """All that a token depends on. Where `gair bench retrieval` learns the same, it is the same key."""
        key, facts = super().token_key(encoder), self.to_json(encoder)
        if self.dataset != "fashion":
            key |= {"parents": facts["parents"]}
            if self.negatives == GALLERY:  # else nobody asks what other classes there are
                key |= {"classes": facts["classes"], "per_class": facts["per_class"]}
        return key


class LearnedTokens:
    """The tokens of a run, a kept cell each.

    Attributes:
        rows: the methods that can be run.
        skipped: method -> why it can't.
        generator: the model's own; None where it has none, or nothing asks for it.
        why: why it has none.
        cells: keeps them.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: TrialsConfig,
        work: Path | None,
        draws: bool = False,
        sweeps_diffusion: bool = False,
    ) -> None:
        """Load the generator where it is asked for.

        Args:
            encoder, config: of the run.
            work: where tokens are kept; `GAIR_HOME/bench` unless given.
            draws: whether a generator is needed whatever is learned.
            sweeps_diffusion: whether tokens that are no method's have a diffusion loss.

        Raises:
            ModelError: the tower takes plain prompts only. GairError: an unknown method; a generator is
                needed, and there is none.
        """
        _ = encoder.text_tower
        self.encoder, self.config, self.learning = encoder, config, config.learning(encoder)
        wanted = draws or config.negatives == DRAWN or sweeps_diffusion or NEEDS_GENERATOR & set(config.rows)
        self.generator, self.why = load_own_generator(encoder, config.generator) if wanted else (None, "")
        if draws and self.generator is None:
            raise GairError(f"images are to be drawn, and that takes a generator: {self.why}")
        self.rows, self.skipped = without_generator(config.rows, NEEDS_GENERATOR, self.generator, self.why)
        identity = self.generator.identity if self.generator else None
        self.cells = TokenCells(encoder, config.token_key(encoder), identity, work)
        kept = self.cells.work_with_generator
        self._negatives = NegativeImages(config.negatives, encoder, self.generator, kept, self.why)

    def study(self, trial: Trial, seed: int) -> Study:
        """What a trial's methods share."""
        concept = trial.concept
        pool = self._negatives.pool(concept.parent, lambda: self._gallery(trial))
        images = self.cells.work.features(self.encoder, concept.images)
        return Study(
            self.encoder, concept, (), images, pool.features, self.learning, self.config.attributes, seed,
            self.generator, pool.as_they_are,
        )  # fmt: skip

    def vectors(
        self, study: Study, name: str, learning: LearningConfig | None = None
    ) -> tuple[Tensor, float]:
        """A method's token `[n_vectors, text_width]`, and the seconds that it took; no vectors for the text alone.

        `learning` configures a token under a name of its own, unless a method has the same.
        """
        for row, (method, projection) in LEARNED.items():
            if learning == replace(self.learning, projection=projection).with_method(method):
                name, learning = row, None
        if name == TEXT_ONLY:
            return torch.empty(0, self.encoder.text_tower.width, device=self.encoder.device), 0.0
        cell = self.cells.token(study, name, learning)
        return torch.from_numpy(token_vectors(study, cell)).to(self.encoder.device), cell["seconds"]

    def image_key(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """All that a token's images depend on: what the token does, and `facts` of the drawing."""
        key = self.config.token_key(self.encoder)
        return key | {"embedder": self.encoder.embedder_id.to_metadata()} | dict(facts)

    def _gallery(self, trial: Trial) -> Features:
        """The trial's pool without the concept images."""
        own = {picture.id for picture in trial.concept.images}
        rows = self.cells.work.features(self.encoder, trial.pool)
        return rows[[picture.id not in own for picture in trial.pool]]
