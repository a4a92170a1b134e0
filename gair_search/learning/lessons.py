"""From photos to a custom token: everything frozen is computed once, then `learn.py` does the rest."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.encoder.identity import ModelSpec
from gair_search.encoder.model_settings import read_model_settings
from gair_search.errors import ConceptError, ModelError
from gair_search.images.folders import Skipped
from gair_search.learning import attributes
from gair_search.learning.joint import (
    PAPER,
    Denoiser,
    Learned,
    Losses,
    Method,
    Problem,
    Settings,
    learn_vectors,
)
from gair_search.learning.multiclass import (
    Classes,
    Classifier,
    class_features,
    held_out_loss,
    learn_classes,
)
from gair_search.learning.report import quality
from gair_search.learning.subspace import attribute_subspace
from gair_search.learning.templates import CLASSIFICATION, Slot
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator

LEARNING = "learning.json"
"""A file of a model's folder: the settings that suit it, found by measurement. Others take the paper's."""


@dataclass(frozen=True)
class Lesson:
    """What came of learning a concept.

    Attributes:
        token: fit to be stored; its facts tell how it was learned and how good it is.
        learned: the run.
        skipped: images that could not be read, and why.
    """

    token: CustomToken
    learned: Learned
    skipped: tuple[Skipped, ...] = ()


def settings_for(spec: ModelSpec, paper: bool = False, changes: Mapping[str, Any] | None = None) -> Settings:
    """The settings in a model's own folder, else the paper's.

    Args:
        spec: of the model.
        paper: whether to take the paper's in any case.
        changes: fields that are to be otherwise.

    Raises:
        ModelError: as `read_model_settings`.
    """
    settings = PAPER if paper else read_model_settings(spec, LEARNING, PAPER)
    return replace(settings, **(changes or {}))


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


def views(image: Image.Image, n: int) -> list[Image.Image]:
    """Random crops of a photo, some of them mirrored; drawn from torch's global generator."""
    from torchvision.transforms import v2

    side = min(image.size)
    crop = v2.Compose([v2.RandomResizedCrop(side, scale=(0.4, 1.0)), v2.RandomHorizontalFlip()])
    return [crop(image) for _ in range(n)]


def image_features(images: Sequence[Image.Image], encoder: Encoder) -> Tensor:
    """`[len(images), embed_dim]`, normalised."""
    return torch.from_numpy(encoder.encode_images(images))


@torch.no_grad()  # not inference mode: gradients pass by these on their way to the token
def latents_of(images: Sequence[Image.Image], generator: "Generator") -> Tensor:
    """Photos, and each mirrored, as the denoiser takes them: `[2 * len(images), C, h, w]`."""
    height, width = generator.size
    fitted = [_fitted(image, width, height) for image in images]
    pixels = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1
    both = torch.cat([pixels, pixels.flip(-1)]).to(generator.unet.device, generator.unet.dtype)
    latents: Tensor = generator.vae.encode(both).latent_dist.mode() * generator.vae.config.scaling_factor
    return latents


