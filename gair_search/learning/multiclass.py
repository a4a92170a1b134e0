"""Multi-class textual inversion (MC-TI; Wang et al. 2024): concepts learned together, told apart by their tokens.

The source is the paper's abstract. It asks for textual inversion of every class, without class names, and a
discriminative regularisation of the token update; what it leaves open is chosen here. The prompt is 'image of a *',
with no parent. In every step one class's diffusion loss is taken (which in the mean is all of theirs), plus
`losses.discriminative_loss` over the features of all classes. Without a generator the latter stands alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gair_search.encoder.text_tower import TextTower
from gair_search.learning.config import LearningConfig
from gair_search.learning.joint import Denoiser, sample_diffusion_loss
from gair_search.learning.losses import discriminative_loss, joint_loss
from gair_search.learning.subspace import Subspace, project
from gair_search.learning.templates import CLASSIFICATION, PARAPHRASES, Slot


@dataclass(frozen=True)
class Classes:
    """What tokens are learned from together, computed once.

    Attributes:
        features: image features of all classes' images, `[N, embed_dim]`, normalised.
        labels: the class of each, 0..K-1, `[N]`.
        first: where the vectors start, `[K, n_vectors, text_width]`.
        subspace: of the attributes; None without projection.
        denoisers: one a class, with its latents; empty where there is no generator.
    """

    features: Tensor
    labels: Tensor
    first: Tensor
    subspace: Subspace | None = None
    denoisers: Sequence[Denoiser] = ()


@dataclass(frozen=True)
class Classifier:
    """What MC-TI secretly yields: a classifier of classes that have no names, only tokens.

    Attributes:
        names: of the concepts.
        features: text features of 'image of a *' for each, `[K, embed_dim]`, normalised.
        scale: CLIP's inverse temperature.
    """

    names: tuple[str, ...]
    features: Tensor
    scale: float

    def probabilities(self, image_features: Tensor) -> Tensor:
        """`[N, embed_dim]` -> `[N, K]`."""
        return (self.scale * image_features @ self.features.T).softmax(-1)

    def classify(self, image_features: Tensor) -> list[str]:
        """The concept of each image: `[N, embed_dim]` -> N names."""
        return [self.names[i] for i in self.probabilities(image_features).argmax(-1).tolist()]


def class_features(tower: TextTower, vectors: Tensor) -> Tensor:
    """tau of 'image of a *' for each class: vectors `[K, n_vectors, text_width]` -> `[K, embed_dim]`."""
    return Slot.from_template(tower, CLASSIFICATION, "").encode(tower, vectors).features


def learn_classes(
    classes: Classes,
    tower: TextTower,
    config: LearningConfig,
    seed: int = 0,
    on_step: Callable[[int, float, Tensor], None] | None = None,
) -> Tensor:
    """Minimise lambda_SD l_SD (of one class a step) + lambda_CE times the discriminative loss (of all).

    Args:
        config: the loss weights and sizes; (1, 0) is plain textual inversion of each class.
        on_step: called with (steps done, joint loss, vectors) every `check_every` steps. A KeyboardInterrupt ends
            the run, with the vectors of the last step.

    Returns:
        vectors `[K, n_vectors, text_width]`.

    Raises:
        KeyboardInterrupt: before the first `check_every` steps are done, so that there is nothing to keep.
    """
    draws = torch.Generator().manual_seed(seed)
    slots = [Slot.from_template(tower, text, "") for text in PARAPHRASES]
    scale = tower.logit_scale if config.scale is None else config.scale
    free = classes.first.clone().requires_grad_(True)
    optim = torch.optim.AdamW([free], lr=config.learning_rate, weight_decay=0.0)
    done = 0
    try:
        for step in range(1, config.steps + 1):
            vectors = project(free, classes.subspace)
            classification = None
            if config.lambda_ce:
                classification = discriminative_loss(
                    classes.features, classes.labels, class_features(tower, vectors), scale
                )
            diffusion = None
            if config.lambda_sd and classes.denoisers:
                diffusion = _one_class_loss(classes, vectors, tower, slots, config.batch_size, draws)
            loss = joint_loss(diffusion, classification, config.lambda_sd, config.lambda_ce)
            loss.backward()  # type: ignore[no-untyped-call]
            optim.step()
            optim.zero_grad()
            done = step
            if on_step and (step % config.check_every == 0 or step == config.steps):
                on_step(step, float(loss.detach()), project(free, classes.subspace).detach().clone())
    except KeyboardInterrupt:
        if done < min(config.check_every, config.steps):
            raise
    return project(free, classes.subspace).detach()


@torch.inference_mode()
def held_out_loss(
    vectors: Tensor, tower: TextTower, config: LearningConfig, features: Tensor, labels: Tensor
) -> float:
    """The discriminative loss on photos that no step sees.

    Args:
        vectors: `[K, n_vectors, text_width]`.
        features, labels: of the photos, `[N, embed_dim]` and `[N]`.
    """
    scale = tower.logit_scale if config.scale is None else config.scale
    return float(discriminative_loss(features, labels, class_features(tower, vectors), scale))


def _one_class_loss(
    classes: Classes, vectors: Tensor, tower: TextTower, slots: Sequence[Slot], n: int, draws: torch.Generator
) -> Tensor:
    """l_SD of a drawn class, under a drawn paraphrase."""
    which, text = (int(torch.randint(high, (1,), generator=draws)) for high in (len(vectors), len(slots)))
    return sample_diffusion_loss(classes.denoisers[which], tower, slots[text], vectors[which], n, draws)
