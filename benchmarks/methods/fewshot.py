"""Classifiers from few labelled pictures (Kim et al. 2024, section 4.1.3; Wang et al. 2024), a few lines each.

Each is text features, or their like, one a class: `[C, embed_dim]`, L2-normalised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gair_search.benchmarks.datasets.labelled import Class
from gair_search.encoder.text_tower import TextTower
from gair_search.learning import attributes
from gair_search.learning import stori as tw
from gair_search.learning.config import LearningConfig
from gair_search.learning.joint import Denoiser
from gair_search.learning.multiclass import Classes, class_features, learn_classes

RARE_TOKENS = ("sks", "pll", "ucd")
"""Words without a meaning (Ruiz et al. 2023)."""

NONSENSE = 5
"""How many of them the paper adds to a text (section 4.1.2)."""

ALPHA = 0.5
"""TaskRes's scale of the residual, as in SToRI's appendix A.1."""

WARM_UP_RATE = 1e-5
"""TaskRes's learning rate in the first epoch."""

MANY_CLASSES = 300
"""From so many on (ImageNet, SUN397), SToRI's authors learn at a fifth of the rate and keep ten descriptions."""

KEPT = 10


@dataclass(frozen=True)
class Shots:
    """Pictures to learn from.

    Attributes:
        features: image features `[N, embed_dim]`, L2-normalised.
        labels: class of each, `[N]`.
        epochs: of learning token weights and residuals.
        seed: of the order of the pictures, and of learning tokens.
    """

    features: Tensor
    labels: Tensor
    epochs: int
    seed: int = 0


@torch.no_grad()
def keep_nearest_descriptions(
    classes: Sequence[Class], tower: TextTower, shots: Shots, n: int = KEPT
) -> tuple[Class, ...]:
    """The classes with those `n` descriptions of each that are nearest to the mean of its pictures."""
    kept = []
    for one, mean in zip(classes, nearest_class_mean(shots, len(classes)), strict=True):
        texts = one.descriptions
        features = torch.cat([tower.encode_ids([tower.token_ids(text)]).features for text in texts])
        best = (features @ mean).topk(min(n, len(texts))).indices.sort().values.tolist()
        kept.append(replace(one, descriptions=tuple(texts[i] for i in best)))
    return tuple(kept)


def base_and_descriptions(classes: Sequence[Class], tower: TextTower) -> tw.ClassPrompts:
    """Base prompts, whose token weights stay 1, and descriptions, whose are learned ("Base+CuPL")."""
    prompts = tw.encode_class_prompts([(*c.prompts, *c.descriptions) for c in classes], tower)
    learned = [row for c in classes for row in [False] * len(c.prompts) + [True] * len(c.descriptions)]
    rows = torch.tensor(learned, device=prompts.free.device)
    return replace(prompts, free=prompts.free & rows[:, None])


def with_nonsense(classes: Sequence[Class], seed: int) -> list[list[str]]:
    """Descriptions with five rare tokens at the end, the same for all (table 1)."""
    drawn = " ".join(np.random.default_rng(seed).choice(RARE_TOKENS, NONSENSE))
    return [[f"{text} {drawn}" for text in c.descriptions] for c in classes]


def nonsense_instead(classes: Sequence[Class], tower: TextTower, seed: int) -> list[list[str]]:
    """A rare token in place of every token of the descriptions: as many token weights, and nothing said."""
    rng = np.random.default_rng(seed)
    return [
        [" ".join(rng.choice(RARE_TOKENS, len(tower.token_ids(text)))) for text in c.descriptions]
        for c in classes
    ]


@torch.no_grad()
def zero_shot(prompts: tw.ClassPrompts, tower: TextTower) -> Tensor:
    """The mean of each class's text features; nothing is learned."""
    return tw.text_classifier(prompts.hidden.new_zeros(prompts.free.shape), prompts, tower)


