"""d: mixed conditioning -> generated images and their features, in as few batches as it takes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.gair.cache import GeneratedImage, ImageCache
from gair_search.gair.options import GairConfig
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.progress import Progress

BLANK = 2
"""An image whose lightest and darkest values, of 0..255, are this near to each other shows nothing."""

_FORMAT = 1  # of the cache's keys; a higher one draws anew


@dataclass(frozen=True)
class CandidateImages:
    """The images of one conditioning, one a seed.

    Attributes:
        pixels: uint8 `[S, height, width, 3]`, the blank ones among them.
        features: image features of those that are not blank, float32 `[n, embed_dim]`; `[0, embed_dim]` where all are.
    """

    pixels: NDArray[np.uint8]
    features: NDArray[np.float32]

    @property
    def excluded(self) -> int:
        """How many are blank, and don't count."""
        return len(self.pixels) - len(self.features)


class Drawing:
    """d of Algorithm 1, for a visualizer, seeds and a way to sample. What is asked for twice is drawn once.

    >>> d = Drawing(visualizer, config)
    >>> context, whole = d([mixture.conditioning(0.0), mixture.conditioning(1.0)])
    """

    def __init__(self, visualizer: "Visualizer", config: GairConfig) -> None:
        """`config` gives seeds and sampling."""
        self.visualizer = visualizer
        self.seeds, self.sampling = config.seeds, config.sampling
        self._images: dict[bytes, CandidateImages] = {}

    def __call__(self, conditionings: Sequence[Tensor]) -> list[CandidateImages]:
        """Images of each conditioning `[n_ctx, text_width]`, in one batch; raises as `Visualizer.draw`."""
        keys = [_content(conditioning) for conditioning in conditionings]
        missing = {key: c for key, c in zip(keys, conditionings, strict=True) if key not in self._images}
        if missing:
            # rows of a seed beside each other share the generator's first step
            rows = [(seed, key) for seed in self.seeds for key in missing]
            images = self.visualizer.draw(
                torch.stack([missing[key] for _, key in rows]), [seed for seed, _ in rows], self.sampling
            )
            for key in missing:
                self._images[key] = _gather(
                    [one for (_, own), one in zip(rows, images, strict=True) if own == key]
                )
        return [self._images[key] for key in keys]


