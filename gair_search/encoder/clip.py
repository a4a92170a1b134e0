"""The frozen CLIP: images -> image features; texts, or token embeddings and token weights -> text features.

The two towers load apart and when first used, so that text-only work never reads the image tower.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gair_search.encoder import models
from gair_search.encoder.identity import EmbedderId, ModelSpec
from gair_search.encoder.loading import load_image_tower, load_text_tower
from gair_search.encoder.open_clip_models import device_of, read_model
from gair_search.encoder.reweighting import PAPER_START_FRACTION
from gair_search.encoder.text_tower import PlainTextTower, TextEncoding, TextTower
from gair_search.errors import ModelError
from gair_search.images.fetching import UrlConfig
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.reading import load_pixels
from gair_search.images.sources import ImageSource, read_source

IMAGES_AT_ONCE = 64
"""Images that go through the image tower in one batch."""


class Encoder:
    """A loaded model: both towers, on one device, frozen. Safe to share between threads."""

    def __init__(
        self, spec: ModelSpec, device: str | None = None, start_fraction: float | None = None
    ) -> None:
        """Nothing is read yet; the towers load when first used.

        Args:
            spec: from `models.resolve`.
            device: `cpu`, `cuda`, `cuda:1`, `mps`; None takes the best there is.
            start_fraction: share of the text tower's blocks that SToRI leaves alone, in 0..1; the paper's
                unless given.

        Raises:
            ModelError: the device is not there, or `start_fraction` is no fraction.
        """
        if start_fraction is not None and not 0 <= start_fraction <= 1:
            raise ModelError(f"start_fraction {start_fraction}: expected a share of the blocks, in 0..1")
        self.spec = spec
        self.device = _find_device(device)
        self.dtype = _best_dtype(self.device)
        self.start_fraction = PAPER_START_FRACTION if start_fraction is None else start_fraction
        self._lock = threading.RLock()
        self._text: TextTower | PlainTextTower | None = None
        self._image: nn.Module | None = None

    @classmethod
    def load(cls, name: str, device: str | None = None, start_fraction: float | None = None) -> Self:
        """A model that is on this machine, by its name. Nothing is downloaded.

        Args:
            name: see `models.resolve`: `gair-mini`, `ViT-B-32/laion2b_s34b_b79k`, `local-dir:FOLDER`, ...
            device, start_fraction: as for `Encoder`.

        Raises:
            ModelError: there is no such model here; as `Encoder`.
        """
        return cls(models.resolve(name), device, start_fraction)

    @classmethod
    def from_open_clip(
        cls,
        model: nn.Module,
        tokenizer: Any,
        preprocess: Callable[[Image.Image], Any],
        *,
        name: str | None = None,
        start_fraction: float | None = None,
    ) -> Self:
        """A model of your own that you have loaded with open_clip, on the device where it lies.

        The model stays as it is: no weight, mode or gradient of it changes. The encoder computes in evaluation mode
        and shares the memory of float32 weights; those in half precision are copied to float32. So make a new
        encoder after training the model further, since what this one remembers of the weights would be old.

        Args:
            model: from `open_clip.create_model_and_transforms`; of any class, in any precision. Token weights and
                custom tokens need a causal text transformer with CLIP's tokenizer; other models, as CoCa and SigLIP,
                take plain prompts.
            tokenizer: from `open_clip.get_tokenizer`, for the same model.
            preprocess: `preprocess_val`, the third that `create_model_and_transforms` gives, or any transform
                from an RGB image to `[3, height, width]` that draws no lots and ends in ToTensor and Normalize.
            name: for people; by default its class and the length of its vectors, as `CLIP-512`. What tells models
                apart is `embedder_id`, from the weights, hashed when first asked for. The same model by its name has
                another, since that hashes its file: a gallery belongs to one of the two.
            start_fraction: as for `Encoder`.

        Raises:
            ModelError: an argument is something else, or the three don't belong together.
        """
        spec = read_model(model, tokenizer, preprocess, name)
        return cls(spec, str(device_of(spec.model)), start_fraction)

    @cached_property
    def embedder_id(self) -> EmbedderId:
        """Which model makes the vectors."""
        return self.spec.embedder_id

    @property
    def preprocessing(self) -> Preprocessing:
        """How the image tower wants its pixels."""
        return self.spec.preprocessing

    @property
    def has_loaded_image_tower(self) -> bool:
        """Whether the image tower has been read; text-only work leaves it on disk."""
        return self._image is not None

    @property
    def text_tower(self) -> TextTower:
        """The text tower, loaded on first use.

        Raises:
            ModelError: damaged weights, or a tower that takes no token weights and custom tokens.
        """
        tower = self._get_text_tower()
        if isinstance(tower, TextTower):
            return tower
        raise ModelError(
            f"the text tower of {self.spec.name} takes plain prompts only; token weights and custom tokens "
            f"need open_clip's causal transformer with CLIP's tokenizer, as in ViT-L-14/openai or gair-mini"
        )

    @property
    def image_tower(self) -> nn.Module:
        """The image tower, frozen, on the model's device, loaded on first use. Raises ModelError."""
        return self._get_image_tower()

    @property
    def takes_plain_prompts_only(self) -> bool:
        """Whether the text tower takes plain prompts only (Hugging Face towers, CoCa, SigLIP)."""
        return not isinstance(self._get_text_tower(), TextTower)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Features of plain texts, float32 `[N, embed_dim]`, L2-normalised; any text tower, in batches.

        Args:
            texts: plain text, brackets meaning themselves.

        Raises:
            PromptError: a text is longer than the context, where the tower is not open_clip's causal one.
            ModelError: damaged weights.
        """
        if not texts:
            return np.empty((0, self.spec.embed_dim), np.float32)
        with torch.inference_mode(), self._autocast():
            return self._get_text_tower().encode_texts(texts).cpu().numpy()

    def encode_embeddings(
        self, embeddings: Tensor, end: Tensor, token_weights: Tensor | None = None
    ) -> TextEncoding:
        """`TextTower.forward` without gradients, in the device's precision."""
        with torch.inference_mode(), self._autocast():
            encoding: TextEncoding = self.text_tower(embeddings, end, token_weights)
            return encoding

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Features of images, float32 `[N, embed_dim]`, L2-normalised, in batches.

        Args:
            images: of mode RGB, upright.

        Raises:
            ModelError: as `encode_pixels`.
        """
        return self.encode_pixels([self.preprocessing.pixels(image) for image in images])

    def encode_files(self, files: Iterable[str | os.PathLike[str]]) -> NDArray[np.float32]:
        """Features of image files, float32 `[N, embed_dim]`, L2-normalised, in batches.

        Raises:
            ImageError: a file can't be read.
            ModelError: as `encode_pixels`.
        """
        return self.encode_pixels([load_pixels(Path(file), self.preprocessing) for file in files])

    def encode_sources(
        self, sources: Iterable[ImageSource], urls: UrlConfig | None = None
    ) -> NDArray[np.float32]:
        """Features of images in any form, float32 `[N, embed_dim]`, L2-normalised, in batches.

        Args:
            sources: see `images.sources`; no string opens a file.
            urls: how web addresses are fetched; without, they are refused.

        Raises:
            ImageError: an image can't be read.
            ModelError: as `encode_pixels`.
        """
        side = self.preprocessing.decoded_side
        return self.encode_images([read_source(source, side, urls).image for source in sources])

    def encode_pixels(
        self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] | Tensor
    ) -> NDArray[np.float32]:
        """Features of preprocessed images, float32 `[N, embed_dim]`, L2-normalised, in batches.

        Args:
            pixels: uint8 `[N, height, width, 3]` as `Preprocessing.pixels` gives them: an array, a list of
                `[height, width, 3]`, or a tensor on any device.

        Raises:
            ModelError: damaged weights, or out of memory.
        """
        parts = [pixels[i : i + IMAGES_AT_ONCE] for i in range(0, len(pixels), IMAGES_AT_ONCE)]
        if not parts:
            return np.empty((0, self.spec.embed_dim), np.float32)
        return np.concatenate([self._encode_batch(part) for part in parts])

    def _encode_batch(
        self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] | Tensor
    ) -> NDArray[np.float32]:
        """`encode_pixels` of one batch."""
        tower = self._get_image_tower()
        if not isinstance(pixels, Tensor):
            pixels = torch.from_numpy(np.require(np.asarray(pixels), requirements="W"))
        with torch.inference_mode(), self._autocast():
            x = pixels.to(self.device).permute(0, 3, 1, 2).float().div(255)
            mean, std = (
                torch.tensor(v, device=self.device).view(1, 3, 1, 1)
                for v in (self.preprocessing.mean, self.preprocessing.std)
            )
            try:
                features = tower(x.sub(mean).div(std)).float()
            except torch.OutOfMemoryError as error:
                raise ModelError(f"{len(pixels)} images at once are too many; try --batch-size") from error
            return nn.functional.normalize(features, dim=-1).cpu().numpy()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _get_text_tower(self) -> "TextTower | PlainTextTower":
        with self._lock:
            if self._text is None:
                # whoever asks first: weights that are made in inference mode can't be learned through
                with torch.inference_mode(False):
                    self._text = load_text_tower(self.spec, self.start_fraction).to(self.device)
            return self._text

    def _get_image_tower(self) -> nn.Module:
        with self._lock:
            if self._image is None:
                with torch.inference_mode(False):  # as above
                    self._image = load_image_tower(self.spec).to(self.device)
            return self._image


def _find_device(name: str | None) -> torch.device:
    """The device of that name, or the best there is. Raises ModelError where it isn't there."""
    if name is None:
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no data")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {name} can't be used here ({reason}); try --device cpu") from error
    return device


def _best_dtype(device: torch.device) -> torch.dtype:
    """float32 on the CPU, bfloat16 on CUDA where the card has it, float16 elsewhere."""
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16
