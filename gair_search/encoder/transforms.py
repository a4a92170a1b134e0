"""An image transform as open_clip gives it -> `Preprocessing`: ours where it makes the same pixels, else the
transform itself."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gair_search.errors import ImageError, ModelError
from gair_search.images.preprocessing import Preprocessing

Channels = tuple[float, float, float]

EXPECTED = "expected preprocess_val, the third that open_clip.create_model_and_transforms(...) gives"

_ROUNDS = 4  # a mirrored image stays as it was in half of them
_TOLERANCE = 0.2  # grey levels that half precision may be off


@dataclass(frozen=True)
class TransformPreprocessing(Preprocessing):
    """A transform of the user's own, its last step, the normalisation, undone.

    Attributes:
        transform: an RGB image -> float tensor `[3, height, width]`, normalised by `mean` and `std`.
    """

    transform: Callable[[Image.Image], torch.Tensor] = field(kw_only=True, repr=False)

    @property
    def decoded_side(self) -> int | None:
        """None: it may cut pieces out of the whole image."""
        return None

    def keeps_whole(self, height: int, width: int) -> bool:
        """False: what it does to an image is not known."""
        return False

    def facts(self) -> dict[str, Any]:
        """Size and normalisation, and a hash of what becomes of some pictures: code has no other identity."""
        digest = hashlib.sha256()
        for picture in _made_pictures(self.size):
            digest.update(self.pixels(picture).tobytes())
        return {"size": self.size, "mean": self.mean, "std": self.std, "pixels": digest.hexdigest()}

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The transform's output as uint8 `[height, width, 3]`, not normalised.

        Raises:
            ImageError: the transform fails on this image, or gives another shape.
        """
        try:
            levels = _undo(self.transform(image), self.mean, self.std)
        except Exception as error:  # whatever a transform raises
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ImageError(f"the model's transform fails on it ({reason})") from error
        if levels.shape != (*self.size, 3):
            raise ImageError(
                f"the model's transform makes {[*levels.shape]} of it, expected {[*self.size, 3]}"
            )
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def read_preprocessing(preprocess: Any, visual: Any) -> Preprocessing:
    """What an image transform does, found out by pictures that are made for it.

    Args:
        preprocess: the transform.
        visual: the image tower; open_clip writes on it how it prepares images.

    Returns:
        open_clip's preparation as data, where that gives the very same pixels; else the transform in
        `TransformPreprocessing`.

    Raises:
        ModelError: it is no transform of images, or draws lots, as the one for training does; or pixels can't be
            won back from what it gives.
    """
    height, width = _check_transform(preprocess)
    pictures = _made_pictures((height, width))
    outputs = _apply(preprocess, pictures, 0)
    if any(output.shape != (3, height, width) for output in outputs):
        shapes = ", ".join(str([*output.shape]) for output in outputs)
        raise ModelError(f"preprocess gives tensors of several shapes ({shapes}); {EXPECTED}")
    mean, std, pixels = _undo_normalisation(outputs, preprocess, visual)
    for candidate in _candidates((height, width), mean, std, visual, pixels):
        if all(
            np.array_equal(candidate.pixels(picture), expected)
            for picture, expected in zip(pictures, pixels, strict=True)
        ):
            return candidate
    return TransformPreprocessing((height, width), mean, std, transform=preprocess)


def describe(thing: Any) -> str:
    """What something is, for messages: a function's name, or its type's."""
    return str(getattr(thing, "__name__", type(thing).__name__))


def _made_pictures(size: tuple[int, int]) -> list[Image.Image]:
    """Noise in a landscape, a portrait, nearly a square, and one that is tiny."""
    height, width = size
    shapes = [(1.4 * height, 2.3 * width), (1.7 * height, 0.8 * width), (1.1 * height, 1.1 * width), (5, 7)]
    dice = np.random.default_rng(0)
    return [
        Image.fromarray(dice.integers(0, 256, (int(rows), int(columns), 3), dtype=np.uint8))
        for rows, columns in shapes
    ]