class Visualizer:
    """Draws and embeds images of conditioning, once each: what is on disk is not drawn again.

    Attributes:
        warnings: what the user should know of the drawing so far.
        cached: images that were found on disk so far.
        denoiser_rows: rows that went through the UNet so far.
    """

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        cache: ImageCache | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """`on_progress` is called with the steps of single images that are done, and those known so far."""
        self.encoder, self.generator, self.cache = encoder, generator, cache
        self.warnings: list[str] = []
        self.cached = self.denoiser_rows = 0
        self._on_progress = on_progress
        self._done = self._total = 0

    def draw(
        self, conditioning: Tensor, seeds: Sequence[int], sampling: SamplingConfig
    ) -> list[GeneratedImage]:
        """Images of conditioning `[B, n_ctx, text_width]`, one seed each, with their features.

        Raises:
            GeneratorError, ModelError: as `Generator.sample` and `Encoder.encode_pixels`.
        """
        complete = self.generator.complete_sampling(sampling)
        keys = [self._key(row, seed, complete) for row, seed in zip(conditioning, seeds, strict=True)]
        found = {key: image for key in keys if self.cache and (image := self.cache.get(key))}
        self.cached += sum(key in found for key in keys)
        missing = [i for i, key in enumerate(keys) if key not in found]
        if missing:
            new = self._draw_missing(conditioning[missing], [seeds[i] for i in missing], complete)
            found |= dict(zip((keys[i] for i in missing), new, strict=True))
            self._keep({keys[i]: found[keys[i]] for i in missing})
        return [found[key] for key in keys]

    def _draw_missing(
        self, conditioning: Tensor, seeds: Sequence[int], sampling: SamplingConfig
    ) -> list[GeneratedImage]:
        """Images that are drawn and embedded now."""
        assert sampling.steps is not None
        self._total += len(seeds) * sampling.steps
        before = self.generator.denoiser_rows
        images = self.generator.sample(
            conditioning, seeds, sampling, on_step=self._report_step, on_warning=self.warnings.append
        )
        self.denoiser_rows += self.generator.denoiser_rows - before
        features = embed_images(images, self.encoder)
        return [GeneratedImage(*pair) for pair in zip(images.cpu().numpy(), features, strict=True)]

    def _report_step(self, images: int) -> None:
        self._done += images
        if self._on_progress:
            self._on_progress(min(self._done, self._total), self._total)

    def _keep(self, images: Mapping[str, GeneratedImage]) -> None:
        """Put images on disk; where it is full, that is said and nothing else."""
        if self.cache is None:
            return
        try:
            for key, one in images.items():
                self.cache.put(key, one)
            self.cache.trim()
        except OSError as error:
            reason = error.strerror or error
            warning = f"the images can't be kept in {self.cache.folder} ({reason}); see GAIR_HOME"
            if warning not in self.warnings:
                self.warnings.append(warning)

    def _key(self, conditioning: Tensor, seed: int, sampling: SamplingConfig) -> str:
        """Hash of all that determines an image and its features."""
        embedder = self.encoder.embedder_id
        facts = [_FORMAT, self.generator.identity, embedder.weights, embedder.architecture]
        facts += [embedder.preprocessing, str(self.encoder.device.type), str(self.encoder.dtype)]
        facts += [asdict(sampling), seed]
        return hashlib.sha256(json.dumps(facts).encode() + _content(conditioning)).hexdigest()[:32]

    def warn_of_blank(self, images: Mapping[float, CandidateImages]) -> None:
        """Add a warning where images of mixing weights are blank."""
        if count := sum(one.excluded for one in images.values()):
            weights = ", ".join(f"{w:g}" for w, one in sorted(images.items()) if one.excluded)
            total = sum(len(one.pixels) for one in images.values())
            self.warnings.append(
                f"{count} of {total} images are black or of one colour and don't count (w = {weights})"
            )


def embed_images(images: Tensor, encoder: Encoder) -> NDArray[np.float32]:
    """Image features `[B, embed_dim]` of generated images, uint8 `[B, height, width, 3]`, resized on their device."""
    height, width = encoder.preprocessing.size
    if encoder.preprocessing.keeps_whole(images.shape[1], images.shape[2]):
        from torchvision.transforms.v2 import functional
        from torchvision.transforms.v2.functional import InterpolationMode

        method = InterpolationMode.BICUBIC
        if encoder.preprocessing.interpolation == "bilinear":
            method = InterpolationMode.BILINEAR
        planes = images.permute(0, 3, 1, 2)
        resized = functional.resize(planes, [height, width], method, antialias=True).permute(0, 2, 3, 1)
    else:
        shown = [Image.fromarray(image) for image in images.cpu().numpy()]
        resized = torch.from_numpy(np.stack([encoder.preprocessing.pixels(image) for image in shown]))
    return encoder.encode_pixels(resized)


def is_blank(image: NDArray[np.uint8]) -> bool:
    """Whether an image, `[height, width, 3]`, is black, or of one colour, and so shows nothing."""
    return int(np.ptp(image, axis=(0, 1)).max()) <= BLANK


def _gather(images: Sequence[GeneratedImage]) -> CandidateImages:
    features = [one.features for one in images if not is_blank(one.image)]
    width = len(images[0].features)
    return CandidateImages(
        np.stack([one.image for one in images]), np.array(features, np.float32).reshape(-1, width)
    )


def _content(conditioning: Tensor) -> bytes:
    return conditioning.float().cpu().contiguous().numpy().tobytes()