def stori(prompts: tw.ClassPrompts, tower: TextTower, shots: Shots, rate: float | None = None) -> Tensor:
    """Learned token weights (section 3.2), at the paper's rate for so many classes unless one is given."""
    if rate is None:
        rate = 0.01 if len(prompts.texts) >= MANY_CLASSES else tw.PAPER.learning_rate
    preset = replace(tw.PAPER, learning_rate=rate, epochs=shots.epochs)
    log_weights, _ = tw.learn_token_weights(prompts, shots.features, shots.labels, tower, preset, shots.seed)
    with torch.no_grad():
        return tw.text_classifier(log_weights, prompts, tower)


@torch.no_grad()
def raw_base(prompts: tw.ClassPrompts, tower: TextTower) -> Tensor:
    """TaskRes's t: the mean of each class's text features before they are normalised, `[C, embed_dim]`."""
    parts = zip(
        *(torch.split(rows, tw.PROMPTS_AT_ONCE) for rows in (prompts.hidden, prompts.end)), strict=True
    )
    each = torch.cat(
        [tower.raw_features(tower.after_start_block(*part).conditioning, part[1]).float() for part in parts]
    )
    return torch.stack([each[prompts.class_of == c].mean(0) for c in range(len(prompts.texts))])


def taskres(
    base: Tensor, shots: Shots, scale: float, rate: float, weight_decay: float, batch_size: int = 256
) -> Tensor:
    """TaskRes (Yu et al. 2023): t + alpha x for each class, x learned from 0 by Adam, cosine schedule.

    Their pictures are cropped and mirrored at random in every epoch, ours are encoded once.

    Args:
        base: t, text features that are not normalised, `[C, embed_dim]`: the rate is meant for their length.
        scale: 1 / temperature.
        rate: 2e-3 (Yu et al.; ImageNet 2e-4) or 2e-4 (Kim et al.; ImageNet 2e-5).
        weight_decay: of Adam's kind, added to the gradient.
    """
    residual = torch.zeros_like(base, requires_grad=True)
    optim = torch.optim.Adam([residual], rate, weight_decay=weight_decay)
    draws = torch.Generator().manual_seed(shots.seed)
    for epoch in range(shots.epochs):
        # the first epoch warms up; the cosine begins after it
        cosine = (1 + math.cos(math.pi * (epoch - 1) / shots.epochs)) / 2
        optim.param_groups[0]["lr"] = rate * cosine if epoch else WARM_UP_RATE
        for batch in torch.split(torch.randperm(len(shots.labels), generator=draws), batch_size):
            rows = batch.to(base.device)
            classifier = nn.functional.normalize(base + ALPHA * residual, dim=-1)
            loss = tw.text_classifier_loss(classifier, shots.features[rows], shots.labels[rows], scale)
            optim.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optim.step()
    return nn.functional.normalize(base + ALPHA * residual.detach(), dim=-1)


def nearest_class_mean(shots: Shots, n: int) -> Tensor:
    """The mean image feature of each of `n` classes; no text at all."""
    sums = shots.features.new_zeros(n, shots.features.shape[1]).index_add(0, shots.labels, shots.features)
    return nn.functional.normalize(sums, dim=-1)


def tokens(
    tower: TextTower, shots: Shots, n: int, settings: LearningConfig, denoisers: Sequence[Denoiser] = ()
) -> Tensor:
    """Text features of 'image of a *' of n tokens that are learned together, no name or parent being known.

    MC-TI (Wang et al. 2024); with the loss weights of an older method that one, see `multiclass.py`.

    Raises:
        KeyboardInterrupt: at once; tokens that were cut short are no result.
    """
    steps = [0]
    start = attributes.average_embeddings(tower, attributes.vocabulary()).mean(0)
    first = start.expand(n, settings.n_vectors, -1).clone()
    vectors = learn_classes(
        Classes(shots.features, shots.labels, first, None, denoisers),
        tower,
        settings,
        shots.seed,
        lambda step, *_: steps.append(step),
    )
    if steps[-1] < settings.steps:
        raise KeyboardInterrupt
    with torch.no_grad():
        return class_features(tower, vectors)
