"""An upright RGB image -> the pixels that an image tower takes. Imports Pillow and numpy alone, as `decoding`."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_RATIO = 16
"""Of a longer strip, the central part of this ratio stands for the whole."""


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pixels: open_clip's `PreprocessCfg`, applied with Pillow alone.

    Attributes:
        size: (height, width) in pixels.
        mean, std: per RGB channel, on a 0..1 scale.
        interpolation: `bicubic` or `bilinear`.
        resize_mode: `shortest` (resize, then crop the centre), `longest` (resize, then pad), `squash`.
        fill_color: grey level of the padding, 0..255.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    @property
    def decoded_side(self) -> int | None:
        """The side that a file is decoded for, in pixels: see `decode`. None where all of it is needed."""
        return max(self.size)

    def keeps_whole(self, height: int, width: int) -> bool:
        """Whether an image of this shape is resized alone: nothing of it is cut off, nothing padded."""
        return height * self.size[1] == width * self.size[0]

    def facts(self) -> dict[str, Any]:
        """All that determines the pixels, as JSON values, for the embedder's id."""
        return asdict(self)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one RGB image. Returns uint8 `[height, width, 3]`, not yet normalised."""
        height, width = self.size
        if self.resize_mode == "shortest":
            image = _crop_strip(image)
        # open_clip resizes to oblong shapes bicubically, whatever the configuration says
        bilinear = self.interpolation == "bilinear" and (height == width or self.resize_mode != "shortest")
        method = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        resized = image.resize(self._resized_size(image), method)
        left, top = round((resized.width - width) / 2.0), round((resized.height - height) / 2.0)
        if resized.size == (width, height):
            return np.asarray(resized, dtype=np.uint8)
        if self.resize_mode == "longest":
            canvas = Image.new("RGB", (width, height), (self.fill_color,) * 3)
            canvas.paste(resized, ((width - resized.width) // 2, (height - resized.height) // 2))
            return np.asarray(canvas, dtype=np.uint8)
        return np.asarray(resized.crop((left, top, left + width, top + height)), dtype=np.uint8)

    def _resized_size(self, image: Image.Image) -> tuple[int, int]:
        """(width, height) after resizing, before the crop or the padding."""
        height, width = self.size
        ratio_h, ratio_w = image.height / height, image.width / width
        if self.resize_mode == "squash":
            return width, height
        if self.resize_mode == "longest":
            ratio = max(ratio_h, ratio_w)
            return max(1, round(image.width / ratio)), max(1, round(image.height / ratio))
        if height == width:  # torchvision's Resize with one number: the longer side is cut, not rounded
            short, long = sorted(image.size)
            longer = int(height * long / short)
            return (height, longer) if image.width <= image.height else (longer, height)
        ratio = min(ratio_h, ratio_w)
        return round(image.width / ratio), round(image.height / ratio)


def _crop_strip(image: Image.Image) -> Image.Image:
    """The central part of a strip longer than `MAX_RATIO`: resized whole, a 1 x 65,000 strip takes gigabytes."""
    width, height = image.size
    across, along = MAX_RATIO * height, MAX_RATIO * width
    if width > across:
        left = (width - across) // 2
        return image.crop((left, 0, left + across, height))
    if height > along:
        top = (height - along) // 2
        return image.crop((0, top, width, top + along))
    return image
