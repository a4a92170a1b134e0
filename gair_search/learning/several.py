"""Several concepts learned together from their photos (MC-TI, see `multiclass`): tokens, and their classifier."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError
from gair_search.images.folders import Skipped
from gair_search.learning import attributes
from gair_search.learning.config import LearningConfig, Method, config_for
from gair_search.learning.multiclass import (
    Classes,
    Classifier,
    class_features,
    held_out_loss,
    learn_classes,
)
from gair_search.learning.preparation import (
    check_learnable,
    first_vectors,
    make_denoiser,
    split_photos,
    view_features,
)
from gair_search.progress import Progress
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator


@dataclass(frozen=True)
class Lessons:
    """What came of learning several concepts together.

    Attributes:
        tokens: one a concept, fit to be stored.
        classifier: tells the concepts apart.
        accuracy: share of the photos that were left out that it names rightly; None where none was.
        skipped: images that could not be read, and why.
    """

    tokens: tuple[CustomToken, ...]
    classifier: Classifier
    accuracy: float | None
    skipped: tuple[Skipped, ...] = ()


def learn_together(
    concepts: Mapping[str, Sequence[Image.Image]],
    encoder: Encoder,
    *,
    config: LearningConfig | None = None,
    method: Method = "joint",
    generator: "Generator | None" = None,
    seed: int = 0,
    hold_out: bool = True,
    on_progress: Progress | None = None,
) -> Lessons:
    """Learn several concepts together (MC-TI, see `multiclass`); no names or parents of them are known.

    Args:
        concepts: name of a token -> its photos, RGB; two concepts or more.
        encoder, config, method, generator, seed: as for `learn_token`; there is no subspace, since no parent says
            which attributes suit.
        hold_out: whether one photo in five, of four or more, is left out of learning to measure on. The last step is
            taken, so that nothing is chosen on it.
        on_progress: called every `check_every` steps with the joint loss as its note. A KeyboardInterrupt ends the
            run.

    Raises:
        ConceptError: fewer than two concepts, one without photos; the method needs a generator.
    """
    config = (config or config_for(encoder.spec)).with_method(method)
    _check_concepts(concepts, config, generator)
    tower = encoder.text_tower
    classes, unseen, truth, means = _prepare_classes(concepts, encoder, config, generator, seed, hold_out)
    looks: list[tuple[int, float]] = []
    steps = [0]

    def look(step: int, loss: float, vectors: Tensor) -> None:
        steps.append(step)
        if len(unseen):
            looks.append((step, held_out_loss(vectors, tower, config, unseen, truth)))
        if on_progress:
            on_progress(step, config.steps, f"loss {loss:.4f}")

    vectors = learn_classes(classes, tower, config, seed, look)
    with torch.inference_mode():
        scale = tower.logit_scale if config.scale is None else config.scale
        classifier = Classifier(tuple(concepts), class_features(tower, vectors).clone(), scale)
    named = classifier.probabilities(unseen).argmax(1) == truth
    accuracy = float(named.float().mean()) if len(unseen) else None
    last = steps[-1]
    shared = {
        facts.METHOD: method,
        "together": ", ".join(concepts),
        "settings": json.dumps(asdict(config)),
        "seed": str(seed),
        "step": str(last) if last == config.steps else f"stopped after {last}",
        facts.HELD_OUT: facts.pack_losses(looks),
        "learned_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Lessons(_make_tokens(concepts, means, vectors, encoder, shared), classifier, accuracy)


def _check_concepts(
    concepts: Mapping[str, Sequence[Image.Image]], config: LearningConfig, generator: "Generator | None"
) -> None:
    """Raise ConceptError on what can't be learned together."""
    if len(concepts) < 2:
        raise ConceptError(
            f"{len(concepts)} concept: telling concepts apart takes two or more, one folder each"
        )
    for name, images in concepts.items():
        check_learnable(name, images, "thing", config, generator)


def _prepare_classes(
    concepts: Mapping[str, Sequence[Image.Image]],
    encoder: Encoder,
    config: LearningConfig,
    generator: "Generator | None",
    seed: int,
    hold_out: bool,
) -> tuple[Classes, Tensor, Tensor, list[Tensor]]:
    """What is learned from, the features `[N, embed_dim]` and labels `[N]` of photos that are left out, and the mean
    feature of each concept's photos, `[embed_dim]`."""
    seen, unseen, latents, means = [], [], [], []
    for images in concepts.values():
        rows = torch.from_numpy(view_features(images, encoder, config.views, seed)).to(encoder.device)
        report = split_photos(len(images), seed).report if hold_out else np.arange(0)
        train = np.setdiff1d(np.arange(len(images)), report)
        seen.append(rows[torch.from_numpy(train)].flatten(0, 1))
        unseen.append(rows[torch.from_numpy(report), 0])
        latents.append([images[i] for i in train])
        means.append(rows[:, 0].mean(0))
    denoisers = [make_denoiser(own, generator) for own in latents] if generator and config.lambda_sd else ()
    first = first_class_vectors(encoder.text_tower, len(concepts), config.n_vectors, seed)
    classes = Classes(*_label_classes(seen), first, denoisers=denoisers)
    return classes, *_label_classes(unseen), means


def first_class_vectors(tower: TextTower, n_classes: int, n_vectors: int, seed: int) -> Tensor:
    """Where learning starts, `[n_classes, n_vectors, text_width]`: as `first_vectors`, at words of the vocabulary.

    No parent says which of them suit. Each class draws its own.
    """
    words = attributes.average_embeddings(tower, attributes.vocabulary())
    rows = first_vectors(words, n_classes * n_vectors, seed)
    return rows.view(n_classes, n_vectors, -1)


def _make_tokens(
    concepts: Mapping[str, Sequence[Image.Image]],
    means: Sequence[Tensor],
    vectors: Tensor,
    encoder: Encoder,
    shared: Mapping[str, str],
) -> tuple[CustomToken, ...]:
    """One token a concept, with the `shared` facts and its own."""
    tokens = []
    for i, (name, images) in enumerate(concepts.items()):
        mean = facts.pack(means[i].cpu().numpy())
        own = {**shared, facts.CONCEPT_FEATURES: mean, "n_images": str(len(images))}
        rows = vectors[i].float().cpu().numpy()
        table_hash = encoder.text_tower.table_hash
        tokens.append(CustomToken(name, rows, table_hash, str(encoder.embedder_id), "", own))
    return tuple(tokens)


def _label_classes(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features `[N, embed_dim]` of classes and their labels `[N]`."""
    labels = [torch.full((len(own),), i, device=own.device) for i, own in enumerate(rows)]
    return torch.cat(list(rows)), torch.cat(labels)