def _check_transform(preprocess: Any) -> tuple[int, int]:
    """(height, width) of what it gives. Raises ModelError where it is none, or not the same every time."""
    if not callable(preprocess):
        raise ModelError(f"preprocess is {describe(preprocess)}; {EXPECTED}")
    pictures = _made_pictures((224, 224))
    first = _apply(preprocess, pictures, 0)
    for output in first:
        if output.ndim != 3 or output.shape[0] != 3 or not output.is_floating_point():
            raise ModelError(
                f"preprocess gives {output.dtype} {[*output.shape]}, expected floats [3, height, width]; {EXPECTED}"
            )
    for seed in range(1, _ROUNDS):
        again = _apply(preprocess, pictures, seed)
        if not all(torch.equal(one, other) for one, other in zip(first, again, strict=True)):
            names = [name for name in map(describe, _steps(preprocess)) if "random" in name.lower()]
            holder = f" (it holds {', '.join(names)})" if names else ""
            raise ModelError(
                f"preprocess draws lots{holder}: it makes something else of the same image every time; {EXPECTED}"
            )
    return int(first[0].shape[1]), int(first[0].shape[2])


def _apply(preprocess: Any, pictures: Sequence[Image.Image], seed: int) -> list[torch.Tensor]:
    """What a transform gives, with dice of a seed; the user's dice stay as they are. Raises ModelError."""
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            outputs = [preprocess(picture.copy()) for picture in pictures]
    except Exception as error:  # whatever a transform raises
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(
            f"preprocess is {describe(preprocess)}, and fails on an RGB image ({reason}); {EXPECTED}"
        ) from error
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    if wrong := [output for output in outputs if not isinstance(output, torch.Tensor)]:
        raise ModelError(f"preprocess gives {describe(wrong[0])}, expected a tensor; {EXPECTED}")
    return outputs


def _undo_normalisation(
    outputs: Sequence[torch.Tensor], preprocess: Any, visual: Any
) -> tuple[Channels, Channels, list[NDArray[np.uint8]]]:
    """Mean, standard deviation, and the pixels that they were applied to. Raises ModelError where none fit."""
    for mean, std in _normalisations(preprocess, visual):
        levels = [_undo(output, mean, std) for output in outputs]
        if all(np.abs(own - np.clip(np.rint(own), 0, 255)).max() <= _TOLERANCE for own in levels):
            return mean, std, [np.clip(np.rint(own), 0, 255).astype(np.uint8) for own in levels]
    raise ModelError(
        "no pixels of 0..255 can be won back from what preprocess gives; expected a transform that ends in ToTensor "
        "and Normalize, with all that resizes before them, as open_clip's preprocess_val"
    )


def _normalisations(preprocess: Any, visual: Any) -> Iterator[tuple[Channels, Channels]]:
    """What may have been applied: the transform's own last Normalize, the image tower's, open_clip's usual, none."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    found = [
        (step.mean, step.std) for step in _steps(preprocess) if hasattr(step, "mean") and hasattr(step, "std")
    ][-1:]
    written = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    for mean, std in (*found, written, (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)):
        try:
            yield _channels(mean), _channels(std)
        except (TypeError, ValueError):
            continue
    yield (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def _channels(values: Any) -> Channels:
    """Three floats out of three or one. Raises TypeError or ValueError."""
    own = [float(value) for value in values]
    red, green, blue = own * 3 if len(own) == 1 else own
    return red, green, blue


def _undo(output: torch.Tensor, mean: Channels, std: Channels) -> NDArray[np.float64]:
    """A normalised image `[3, height, width]` as levels `[height, width, 3]`, 0..255."""
    rows = output.detach().cpu().double().permute(1, 2, 0).numpy()
    return np.asarray((rows * np.array(std) + np.array(mean)) * 255, np.float64)


def _candidates(
    size: tuple[int, int],
    mean: Channels,
    std: Channels,
    visual: Any,
    pixels: Sequence[NDArray[np.uint8]],
) -> Iterator[Preprocessing]:
    """The preparations that open_clip knows, the one that is written on the image tower first."""
    known = getattr(visual, "preprocess_cfg", None) or {}
    yield Preprocessing(
        size,
        mean,
        std,
        known.get("interpolation") or "bicubic",
        known.get("resize_mode") or "shortest",
        int(known.get("fill_color") or 0),
    )
    for interpolation in ("bicubic", "bilinear"):
        yield Preprocessing(size, mean, std, interpolation, "shortest")
        yield Preprocessing(size, mean, std, interpolation, "squash")
        # above and below a landscape there is nothing but padding
        yield Preprocessing(size, mean, std, interpolation, "longest", int(pixels[0][0, 0, 0]))


def _steps(transform: Any) -> Iterator[Any]:
    """The steps of a transform in order, those of nested ones, too."""
    inner = getattr(transform, "transforms", None)
    if isinstance(inner, Sequence | torch.nn.ModuleList | torch.nn.Sequential):
        for step in inner:
            yield from _steps(step)
    else:
        yield transform
