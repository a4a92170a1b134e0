"""What learning starts from: photos, a parent and negatives as frozen features, latents and embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError
from gair_search.learning import attributes
from gair_search.learning.config import LearningConfig
from gair_search.learning.joint import Denoiser, HeldOut, Problem
from gair_search.learning.subspace import attribute_subspace
from gair_search.learning.templates import CLASSIFICATION, Slot

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator


def draw_views(image: Image.Image, n: int) -> list[Image.Image]:
    """Random crops of a photo, some of them mirrored; drawn from torch's global generator."""
    from torchvision.transforms import v2

    side = min(image.size)
    crop = v2.Compose([v2.RandomResizedCrop(side, scale=(0.4, 1.0)), v2.RandomHorizontalFlip()])
    return [crop(image) for _ in range(n)]


@torch.no_grad()  # not inference mode: gradients pass by these on their way to the token
def encode_latents(images: Sequence[Image.Image], generator: "Generator") -> Tensor:
    """Photos, and each mirrored, as the denoiser takes them: `[2 * len(images), C, h, w]`."""
    height, width = generator.size
    fitted = [_fit_to_generator(image, width, height) for image in images]
    pixels = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1
    both = torch.cat([pixels, pixels.flip(-1)]).to(generator.unet.device, generator.unet.dtype)
    latents: Tensor = generator.vae.encode(both).latent_dist.mode() * generator.vae.config.scaling_factor
    return latents


def view_features(
    images: Sequence[Image.Image], encoder: Encoder, views: int, seed: int
) -> NDArray[np.float32]:
    """Features of concept images, each followed by its views: `[n, 1 + views, embed_dim]`.

    Args:
        images: of the concept.
        views: crops of every image.
        seed: of the crops.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shown = [one for image in images for one in (image, *draw_views(image, views))]
    return encoder.encode_images(shown).reshape(len(images), 1 + views, -1)


@dataclass(frozen=True)
class Split:
    """Numbers of what is learned from, of what the step is chosen on, and of what is reported on: three sets."""

    train: NDArray[np.intp]
    choose: NDArray[np.intp]
    report: NDArray[np.intp]


def split_numbers(n: int, choose: int, report: int, seed: int) -> Split:
    """`n` numbers into three sets of which two have a size, drawn by a seed and in their order."""
    order = np.random.default_rng(seed).permutation(n)
    cuts = np.split(order, [n - choose - report, n - report])
    return Split(*(np.sort(own) for own in cuts))


def split_photos(n: int, seed: int) -> Split:
    """Of five photos and more a fifth is to choose on and a fifth to report on; of four, one is to report on.

    Fewer are all learned from.
    """
    return split_numbers(n, n // 5, n // 5 if n >= 5 else n // 4, seed)


def prepare_problem(
    images: Sequence[Image.Image] | NDArray[np.float32],
    parent: str,
    encoder: Encoder,
    find_negatives: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    config: LearningConfig,
    words: Sequence[str],
    generator: "Generator | None",
    seed: int,
    hold_out: bool = False,
) -> Problem:
    """Compute everything frozen.

    Args:
        images: of the concept; or their features alone, `[n, embed_dim]`.
        parent, encoder: the super-class and the model.
        find_negatives: see `lessons.learn_token`.
        config: of the learning.
        words: the attributes that span the subspace.
        generator: None without the diffusion loss.
        seed: of all that is drawn.
        hold_out: whether photos are left out as `split_photos` says, and for each set so formed a quarter of the
            negatives; else all are learned from.
    """
    tower = encoder.text_tower
    photos: Sequence[Image.Image] = () if isinstance(images, np.ndarray) else images
    features = view_features(photos, encoder, config.views, seed) if photos else np.asarray(images)[:, None]
    slot = Slot.from_template(tower, CLASSIFICATION, parent)
    with torch.inference_mode():
        (plain,) = slot.encode(tower, slot.before[:0]).features
    negatives = find_negatives(plain.cpu().numpy(), features)
    n, k = len(features), len(negatives)
    split = split_photos(n, seed) if hold_out else split_numbers(n, 0, 0, seed)
    quarter = max(k // 4, 1)
    others = split_numbers(k, quarter * bool(len(split.choose)), quarter * bool(len(split.report)), seed)
    denoiser = make_denoiser(photos, generator) if photos and generator and config.lambda_sd else None

    def on_device(rows: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.array(rows, np.float32)).to(encoder.device).flatten(0, -2)

    def held_out(own: NDArray[np.intp], other: NDArray[np.intp]) -> HeldOut | None:
        if not len(own):
            return None
        latents = denoiser.for_images(own).latents if denoiser else None
        return HeldOut(on_device(features[own]), on_device(negatives[other]), len(own), latents)

    embeddings = attributes.average_embeddings(tower, words)
    return Problem(
        parent=parent,
        concept=on_device(features[split.train]),
        negatives=on_device(negatives[others.train]),
        subspace=attribute_subspace(embeddings, config.rank) if config.projection else None,
        first=first_vectors(embeddings, config.n_vectors, seed),
        denoiser=denoiser.for_images(split.train) if denoiser else None,
        choose=held_out(split.choose, others.choose),
        report=held_out(split.report, others.report),
        photos=on_device(features[:, :1]),
    )


def first_vectors(embeddings: Tensor, n: int, seed: int) -> Tensor:
    """Where learning starts: at attributes drawn by a seed, none twice before all are; `[n, text_width]`.

    The paper doesn't say. Their mean is no start: it is shorter than any of them.
    """
    order = np.resize(np.random.default_rng(seed).permutation(len(embeddings)), n)
    return embeddings[torch.from_numpy(order).to(embeddings.device)].clone()


def make_denoiser(images: Sequence[Image.Image], generator: "Generator") -> Denoiser:
    """What the diffusion loss needs of concept images: their latents, and the frozen UNet. Raises GeneratorError."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(generator.scheduler)
    return Denoiser(generator.unet, scheduler, encode_latents(images, generator))


def _fit_to_generator(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """Centre-cropped to the generator's shape, uint8 `[height, width, 3]`."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC), np.uint8)


def check_learnable(
    name: str,
    images: Sequence[Image.Image] | NDArray[np.float32],
    parent: str,
    config: LearningConfig,
    generator: "Generator | None",
) -> None:
    """Raise ConceptError on what can't be learned from."""
    if not len(images):
        raise ConceptError(f"<{name}>: no photo to learn from; give 3 to 5 of the concept")
    if isinstance(images, np.ndarray) and config.lambda_sd:
        raise ConceptError(
            f"<{name}>: the diffusion loss needs images, and stored points have features alone; learn it with "
            f'method="prompt tuning", or from the images'
        )
    if not parent.strip():
        raise ConceptError(f"<{name}>: no parent; say what it is a kind of, as --parent dress")
    if config.lambda_sd and generator is None:
        raise ConceptError(
            f"<{name}>: the diffusion loss needs a generator, and the model has none; "
            f"learn without it: --method prompt-tuning"
        )


def check_length(tower: TextTower, parent: str, config: LearningConfig) -> None:
    """Raise ConceptError where the vectors leave no room for words."""
    longest = Slot.from_template(tower, CLASSIFICATION, parent).length(config.n_vectors)
    if longest + 8 > tower.n_ctx:  # room for a context
        raise ConceptError(
            f"{config.n_vectors} vectors and the parent take {longest} places of {tower.n_ctx}; "
            f"take fewer vectors or a shorter parent"
        )