def learn_token(
    name: str,
    images: Sequence[Image.Image],
    parent: str,
    encoder: Encoder,
    find_negatives: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    *,
    settings: Settings | None = None,
    method: Method = "joint",
    adjectives: Sequence[str] = (),
    generator: "Generator | None" = None,
    seed: int = 0,
    on_look: Callable[[Losses], None] | None = None,
) -> Lesson:
    """Learn a concept from its photos.

    Args:
        name: of the concept.
        images: 3 to 5 photos of it, RGB.
        parent: what it is a kind of, "dress".
        encoder: the model; the token belongs to its text tower.
        find_negatives: (text features of 'image of a c' `[embed_dim]`, features of the concept images and
            their views `[N, embed_dim]`) -> features of negative images `[K, embed_dim]`.
        settings: as `settings_for` the model unless given; `method` sets the loss weights.
        adjectives: the attributes; else those of the vocabulary that are nearest to the parent.
        generator: for the diffusion loss; the joint method needs it, and prompt tuning doesn't.
        seed: the same gives the same token.
        on_look: see `learn_vectors`.

    Raises:
        ConceptError: no images, no parent, too few negatives; the method needs a generator.
        PromptError, ModelError.
    """
    settings = (settings or settings_for(encoder.spec)).by(method)
    _check(name, images, parent, settings, generator)
    tower = encoder.text_tower
    _check_length(tower, parent, settings)
    words = list(adjectives) or attributes.nearest(tower, parent, settings.n_attributes)
    problem = prepare(images, parent, encoder, find_negatives, settings, words, generator, seed)
    learned = learn_vectors(problem, tower, settings, seed, on_look)
    vectors = learned.vectors.float().cpu().numpy()
    concept = problem.concept[: len(images)].cpu().numpy()
    said = {
        facts.METHOD: method,
        facts.ATTRIBUTES: ", ".join(words),
        facts.CONCEPT_FEATURES: facts.pack(concept.mean(0)),
        "settings": json.dumps(asdict(settings)),
        "seed": str(seed),
        "step": str(learned.step),
        facts.HELD_OUT: facts.pack_losses((look.step, look.held_out) for look in learned.losses),
        "n_images": str(len(images)),
        "learned_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quality": json.dumps(quality(learned.vectors, problem, tower, words)),
    }
    return Lesson(
        CustomToken(name, vectors, tower.table_hash, str(encoder.embedder_id), parent, said), learned
    )


