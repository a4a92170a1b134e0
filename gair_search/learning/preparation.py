"""What learning starts from: photos, a parent and negatives as frozen features, latents and embeddings."""

from collections.abc import Callable, Sequence
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
from gair_search.learning.joint import Denoiser, Problem
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


def image_features(images: Sequence[Image.Image], encoder: Encoder) -> Tensor:
    """`[len(images), embed_dim]`, normalised."""
    return torch.from_numpy(encoder.encode_images(images))


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
) -> tuple[Tensor, Tensor]:
    """Features of concept images and their views, `[N, embed_dim]`, and of further views that are held out.

    Args:
        images: of the concept; their own features come first.
        views: crops of every image.
        seed: of the crops.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cropped = [view for image in images for view in draw_views(image, views)]
        held = [view for image in images for view in draw_views(image, max(views // 3, 2))]
    return image_features([*images, *cropped], encoder), image_features(held, encoder)


def split_features(features: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Features of concept images without the images: those to learn from, and one in four, held out.

    Args:
        features: `[N, embed_dim]`, normalised, N >= 2.
    """
    kept = len(features) - max(len(features) // 4, 1)
    both = torch.from_numpy(np.array(features, np.float32))
    return both[:kept], both[kept:]


def prepare_problem(
    images: Sequence[Image.Image] | NDArray[np.float32],
    parent: str,
    encoder: Encoder,
    find_negatives: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    config: LearningConfig,
    words: Sequence[str],
    generator: "Generator | None",
    seed: int,
) -> Problem:
    """Compute everything frozen. A quarter of the negatives is held out, and of the concept views of every image.

    Args:
        images: of the concept; or their features alone, of which some are held out, see `split_features`.
    """
    tower = encoder.text_tower
    denoiser = None
    if isinstance(images, np.ndarray):
        seen, held_out = split_features(images)
    else:
        seen, held_out = view_features(images, encoder, config.views, seed)
        denoiser = make_denoiser(images, generator) if generator and config.lambda_sd else None
    slot = Slot.from_template(tower, CLASSIFICATION, parent)
    with torch.inference_mode():
        (plain,) = slot.encode(tower, slot.before[:0]).features
    found = find_negatives(plain.cpu().numpy(), torch.cat([seen, held_out]).numpy())
    shuffled = torch.from_numpy(found[np.random.default_rng(seed).permutation(len(found))]).to(encoder.device)
    kept = max(len(shuffled) // 4, 1)
    embeddings = attributes.average_embeddings(tower, words)
    subspace = attribute_subspace(embeddings, config.rank) if config.projection else None
    return Problem(
        parent=parent,
        concept=seen.to(encoder.device),
        negatives=shuffled[kept:],
        held_out_concept=held_out.to(encoder.device),
        held_out_negatives=shuffled[:kept],
        subspace=subspace,
        first=first_vectors(embeddings, config.n_vectors, seed),
        denoiser=denoiser,
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
    if isinstance(images, np.ndarray) and len(images) < 2:
        raise ConceptError(f"<{name}>: one stored point, and one is held out; give 3 to 5 of the concept")
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
