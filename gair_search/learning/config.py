"""How tokens are learned: the methods, and the configuration of each model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from gair_search.encoder.identity import ModelSpec
from gair_search.encoder.model_settings import read_model_settings
from gair_search.errors import ModelError

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator

LEARNING = "learning.json"
"""A file of a model's folder: the configuration that suits it, found by measurement. Others take the paper's."""

Method = Literal["joint", "prompt tuning", "textual inversion"]
"""Which losses count: both; classification alone (0, 1); diffusion alone (1, 0)."""


@dataclass(frozen=True)
class LearningConfig:
    """How a token is learned.

    Attributes:
        n_vectors: trainable vectors.
        lambda_sd, lambda_ce: loss weights of the diffusion and the classification loss.
        learning_rate: of AdamW.
        subspace_rate: the same with projection, in the attributes' standard deviations; unless given, as large as
            `learning_rate` on the average direction.
        batch_size: latents a step.
        steps: how many.
        n_attributes: how many span the subspace where the user names none.
        rank: dimensions of the subspace; all unless given.
        projection: whether the vectors are held in the subspace.
        scale: inverse temperature of the classification loss; the model's own unless given.
        views: crops of every photo that the classification loss sees besides the photo itself.
        check_every: steps between two looks at the held-out loss.
        held_out_noises: draws of noise that the held-out diffusion loss averages.
    """

    n_vectors: int = 10
    lambda_sd: float = 1.0
    lambda_ce: float = 1e-5
    learning_rate: float = 5e-4
    subspace_rate: float | None = None
    batch_size: int = 4
    steps: int = 20_000
    n_attributes: int = 100
    rank: int | None = None
    projection: bool = True
    scale: float | None = None
    views: int = 0
    check_every: int = 100
    held_out_noises: int = 16

    def with_method(self, method: Method) -> "LearningConfig":
        """The same with the loss weights of a method; its only loss counts once."""
        if method == "prompt tuning":
            return replace(self, lambda_sd=0.0, lambda_ce=1.0)
        return replace(self, lambda_sd=1.0, lambda_ce=0.0) if method == "textual inversion" else self


PAPER = LearningConfig()
"""Section 5, "Model details", for Stable Diffusion 1.4 on a GPU."""


def config_for(
    spec: ModelSpec, paper: bool = False, changes: Mapping[str, Any] | None = None
) -> LearningConfig:
    """The configuration in a model's own folder, else the paper's.

    Args:
        spec: of the model.
        paper: whether to take the paper's in any case.
        changes: fields that are to be otherwise.

    Raises:
        ModelError: as `read_model_settings`.
    """
    config = PAPER if paper else read_model_settings(spec, LEARNING, PAPER)
    return replace(config, **(changes or {}))


def choose_method(
    method: Method | None, load: Callable[[], "Generator"], required: bool
) -> "tuple[Method, Generator | None]":
    """A method of learning, and the generator where it asks for one.

    Args:
        method: the user's choice; else joint where there is a generator, and prompt tuning where there is none.
        load: gives the model's generator; not called for prompt tuning.
        required: whether the generator must be there, whatever the method.

    Raises:
        GeneratorError, ModelError: as `load`, where it must be there.
    """
    if method == "prompt tuning":
        return method, None
    try:
        return method or "joint", load()
    except ModelError:
        if method is None and not required:
            return "prompt tuning", None
        raise
