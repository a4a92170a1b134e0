"""An image file's bytes -> an upright RGB image. Imports Pillow and numpy alone, so that a decoding process
starts in a moment."""

import contextlib
import io
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gair_search.errors import ImageError

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
_plugins_lock = threading.Lock()
_plugins_loaded = False
_loading_locks = [
    threading.Lock() for _ in range(16)
]  # one image, loaded by two threads, would be read twice at once


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image and the facts that go into the payload.

    Attributes:
        image: mode RGB, EXIF orientation applied, first frame of an animation.
        width, height: of the upright original, in pixels; `image` may be smaller (see `decode`).
        format: Pillow's name of the file's true format, whatever its suffix says; "" where no file is known.
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
    _load_plugins()
    try:
        return _decode(data, target)
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels, refused as a decompression bomb: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(_explain_unidentified(data)) from None
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:  # Pillow's plugins raise almost anything on damaged files
        raise ImageError(f"damaged: {str(error) or type(error).__name__}") from error


def normalize_image(image: Image.Image) -> DecodedImage:
    """What `decode` would make of an image that Pillow has opened or a program has made: upright and RGB.

    Of an animation it is the frame that the image stands at. The image itself is left as it is.

    Raises:
        ImageError: it has no pixels, or more than `decode` allows, or can't be read or turned into RGB.
    """
    check_size(*image.size)
    try:
        with _loading_locks[(id(image) >> 4) % len(_loading_locks)]:
            image.load()
            exif, upright = _read_exif(image), _turn_upright(image)
        return DecodedImage(_to_rgb(upright), *upright.size, image.format or "", _capture_time(exif))
    except MemoryError:
        raise ImageError("not enough memory to convert it") from None
    except Exception as error:  # as in `decode`; also ValueError for an image that was closed
        raise ImageError(f"can't be converted to RGB: {str(error) or type(error).__name__}") from error


def check_size(width: int, height: int) -> None:
    """Hold an image that comes as pixels to the bounds of `decode`.

    Raises:
        ImageError: a side is 0, or there are more than twice Pillow's `MAX_IMAGE_PIXELS`.
    """
    if width < 1 or height < 1:
        raise ImageError(f"it has no pixels ({width} x {height})")
    if Image.MAX_IMAGE_PIXELS is not None and width * height > 2 * Image.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"too many pixels, refused as a decompression bomb: {width} x {height}, and the limit is "
            f"{2 * Image.MAX_IMAGE_PIXELS}"
        )


def _decode(data: bytes, target: int | None) -> DecodedImage:
    """`decode` without its guards."""
    with Image.open(io.BytesIO(data), formats=_available_formats()) as opened:
        kind, exif = opened.format or "?", _read_exif(opened)
        width, height = opened.size
        if target is not None and opened.mode in ("RGB", "L", "YCbCr"):
            opened.draft(None, (2 * target, 2 * target))
        opened.load()
        stored = opened.size
        image = _turn_upright(opened)
    if image.size != stored:
        width, height = height, width
    return DecodedImage(_to_rgb(image), width, height, kind, _capture_time(exif))


def _turn_upright(image: Image.Image) -> Image.Image:
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


def _read_exif(image: Image.Image) -> dict[int, Any]:
    """EXIF tags of the main image and its photo part; empty where damaged or absent."""
    tags: dict[int, Any] = {}
    with contextlib.suppress(Exception):
        exif = image.getexif()
        tags.update(exif)
        tags.update(exif.get_ifd(ExifTags.IFD.Exif))
    return tags


def _capture_time(exif: dict[int, Any]) -> str | None:
    """Capture time as ISO 8601 from DateTimeOriginal, DateTimeDigitized or DateTime, first valid one."""
    for tag, offset_tag in (
        (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
        (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
        (ExifTags.Base.DateTime, ExifTags.Base.OffsetTime),
    ):
        text = str(exif.get(tag, "")).strip("\0 ")
        offset = str(exif.get(offset_tag, "")).strip("\0 ")
        for candidate in (text + offset, text) if text else ():
            with contextlib.suppress(ValueError):
                form = "%Y:%m:%d %H:%M:%S" + ("%z" if candidate != text else "")
                return datetime.strptime(candidate, form).isoformat()
    return None


def _explain_unidentified(data: bytes) -> str:
    """A reason that helps, for bytes that no decoder claims."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and "HEIF" not in _available_formats():
        return "HEIC needs an extra: pip install 'gair-search[heic]'"
    return "not an image that can be read (damaged header, or another kind of file under an image's name)"


def _load_plugins() -> None:
    """Let Pillow load its plugins, and that for HEIC where it is installed: once, however many threads decode."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    with _plugins_lock:
        Image.init()
        if "HEIF" not in Image.OPEN:
            with contextlib.suppress(ImportError):
                import pillow_heif

                pillow_heif.register_heif_opener()
        _plugins_loaded = True


def _available_formats() -> list[str]:
    """The formats that this installation can open, of those that we accept: no PSD, no EPS, no PDF."""
    return [name for name in FORMATS if name in Image.OPEN]
