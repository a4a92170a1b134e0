"""Learning a custom token (Perera et al., section 4): the joint objective, whose ends are two older methods.

Everything frozen comes in computed (`Problem`); nothing here reads a file. `preparation.py` makes the problem
from photos.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gair_search.encoder.text_tower import TextTower
from gair_search.learning.config import LearningConfig
from gair_search.learning.losses import classification_loss, diffusion_loss, joint_loss
from gair_search.learning.subspace import Subspace, coordinates, from_coordinates
from gair_search.learning.templates import CLASSIFICATION, PARAPHRASES, Slot


@dataclass(frozen=True)
class Denoiser:
    """The frozen part of a generator that the diffusion loss asks.

    Attributes:
        unet: a diffusers `UNet2DConditionModel`.
        scheduler: a diffusers scheduler with the training noise schedule (`DDPMScheduler`).
        latents: of the concept images, and then of each mirrored, `[N, C, h, w]`.
    """

    unet: nn.Module
    scheduler: Any
    latents: Tensor

    def for_images(self, images: Sequence[int] | NDArray[np.intp]) -> "Denoiser":
        """The same with the latents of some of the concept images, and then of these mirrored."""
        straight, mirrored = self.latents.chunk(2)
        chosen = torch.as_tensor(images, device=self.latents.device)
        return replace(self, latents=torch.cat([straight[chosen], mirrored[chosen]]))


@dataclass(frozen=True)
class HeldOut:
    """What is left out of learning: photos of the concept, with their views, and negative images.

    Attributes:
        concept: image features of the photos and their views, `[N, embed_dim]`.
        negatives: of negative images, `[K, embed_dim]`.
        n_photos: how many photos the features are of.
        latents: of the photos, and then of each mirrored, as `Denoiser.latents`; None where no denoiser asks.
    """

    concept: Tensor
    negatives: Tensor
    n_photos: int
    latents: Tensor | None = None


@dataclass(frozen=True)
class Problem:
    """What a token is learned from, computed once. What is trained, chosen and reported on are three sets.

    Attributes:
        parent: c, as text.
        concept: image features of the concept images to learn from and their views, `[N, embed_dim]`.
        negatives: of the negative images to learn from, `[K, embed_dim]`.
        subspace: of the attributes; None without projection.
        first: where the vectors start, `[n_vectors, text_width]`.
        denoiser: None where there is no generator.
        captions: of concept images, with `{}` for '* c', each with the image's place among them. The diffusion
            loss draws them as it draws paraphrases, and then with their own image only.
        choose: what the step is chosen on; None takes the last step.
        report: what the token is measured on when all is done; None where nothing is left for that.
        photos: features of all concept images, those left out among them, `[n, embed_dim]`: what GAIR compares with.
    """

    parent: str
    concept: Tensor
    negatives: Tensor
    subspace: Subspace | None
    first: Tensor
    denoiser: Denoiser | None = None
    captions: tuple[tuple[str, int], ...] = ()
    choose: HeldOut | None = None
    report: HeldOut | None = None
    photos: Tensor | None = None


@dataclass(frozen=True)
class Losses:
    """One look at a run.

    Attributes:
        step, steps: how many steps were done, of how many.
        diffusion, classification: of the last step; None where the loss does not count.
        held_out: the joint loss on what the step is chosen on (`Problem.choose`); None where it is not chosen.
        best: the lowest held-out loss so far.
    """

    step: int
    steps: int
    diffusion: float | None
    classification: float | None
    held_out: float | None
    best: float | None


@dataclass(frozen=True)
class Learned:
    """The outcome of a run.

    Attributes:
        vectors: of the chosen step, float32 `[n_vectors, text_width]`.
        step: the chosen one.
        losses: every look.
        stopped: whether the run was cut short.
    """

    vectors: Tensor
    step: int
    losses: tuple[Losses, ...]
    stopped: bool


def learn_vectors(
    problem: Problem,
    tower: TextTower,
    config: LearningConfig,
    seed: int = 0,
    on_look: Callable[[Losses], None] | None = None,
) -> Learned:
    """Minimise lambda_SD l_SD + lambda_CE l_CE over the vectors alone.

    With projection the vectors that the text tower sees are P (e - mu) + mu in every step (section 4.3). AdamW moves
    their coordinates in the subspace, in the attributes' standard deviations: it moves all parameters by the same
    amount, and so goes along each direction as far as the attributes do, which keeps the norms near theirs.
    The look with the lowest held-out loss wins where there is something to choose on, else the last one. The same seed
    gives the same vectors on the same machine.

    Args:
        on_look: told every `check_every` steps. A KeyboardInterrupt ends the run with what would win by then.

    Raises:
        KeyboardInterrupt: before the first look, so that there is nothing to keep.
    """
    objective = Objective(problem, tower, config)
    draws = torch.Generator().manual_seed(seed)
    free = objective.to_parameters(problem.first).requires_grad_(True)
    optim = torch.optim.AdamW([free], lr=objective.rate, weight_decay=0.0)
    looks: list[Losses] = []
    best, best_step, stopped = objective.to_vectors(free).detach().clone(), 0, False
    try:
        for step in range(1, config.steps + 1):
            vectors = objective.to_vectors(free)
            diffusion, classification = objective(vectors, draws)
            joint_loss(diffusion, classification, config.lambda_sd, config.lambda_ce).backward()  # type: ignore[no-untyped-call]
            optim.step()
            optim.zero_grad()
            if step % config.check_every and step != config.steps:
                continue
            held_out = objective.held_out(objective.to_vectors(free).detach())
            lowest = min(
                (x for x in (held_out, looks[-1].best if looks else None) if x is not None), default=None
            )
            if held_out == lowest:  # always, where there is nothing to choose on
                best, best_step = objective.to_vectors(free).detach().clone(), step
            looks.append(
                Losses(step, config.steps, _to_float(diffusion), _to_float(classification), held_out, lowest)
            )
            if on_look:
                on_look(looks[-1])
    except KeyboardInterrupt:
        if not looks:
            raise
        stopped = True
    return Learned(best, best_step, tuple(looks), stopped)


class Objective:
    """The joint loss of a problem, with everything that does not depend on the vectors computed once."""

    def __init__(self, problem: Problem, tower: TextTower, config: LearningConfig) -> None:
        self.problem = problem
        self.tower = tower
        self.config = config
        self.prompt = Slot.from_template(tower, CLASSIFICATION, problem.parent)
        captions = [*((text, None) for text in PARAPHRASES), *problem.captions]
        self.templates = [
            (Slot.from_template(tower, text, problem.parent), image) for text, image in captions
        ]
        with torch.inference_mode():
            self.parent = self.prompt.encode(tower, problem.first[:0]).features[0].clone()
        self.scale = tower.logit_scale if config.scale is None else config.scale
        self._seen = _label_images(problem.concept, problem.negatives)

    @property
    def rate(self) -> float:
        """The learning rate of what is free."""
        if self.problem.subspace is None:
            return self.config.learning_rate
        given = self.config.subspace_rate
        average = float(self.problem.subspace.spread.square().mean().sqrt())
        return self.config.learning_rate / average if given is None else given

    def to_parameters(self, vectors: Tensor) -> Tensor:
        """What is learned, for vectors to begin at: their coordinates in the subspace, or a copy of them."""
        subspace = self.problem.subspace
        return vectors.clone() if subspace is None else coordinates(vectors, subspace)

    def to_vectors(self, free: Tensor) -> Tensor:
        """The vectors that the text tower sees."""
        return free if self.problem.subspace is None else from_coordinates(free, self.problem.subspace)

    def __call__(self, vectors: Tensor, draws: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """(l_SD of a drawn batch, l_CE of all images); None for a loss whose weight is 0."""
        slot, image = self.templates[int(_draw(len(self.templates), 1, draws))]
        denoiser = self.problem.denoiser
        if denoiser is not None and image is not None:
            denoiser = denoiser.for_images([image])
        diffusion = self._diffusion(denoiser, vectors, slot, self.config.batch_size, draws)
        return diffusion, self._classification(vectors, *self._seen)

    @torch.inference_mode()
    def held_out(self, vectors: Tensor) -> float | None:
        """The joint loss on `Problem.choose`, on noise that is the same at every look; None where there is none."""
        choose, denoiser = self.problem.choose, self.problem.denoiser
        if choose is None:
            return None
        draws = torch.Generator().manual_seed(0)
        if denoiser is not None:
            assert choose.latents is not None  # photos have them where there is a denoiser
            denoiser = replace(denoiser, latents=choose.latents)
        diffusion = self._diffusion(denoiser, vectors, self.prompt, self.config.held_out_noises, draws)
        classification = self._classification(vectors, *_label_images(choose.concept, choose.negatives))
        weights = self.config.lambda_sd, self.config.lambda_ce
        return float(joint_loss(diffusion, classification, *weights))

    def _classification(self, vectors: Tensor, features: Tensor, labels: Tensor) -> Tensor | None:
        if not self.config.lambda_ce:
            return None
        (concept,) = self.prompt.encode(self.tower, vectors).features  # no longer than the prompt
        return classification_loss(features, labels, concept, self.parent, self.scale)

    def _diffusion(
        self, denoiser: Denoiser | None, vectors: Tensor, slot: Slot, n: int, draws: torch.Generator
    ) -> Tensor | None:
        if not self.config.lambda_sd or denoiser is None:
            return None
        return sample_diffusion_loss(denoiser, self.tower, slot, vectors, n, draws)


def sample_diffusion_loss(
    denoiser: Denoiser, tower: TextTower, slot: Slot, vectors: Tensor, n: int, draws: torch.Generator
) -> Tensor:
    """l_SD of a drawn batch of `n` latents under one prompt, so that the text tower runs once a step."""
    latents = denoiser.latents[_draw(len(denoiser.latents), n, draws)]
    noise = torch.randn(latents.shape, generator=draws).to(latents)
    steps = _draw(denoiser.scheduler.config.num_train_timesteps, n, draws).to(latents.device)
    conditioning = slot.encode(tower, vectors, full_context=True).conditioning.to(latents).expand(n, -1, -1)
    return diffusion_loss(denoiser.unet, denoiser.scheduler, latents, noise, steps, conditioning)


def _label_images(concept: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """x'' and y: features `[N + K, embed_dim]`, labels `[N + K]`."""
    ones, zeros = torch.ones(len(concept)), torch.zeros(len(negatives))
    features = torch.cat([concept, negatives])
    return features, torch.cat([ones, zeros]).to(features)


def _draw(high: int, n: int, draws: torch.Generator) -> Tensor:
    return torch.randint(high, (n,), generator=draws)


def _to_float(loss: Tensor | None) -> float | None:
    return None if loss is None else float(loss.detach())