def prepare(
    images: Sequence[Image.Image],
    parent: str,
    encoder: Encoder,
    find_negatives: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    settings: Settings,
    words: Sequence[str],
    generator: "Generator | None",
    seed: int,
) -> Problem:
    """Compute everything frozen. Views of every photo, and a quarter of the negatives, are held out."""
    tower = encoder.text_tower
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cropped = [view for image in images for view in views(image, settings.views)]
        held = [view for image in images for view in views(image, max(settings.views // 3, 2))]
    seen = image_features([*images, *cropped], encoder)
    held_out = image_features(held, encoder)
    slot = Slot.template(tower, CLASSIFICATION, parent)
    with torch.inference_mode():
        (plain,) = slot.encode(tower, slot.before[:0]).features
    found = find_negatives(plain.cpu().numpy(), torch.cat([seen, held_out]).numpy())
    shuffled = torch.from_numpy(found[np.random.default_rng(seed).permutation(len(found))]).to(encoder.device)
    kept = max(len(shuffled) // 4, 1)
    embeddings = attributes.average_embeddings(tower, words)
    subspace = attribute_subspace(embeddings, settings.rank) if settings.projection else None
    return Problem(
        parent=parent,
        concept=seen.to(encoder.device),
        negatives=shuffled[kept:],
        held_out_concept=held_out.to(encoder.device),
        held_out_negatives=shuffled[:kept],
        subspace=subspace,
        first=first_vectors(embeddings, settings.n_vectors, seed),
        denoiser=denoiser_of(images, generator) if generator and settings.lambda_sd else None,
    )


def first_vectors(embeddings: Tensor, n: int, seed: int) -> Tensor:
    """Where learning starts: at attributes drawn by a seed, none twice before all are; `[n, text_width]`.

    The paper doesn't say. Their mean is no start: it is shorter than any of them.
    """
    order = np.resize(np.random.default_rng(seed).permutation(len(embeddings)), n)
    return embeddings[torch.from_numpy(order).to(embeddings.device)].clone()


def denoiser_of(images: Sequence[Image.Image], generator: "Generator") -> Denoiser:
    """What the diffusion loss needs of concept images: their latents, and the frozen UNet. Raises GeneratorError."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(generator.scheduler)
    return Denoiser(generator.unet, scheduler, latents_of(images, generator))


def _fitted(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """Centre-cropped to the generator's shape, uint8 `[height, width, 3]`."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC), np.uint8)


def _check(
    name: str, images: Sequence[Image.Image], parent: str, settings: Settings, generator: "Generator | None"
) -> None:
    """Raise ConceptError on what can't be learned from."""
    if not images:
        raise ConceptError(f"<{name}>: no photo to learn from; give 3 to 5 of the concept")
    if not parent.strip():
        raise ConceptError(f"<{name}>: no parent; say what it is a kind of, as --parent dress")
    if settings.lambda_sd and generator is None:
        raise ConceptError(
            f"<{name}>: the diffusion loss needs a generator, and the model has none; "
            f"learn without it: --method prompt-tuning"
        )


def _check_length(tower: Any, parent: str, settings: Settings) -> None:
    """Raise ConceptError where the vectors leave no room for words."""
    longest = Slot.template(tower, CLASSIFICATION, parent).length(settings.n_vectors)
    if longest + 8 > tower.n_ctx:  # room for a context
        raise ConceptError(
            f"{settings.n_vectors} vectors and the parent take {longest} places of {tower.n_ctx}; "
            f"take fewer vectors or a shorter parent"
        )


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
    settings: Settings | None = None,
    method: Method = "joint",
    generator: "Generator | None" = None,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> Lessons:
    """Learn several concepts together (MC-TI, see `multiclass.py`); no names or parents of them are known.

    Args:
        concepts: name of a token -> its photos, RGB; two concepts or more.
        encoder, settings, method, generator, seed: as for `learn_token`; there is no subspace, since no parent says
            which attributes suit.
        on_step: told (steps done, joint loss) every `check_every` steps. A KeyboardInterrupt ends the run.

    Raises:
        ConceptError: fewer than two concepts, one without photos; the method needs a generator.
    """
    settings = (settings or settings_for(encoder.spec)).by(method)
    if len(concepts) < 2:
        raise ConceptError(
            f"{len(concepts)} concept: telling concepts apart takes two or more, one folder each"
        )
    for name, images in concepts.items():
        _check(name, images, "thing", settings, generator)
    tower = encoder.text_tower
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = [
            [*images, *(v for i in images for v in views(i, settings.views))] for images in concepts.values()
        ]
        held = [[view for image in images for view in views(image, 2)] for images in concepts.values()]
    features, labels = _of_classes(seen, encoder)
    unseen, truth = _of_classes(held, encoder)
    start = attributes.average_embeddings(tower, attributes.vocabulary()).mean(0)
    classes = Classes(
        features,
        labels,
        start.expand(len(concepts), settings.n_vectors, -1).clone(),
        denoisers=[denoiser_of(images, generator) for images in concepts.values()]
        if generator and settings.lambda_sd
        else (),
    )
    looks: list[tuple[int, float]] = []

    def look(step: int, loss: float, vectors: Tensor) -> None:
        looks.append((step, held_out_loss(classes, vectors, tower, settings, unseen, truth)))
        if on_step:
            on_step(step, loss)

    vectors = learn_classes(classes, tower, settings, seed, look)
    with torch.inference_mode():
        scale = tower.logit_scale if settings.scale is None else settings.scale
        classifier = Classifier(tuple(concepts), class_features(tower, vectors).clone(), scale)
    accuracy = float((classifier.probabilities(unseen).argmax(1) == truth).float().mean())
    last = looks[-1][0] if looks else 0
    said = {
        facts.METHOD: method,
        "together": ", ".join(concepts),
        "settings": json.dumps(asdict(settings)),
        "seed": str(seed),
        "step": str(last) if last == settings.steps else f"stopped after {last}",
        facts.HELD_OUT: facts.pack_losses(looks),
        "learned_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    tokens = []
    for i, (name, images) in enumerate(concepts.items()):
        mean = features[labels == i][: len(images)].mean(0).cpu().numpy()
        own = {**said, facts.CONCEPT_FEATURES: facts.pack(mean), "n_images": str(len(images))}
        rows = vectors[i].float().cpu().numpy()
        tokens.append(CustomToken(name, rows, tower.table_hash, str(encoder.embedder_id), "", own))
    return Lessons(tuple(tokens), classifier, accuracy)


def _of_classes(images: Sequence[Sequence[Image.Image]], encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Features `[N, embed_dim]` and labels `[N]` of classes' images."""
    features = torch.cat([image_features(own, encoder) for own in images]).to(encoder.device)
    labels = torch.cat([torch.full((len(own),), i) for i, own in enumerate(images)]).to(encoder.device)
    return features, labels
