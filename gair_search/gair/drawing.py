"""Queries as pictures: candidate weights -> generated images -> their scores, all in as few batches as it takes."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.errors import GeneratorError
from gair_search.gair.algorithm import (
    Mixture,
    coarse_to_fine,
    context_score,
    object_score,
    select,
)
from gair_search.gair.cache import Drawn, ImageCache
from gair_search.gair.options import GairConfig
from gair_search.gair.result import Candidate
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig

BLANK = 2
"""An image whose lightest and darkest values, of 0..255, are this near to each other shows nothing."""

_FORMAT = 1  # of the cache's keys; a higher one draws anew


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
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """`on_progress` is told how many steps of single images are done, and of how many so far known."""
        self.encoder, self.generator, self.cache = encoder, generator, cache
        self.warnings: list[str] = []
        self.cached = self.denoiser_rows = 0
        self._on_progress = on_progress
        self._done = self._total = 0

    def draw(self, conditioning: Tensor, seeds: Sequence[int], sampling: SamplingConfig) -> list[Drawn]:
        """Images of conditioning `[B, n_ctx, text_width]`, one seed each, with their features.

        Raises:
            GeneratorError, ModelError: as `Generator.sample` and `Encoder.embed`.
        """
        settled = self.generator.complete_sampling(sampling)
        keys = [self._key(row, seed, settled) for row, seed in zip(conditioning, seeds, strict=True)]
        found = {key: drawn for key in keys if self.cache and (drawn := self.cache.get(key))}
        self.cached += sum(key in found for key in keys)
        missing = [i for i, key in enumerate(keys) if key not in found]
        if missing:
            fresh = self._fresh(conditioning[missing], [seeds[i] for i in missing], settled)
            found |= dict(zip((keys[i] for i in missing), fresh, strict=True))
            self._keep({keys[i]: found[keys[i]] for i in missing})
        return [found[key] for key in keys]

    def explore(
        self, mixture: Mixture, concept_features: NDArray[np.float32], options: GairConfig
    ) -> tuple[dict[float, Candidate], NDArray[np.float32]]:
        """Draw and score candidates: all of a round, and all seeds, in one batch.

        Args:
            mixture: of the prompt.
            concept_features: mean features of the concept images, `[embed_dim]`.
            options: which candidates, seeds, and how to draw.

        Returns:
            the candidates by w, w = 0 among them always; and the mean features of the context images,
            `[embed_dim]`.

        Raises:
            GeneratorError: all images at w = 0 are blank; others as `draw`.
        """
        drawn: dict[float, list[Drawn]] = {}
        seen: dict[float, Candidate] = {}

        def evaluate(weights: Sequence[float]) -> Mapping[float, float]:
            # w = 0 gives the context images, whether it may be selected or not
            new = [w for w in dict.fromkeys((0.0, *weights)) if w not in drawn]
            drawn.update(self._rows(mixture, new, options))
            context = _features(drawn[0.0])
            if not len(context):
                raise GeneratorError(
                    f"all {len(drawn[0.0])} images at w = 0 are black or of one colour, so there is no context to "
                    f"compare with; try other seeds, more steps, or less guidance"
                )
            for w in weights:
                seen[w] = _candidate(w, drawn[w], concept_features, context)
            return {w: _or_worst(seen[w].score) for w in weights}

        if options.mixing_weight is None and options.candidates is None:
            coarse_to_fine(evaluate, options.first_weights, options.step)
        else:
            evaluate(options.first_weights)
        self._warn_excluded(drawn)
        context = _features(drawn[0.0])
        if 0.0 not in seen:
            seen[0.0] = replace(_candidate(0.0, drawn[0.0], concept_features, context), context_only=True)
        return {w: seen[w] for w in sorted(seen)}, context.mean(axis=0)

    def context(self, mixture: Mixture, options: GairConfig) -> NDArray[np.float32]:
        """Mean features `[embed_dim]` of the context images alone. Raises as `explore`."""
        alone = GairConfig(
            mixing_weight=0.0, seeds=options.seeds, sampling=options.sampling, cache=options.cache
        )
        return self.explore(mixture, np.zeros_like(mixture.concept_query), alone)[1]

    def show(self, conditioning: Tensor, options: GairConfig) -> Candidate:
        """Images of a prompt as it is, `[n_ctx, text_width]`, one a seed, without scores."""
        rows = conditioning.expand(len(options.seeds), -1, -1)
        drawn = self.draw(rows, options.seeds, options.sampling)
        self._warn_excluded({1.0: drawn})
        images = np.stack([one.image for one in drawn])
        return Candidate(1.0, images, None, None, len(drawn) - len(_features(drawn)))

    def _rows(
        self, mixture: Mixture, weights: Sequence[float], options: GairConfig
    ) -> dict[float, list[Drawn]]:
        """Images of weights, one a seed, as one batch; rows of a seed beside each other share its first step."""
        if not weights:
            return {}
        rows = [(seed, w) for seed in options.seeds for w in weights]
        drawn = self.draw(
            mixture.conditioning([w for _, w in rows]), [seed for seed, _ in rows], options.sampling
        )
        found: dict[float, list[Drawn]] = {w: [] for w in weights}
        for (_, w), one in zip(rows, drawn, strict=True):
            found[w].append(one)
        return found

    def _fresh(self, conditioning: Tensor, seeds: Sequence[int], sampling: SamplingConfig) -> list[Drawn]:
        """Images that are drawn and embedded now."""
        assert sampling.steps is not None
        self._total += len(seeds) * sampling.steps
        before = self.generator.denoiser_rows
        images = self.generator.sample(
            conditioning, seeds, sampling, on_step=self._step, on_warning=self.warnings.append
        )
        self.denoiser_rows += self.generator.denoiser_rows - before
        features = embedded(images, self.encoder)
        return [Drawn(*pair) for pair in zip(images.cpu().numpy(), features, strict=True)]

    def _step(self, images: int) -> None:
        self._done += images
        if self._on_progress:
            self._on_progress(min(self._done, self._total), self._total)

    def _keep(self, drawn: Mapping[str, Drawn]) -> None:
        """Put images on disk; where it is full, that is said and nothing else."""
        if self.cache is None:
            return
        try:
            for key, one in drawn.items():
                self.cache.put(key, one)
            self.cache.trim()
        except OSError as error:
            reason = error.strerror or error
            said = f"the images can't be kept in {self.cache.folder} ({reason}); see GAIR_HOME"
            if said not in self.warnings:
                self.warnings.append(said)

    def _key(self, conditioning: Tensor, seed: int, sampling: SamplingConfig) -> str:
        """Hash of all that determines an image and its features."""
        embedder = self.encoder.embedder_id
        facts = [_FORMAT, self.generator.identity, embedder.weights, embedder.architecture]
        facts += [embedder.preprocessing, str(self.encoder.device.type), str(self.encoder.dtype)]
        facts += [asdict(sampling), seed]
        row = conditioning.float().cpu().contiguous().numpy().tobytes()
        return hashlib.sha256(json.dumps(facts).encode() + row).hexdigest()[:32]

    def _warn_excluded(self, drawn: Mapping[float, Sequence[Drawn]]) -> None:
        blank = {w: len(some) - len(_features(some)) for w, some in drawn.items()}
        if count := sum(blank.values()):
            at = ", ".join(f"{w:g}" for w, n in sorted(blank.items()) if n)
            total = sum(map(len, drawn.values()))
            self.warnings.append(
                f"{count} of {total} images are black or of one colour and don't count (w = {at})"
            )


def embedded(images: Tensor, encoder: Encoder) -> NDArray[np.float32]:
    """Image features `[B, embed_dim]` of generated images, uint8 `[B, height, width, 3]`, resized on their device."""
    height, width = encoder.preprocessing.size
    if images.shape[1] * width == images.shape[2] * height:  # nothing to crop or to pad
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


def best(candidates: Mapping[float, Candidate]) -> float:
    """The selected weight. Raises GeneratorError where no candidate has a score."""
    scores = {w: _or_worst(one.score) for w, one in candidates.items() if not one.context_only}
    if max(scores.values()) == -math.inf:
        raise GeneratorError(
            "the images of all candidate weights are black or of one colour; try other seeds or more steps"
        )
    return select(scores)


def blank(image: NDArray[np.uint8]) -> bool:
    """Whether an image, `[height, width, 3]`, is black, or of one colour, and so shows nothing."""
    return int(np.ptp(image, axis=(0, 1)).max()) <= BLANK


def _features(drawn: Sequence[Drawn]) -> NDArray[np.float32]:
    """Features `[S, embed_dim]` of the images that count; `[0]` where none does."""
    return np.array([one.features for one in drawn if not blank(one.image)], dtype=np.float32)


def _candidate(
    w: float,
    drawn: Sequence[Drawn],
    concept_features: NDArray[np.float32],
    context_features: NDArray[np.float32],
) -> Candidate:
    features, images = _features(drawn), np.stack([one.image for one in drawn])
    excluded = len(drawn) - len(features)
    if not len(features):
        return Candidate(w, images, None, None, excluded)
    scores = object_score(features, concept_features), context_score(features, context_features)
    return Candidate(w, images, *scores, excluded)


def _or_worst(score: float | None) -> float:
    return -math.inf if score is None else score
