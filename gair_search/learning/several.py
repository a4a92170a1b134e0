"""Several concepts learned together from their photos (MC-TI, see `multiclass`): tokens, and their classifier."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
    draw_views,
    first_vectors,
    image_features,
    make_denoiser,
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
        accuracy: share of held-out views that it names rightly.
        skipped: images that could not be read, and why.
    """

    tokens: tuple[CustomToken, ...]
    classifier: Classifier
    accuracy: float
    skipped: tuple[Skipped, ...] = ()


def learn_together(
    concepts: Mapping[str, Sequence[Image.Image]],
    encoder: Encoder,
    *,
    config: LearningConfig | None = None,
    method: Method = "joint",
    generator: "Generator | None" = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Lessons:
    """Learn several concepts together (MC-TI, see `multiclass`); no names or parents of them are known.

    Args:
        concepts: name of a token -> its photos, RGB; two concepts or more.
        encoder, config, method, generator, seed: as for `learn_token`; there is no subspace, since no parent says
            which attributes suit.
        on_progress: called every `check_every` steps with the joint loss as its note. A KeyboardInterrupt ends the
            run.

    Raises:
        ConceptError: fewer than two concepts, one without photos; the method needs a generator.
    """
    config = (config or config_for(encoder.spec)).with_method(method)
    _check_concepts(concepts, config, generator)
    tower = encoder.text_tower
    classes, unseen, truth = _prepare_classes(concepts, encoder, config, generator, seed)
    looks: list[tuple[int, float]] = []

    def look(step: int, loss: float, vectors: Tensor) -> None:
        looks.append((step, held_out_loss(classes, vectors, tower, config, unseen, truth)))
        if on_progress:
            on_progress(step, config.steps, f"loss {loss:.4f}")

    vectors = learn_classes(classes, tower, config, seed, look)
    with torch.inference_mode():
        scale = tower.logit_scale if config.scale is None else config.scale
        classifier = Classifier(tuple(concepts), class_features(tower, vectors).clone(), scale)
    accuracy = float((classifier.probabilities(unseen).argmax(1) == truth).float().mean())
    last = looks[-1][0] if looks else 0
    shared = {
        facts.METHOD: method,
        "together": ", ".join(concepts),
        "settings": json.dumps(asdict(config)),
        "seed": str(seed),
        "step": str(last) if last == config.steps else f"stopped after {last}",
        facts.HELD_OUT: facts.pack_losses(looks),
        "learned_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Lessons(_make_tokens(concepts, classes, vectors, encoder, shared), classifier, accuracy)


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
) -> tuple[Classes, Tensor, Tensor]:
    """What is learned from, and the features `[N, embed_dim]` and labels `[N]` of views that no step sees."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = [
            [*images, *(v for i in images for v in draw_views(i, config.views))]
            for images in concepts.values()
        ]
        held = [[view for image in images for view in draw_views(image, 2)] for images in concepts.values()]
    features, labels = _encode_classes(seen, encoder)
    denoisers = [make_denoiser(images, generator) for images in concepts.values()] if generator else []
    classes = Classes(
        features,
        labels,
        first_class_vectors(encoder.text_tower, len(concepts), config.n_vectors, seed),
        denoisers=denoisers if config.lambda_sd else (),
    )
    return classes, *_encode_classes(held, encoder)


def first_class_vectors(tower: TextTower, n_classes: int, n_vectors: int, seed: int) -> Tensor:
    """Where learning starts, `[n_classes, n_vectors, text_width]`: as `first_vectors`, at words of the vocabulary.

    No parent says which of them suit. Each class draws its own.
    """
    words = attributes.average_embeddings(tower, attributes.vocabulary())
    rows = first_vectors(words, n_classes * n_vectors, seed)
    return rows.view(n_classes, n_vectors, -1)


def _make_tokens(
    concepts: Mapping[str, Sequence[Image.Image]],
    classes: Classes,
    vectors: Tensor,
    encoder: Encoder,
    shared: Mapping[str, str],
) -> tuple[CustomToken, ...]:
    """One token a concept, with the `shared` facts and its own."""
    tokens = []
    for i, (name, images) in enumerate(concepts.items()):
        mean = classes.features[classes.labels == i][: len(images)].mean(0).cpu().numpy()
        own = {**shared, facts.CONCEPT_FEATURES: facts.pack(mean), "n_images": str(len(images))}
        rows = vectors[i].float().cpu().numpy()
        table_hash = encoder.text_tower.table_hash
        tokens.append(CustomToken(name, rows, table_hash, str(encoder.embedder_id), "", own))
    return tuple(tokens)


def _encode_classes(images: Sequence[Sequence[Image.Image]], encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Features `[N, embed_dim]` and labels `[N]` of classes' images."""
    features = torch.cat([image_features(own, encoder) for own in images]).to(encoder.device)
    labels = torch.cat([torch.full((len(own),), i) for i, own in enumerate(images)]).to(encoder.device)
    return features, labels
