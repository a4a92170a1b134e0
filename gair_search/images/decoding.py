"""Image files -> upright RGB pixels as the image tower expects them. Imports Pillow and numpy alone,
so that a decoding process starts in a moment."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gair_search.errors import ImageError

MAX_RATIO = 16
"""Of a longer strip, the central part of this ratio stands for the whole."""

FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""Pillow's format names and the file suffixes that mark them."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image and the facts that go into the payload.

    Attributes:
        image: mode RGB, EXIF orientation applied, first frame of an animation.
        width, height: of the upright original, in pixels; `image` may be smaller (see `decode`).
        format: Pillow's name of the file's true format, whatever its suffix says.
        taken_at: capture time from EXIF as ISO 8601 (with offset where the camera wrote one), or None.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    taken_at: str | None


def decode(data: bytes, target: int | None = None) -> DecodedImage:
    """Decode an image file's bytes.

    Args:
        data: the whole file.
        target: shortest side in pixels that the caller will resize to. A much larger JPEG is then
            decoded at 1/2, 1/4 or 1/8 scale, never below twice the target, which saves most of the work.

    Raises:
        ImageError: empty, not an image, truncated, damaged, or of more pixels than Pillow allows (twice its
            `MAX_IMAGE_PIXELS`: 179 million, unless the host program sets it otherwise).
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)")
    _register_heif()
    try:
        return _decode(data, target)
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels, refused as a decompression bomb: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(_why_unidentified(data)) from None
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:  # Pillow's plugins raise almost anything on damaged files
        raise ImageError(f"damaged: {str(error) or type(error).__name__}") from error


def _decode(data: bytes, target: int | None) -> DecodedImage:
    """`decode` without its guards."""
    with Image.open(io.BytesIO(data), formats=_formats()) as opened:
        kind, exif = opened.format or "?", _exif(opened)
        width, height = opened.size
        if target is not None and opened.mode in ("RGB", "L", "YCbCr"):
            opened.draft(None, (2 * target, 2 * target))
        opened.load()
        stored = opened.size
        image = _upright(opened)
    if image.size != stored:
        width, height = height, width
    return DecodedImage(_to_rgb(image), width, height, kind, _taken_at(exif))


def _upright(image: Image.Image) -> Image.Image:
    """A copy with the EXIF orientation applied, where there is a valid one."""
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image.copy()


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with transparency laid on white and 16-bit greys scaled down, not clipped."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image, dtype=np.float64)
        scale = 257.0 if grey.max(initial=0) > 255 else 1.0
        return Image.fromarray(np.clip(grey / scale, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _exif(image: Image.Image) -> dict[int, Any]:
    """EXIF tags of the main image and its photo part; empty where damaged or absent."""
    tags: dict[int, Any] = {}
    with contextlib.suppress(Exception):
        exif = image.getexif()
        tags.update(exif)
        tags.update(exif.get_ifd(ExifTags.IFD.Exif))
    return tags


def _taken_at(exif: dict[int, Any]) -> str | None:
    """Capture time as ISO 8601 from DateTimeOriginal, DateTimeDigitized or DateTime, first valid one."""
    for tag, offset_tag in (
        (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
        (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
        (ExifTags.Base.DateTime, ExifTags.Base.OffsetTime),
    ):
        text = str(exif.get(tag, "")).strip("\0 ")
        offset = str(exif.get(offset_tag, "")).strip("\0 ")
        for candidate in (text + offset, text):
            with contextlib.suppress(ValueError):
                form = "%Y:%m:%d %H:%M:%S" + ("%z" if candidate != text else "")
                return datetime.strptime(candidate, form).isoformat()
    return None


def _why_unidentified(data: bytes) -> str:
    """A reason that helps, for bytes that no decoder claims."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and "HEIF" not in _formats():
        return "HEIC needs an extra: pip install 'gair-search[heic]'"
    return "not an image that can be read (damaged header, or another kind of file under an image's name)"


def _register_heif() -> None:
    """Let Pillow read HEIC where the extra is installed."""
    if "HEIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()


def _formats() -> list[str]:
    """The formats that this installation can open, of those that we accept: no PSD, no EPS, no PDF."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


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

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one RGB image. Returns uint8 `[height, width, 3]`, not yet normalised."""
        height, width = self.size
        if self.resize_mode == "shortest":
            image = _without_ends(image)
        # open_clip resizes to oblong shapes bicubically, whatever the configuration says
        told = self.interpolation == "bilinear" and (height == width or self.resize_mode != "shortest")
        method = Image.Resampling.BILINEAR if told else Image.Resampling.BICUBIC
        resized = image.resize(self._resized(image), method)
        left, top = round((resized.width - width) / 2.0), round((resized.height - height) / 2.0)
        if resized.size == (width, height):
            return np.asarray(resized, dtype=np.uint8)
        if self.resize_mode == "longest":
            canvas = Image.new("RGB", (width, height), (self.fill_color,) * 3)
            canvas.paste(resized, ((width - resized.width) // 2, (height - resized.height) // 2))
            return np.asarray(canvas, dtype=np.uint8)
        return np.asarray(resized.crop((left, top, left + width, top + height)), dtype=np.uint8)

    def _resized(self, image: Image.Image) -> tuple[int, int]:
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


def _without_ends(image: Image.Image) -> Image.Image:
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


def load_pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Read, decode and preprocess one file: uint8 `[height, width, 3]`.

    Raises:
        ImageError: with the path and the reason.
    """
    try:
        return preprocessing.pixels(decode(path.read_bytes(), max(preprocessing.size)).image)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def thumbnails(paths: list[Path], side: int) -> Iterator[bytes | None]:
    """JPEG bytes of each image fitted into `side` x `side` pixels; None where it can't be read (any more)."""
    for path in paths:
        try:
            image = decode(path.read_bytes(), side).image
        except (OSError, ImageError):
            yield None
            continue
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=82)
        yield buffer.getvalue()
