"""Who says what a generated image shows: an encoder of images and texts, or a classifier of the fashion world."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.methods.concepts import Features, unit_rows
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError

Scores = NDArray[np.float64]

PIXELS = "pixels"
"""Name of the judge that is fitted on the fashion world's renderings."""

_SIDE, _CELL, _LEVELS = 64, 8, 4
_BLUR = 1.5


class Judge(Protocol):
    """Scores pictures for objects and for contexts; the largest of a row is what the judge sees."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def scores(self, pictures: Sequence[Picture]) -> tuple[Scores, Scores]:
        """`[N, objects]` and `[N, contexts]`."""
        ...


@dataclass(frozen=True)
class EncoderJudge:
    """The paper's: image features against those of each object's concept images and those of each context's text.

    Attributes:
        encoder: any model of images and texts.
        work: keeps the features.
        objects: concept images, a group an object.
        contexts: the texts, as 'on a beach'.
    """

    encoder: Encoder
    work: Work
    objects: Sequence[Sequence[Picture]]
    contexts: Sequence[str]

    @property
    def name(self) -> str:
        """The model's."""
        return self.encoder.spec.name

    def scores(self, pictures: Sequence[Picture]) -> tuple[Scores, Scores]:
        """Cosines to an object's mean concept image, and to a context's text features."""
        features = self.work.features(self.encoder, pictures).astype(np.float64)
        return features @ self._means.T, features @ self._texts.T

    @cached_property
    def _means(self) -> Features:
        rows = self.work.features(self.encoder, [picture for own in self.objects for picture in own])
        ends = np.cumsum([len(own) for own in self.objects])[:-1]
        return unit_rows(np.stack([own.mean(0) for own in np.split(rows, ends)]))

    @cached_property
    def _texts(self) -> Features:
        return self.encoder.encode_texts(self.contexts)


class PixelJudge:
    """Logistic regressions on pixels, fitted on renderings of the objects in the contexts.

    It shares nothing with any CLIP: contexts are told by a picture of 8 x 8 pixels, objects by this with colour
    counts and histograms of oriented gradients. Every second rendering is blurred, as decoders blur.
    """

    name = PIXELS

    def __init__(
        self, pictures: Sequence[Picture], objects: Sequence[int], contexts: Sequence[int], seed: int = 0
    ) -> None:
        """Fit.

        Args:
            pictures: renderings.
            objects, contexts: which object 0, 1, ... each shows, and which context; all are shown.
            seed: of the blur.

        Raises:
            GairError: scikit-image or scikit-learn is not installed.
        """
        rng = np.random.default_rng(seed)
        colors, shapes = _pixel_features(
            [
                picture.image().filter(ImageFilter.GaussianBlur(rng.uniform(0, _BLUR) * (i % 2)))
                for i, picture in enumerate(pictures)
            ]
        )
        self._objects = _fit_classifier(np.hstack([colors, shapes]), objects, 0.01)
        self._contexts = _fit_classifier(colors, contexts, 0.1)

    def scores(self, pictures: Sequence[Picture]) -> tuple[Scores, Scores]:
        """Probabilities."""
        colors, shapes = _pixel_features([picture.image() for picture in pictures])
        return self._objects.predict_proba(np.hstack([colors, shapes])), self._contexts.predict_proba(colors)


def _pixel_features(images: Sequence[Image.Image]) -> tuple[Features, Features]:
    """Colours in 8 x 8 places `[N, 192]`; colour counts and gradients `[N, 640]`."""
    try:
        from skimage.feature import hog
    except ImportError as error:
        raise _missing_extra_error() from error
    colors, shapes = [], []
    for image in images:
        small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        pixels = np.asarray(small)
        centre = pixels[_SIDE // 4 : -_SIDE // 4, _SIDE // 4 : -_SIDE // 4]
        colors.append(
            np.asarray(small.resize((_CELL, _CELL), Image.Resampling.BOX), np.float32).ravel() / 255
        )
        gradients = hog(pixels, 8, (_CELL, _CELL), (1, 1), channel_axis=-1)
        shapes.append(np.concatenate([_color_counts(pixels), _color_counts(centre), gradients]))
    return np.stack(colors), np.stack(shapes).astype(np.float32)


def _color_counts(pixels: NDArray[np.uint8]) -> Features:
    """Square roots of the shares of 4 x 4 x 4 colours, `[64]`."""
    bins = (pixels // (256 // _LEVELS)).reshape(-1, 3) @ np.array([_LEVELS**2, _LEVELS, 1])
    counts: Features = np.sqrt(np.bincount(bins, minlength=_LEVELS**3) / len(bins)).astype(np.float32)
    return counts


def _fit_classifier(features: Features, labels: Sequence[int], strength: float) -> Any:
    """A classifier with scikit-learn's `predict_proba`, a column a label; `strength` is the inverse of its penalty."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise _missing_extra_error() from error
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)).fit(features, labels)


def _missing_extra_error() -> GairError:
    return GairError(
        f"the judge {PIXELS} needs scikit-image and scikit-learn: pip install 'gair-search[bench]'"
    )
