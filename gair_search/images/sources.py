"""Images in whatever form a program has them: files, bytes, file objects, Pillow's images, arrays, web addresses.

A string never opens a file here, since strings come from outside more often than paths do.
"""

import hashlib
import io
import os
import re
import threading
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.errors import ImageError
from gair_search.images.decoding import DecodedImage, check_size, decode, normalize_image
from gair_search.images.fetching import UrlConfig, fetch, is_url
from gair_search.images.fingerprint import content_hash
from gair_search.images.reading import read_file

ImageSource: TypeAlias = (
    os.PathLike[str] | str | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any]
)
"""An image, in one of these forms:

- a path object, as `pathlib.Path`: a file;
- bytes, or a file object opened in binary mode: an image file's content, of a file object from where it stands;
- an image of Pillow's, turned upright by its EXIF and laid on white where it is transparent, as files are;
- an array `[height, width, 3]` (RGB), `[height, width, 4]` (RGBA), `[height, width]` or `[height, width, 1]` (grey):
  uint8, or floats in 0..1;
- a string: an `http://` or `https://` address, where those are allowed, and nothing else.
"""

HeldSource: TypeAlias = Path | str | bytes | DecodedImage
"""A source that stays what it is, whatever becomes of the object that it was given as."""

MAX_BYTES = 1 << 30
"""More than this is not read from a file object."""

_SHOWN = 200
_EXPECTED_ARRAY = (
    "expected [height, width, 3] (RGB), [height, width, 4] (RGBA) or [height, width] (grey), as uint8 or as floats "
    "in 0..1"
)


def read_source(
    source: ImageSource, target: int | None = None, urls: UrlConfig | None = None
) -> DecodedImage:
    """Read and decode an image in any form; `target` as for `decode`.

    Args:
        urls: how web addresses are fetched; without, they are refused.

    Raises:
        ImageError: with the reason, and the path of a file.
    """
    held = hold_source(source)
    return decode_content(load_content(held, urls), held, target)


def hold_source(source: ImageSource) -> HeldSource:
    """A source apart from its owner: file objects read, buffers copied, images and arrays turned into RGB.

    So the owner may close, change or reuse what it gave. Files and addresses are not read yet.

    Raises:
        ImageError: it is in none of the forms of `ImageSource`, or can't be read.
    """
    if isinstance(source, Image.Image):
        return normalize_image(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, str | bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        try:
            return bytes(source)
        except ValueError as error:  # a view that was released
            raise ImageError(f"can't be read: {error}") from None
    if isinstance(source, os.PathLike):
        return Path(os.fsdecode(source))
    if hasattr(source, "read"):
        return _read_opened(source)
    raise ImageError(
        f"{_article(type(source).__name__)} is no image; expected a pathlib.Path, bytes, a binary file object, an "
        f"image of Pillow's, a numpy array, or an address as text"
    )


def load_content(
    held: HeldSource, urls: UrlConfig | None = None, cancelled: threading.Event | None = None
) -> bytes | DecodedImage:
    """The bytes of a file or of an address; what else there is, as it is.

    Args:
        urls: as for `read_source`.
        cancelled: as for `fetch`.

    Raises:
        ImageError: it can't be read or fetched, or is a text that isn't to be fetched.
    """
    if isinstance(held, Path):
        try:
            return read_file(held)[0]
        except ValueError as error:  # a zero byte in the path
            raise ImageError(f"can't be read: {error}", describe_source(held)) from None
    if isinstance(held, str):
        _check_text(held, urls is not None)
        return fetch(held, urls or UrlConfig(), cancelled)
    return held


def decode_content(
    content: bytes | DecodedImage, held: HeldSource, target: int | None = None
) -> DecodedImage:
    """Decode what `load_content` gave for a source; `target` as for `decode`.

    Raises:
        ImageError: with the reason, and where the image is from.
    """
    if isinstance(content, DecodedImage):
        return content
    try:
        return decode(content, target)
    except ImageError as error:
        if isinstance(held, Path):
            raise ImageError(error.reason, held) from error
        if isinstance(held, str):
            raise ImageError(f"{describe_source(held)}: {error.reason}") from error
        raise


def content_hash_of(content: bytes | DecodedImage) -> str:
    """Equal for equal content, 128 bits as hex: of a file's bytes as `content_hash`, of other images of their pixels.

    An image of Pillow's and an array of the same pixels have the same hash; a file never has the hash of its pixels.
    """
    if not isinstance(content, DecodedImage):
        return content_hash(content)
    image = content.image
    header = f"{image.mode} {image.width} x {image.height} ".encode()
    return hashlib.blake2b(header + image.tobytes(), digest_size=16, person=b"pixels").hexdigest()


def describe_source(source: ImageSource | HeldSource) -> str:
    """A source in few words, for messages: at most 200 characters, printable, without secrets of an address."""
    if isinstance(source, str):
        return _shorten(_without_secrets(source)) if is_url(source) else f'the text "{_shorten(source, 60)}"'
    if isinstance(source, bytes | bytearray | memoryview):
        return "bytes"
    if isinstance(source, Image.Image | DecodedImage):
        return f"an image of {source.width} x {source.height}"
    if isinstance(source, np.ndarray):
        return f"an array of shape {source.shape} and type {source.dtype}"
    if isinstance(source, os.PathLike):
        return _shorten(os.fsdecode(source))
    return _article(type(source).__name__)


def _check_text(text: str, fetched: bool) -> None:
    """Refuse a string that is not an address, and an address where none is fetched."""
    if not is_url(text):
        raise ImageError(
            f"{describe_source(text)} is taken as text, and text never opens a file: pass pathlib.Path(...) for a "
            f"file, or an http:// or https:// address together with allow_urls=True"
        )
    if not fetched:
        raise ImageError(
            f"{describe_source(text)} is taken as text, since addresses are not fetched here: pass allow_urls=True to "
            f"fetch it, or pathlib.Path(...) for a file"
        )


def _read_opened(opened: Any) -> bytes:
    """A file object's bytes from where it stands; it is left open."""
    if isinstance(opened, io.TextIOBase):
        raise ImageError('the file object is in text mode; open the file with mode "rb"')
    data = bytearray()
    try:
        while part := opened.read(min(1 << 20, MAX_BYTES + 1 - len(data))):
            if not isinstance(part, bytes | bytearray | memoryview):
                raise ImageError(f"its read() gave {_article(type(part).__name__)}; expected bytes")
            data += part
            if len(data) > MAX_BYTES:
                raise ImageError(f"the file object holds more than {MAX_BYTES:,} bytes")
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("not enough memory to read it") from None
    except Exception as error:  # whatever a stranger's file object raises
        raise ImageError(f"can't be read: {str(error) or type(error).__name__}") from error
    return bytes(data)


def _from_array(array: NDArray[Any]) -> DecodedImage:
    """An array's pixels as an image, copied.

    Raises:
        ImageError: what it shows can't be told for certain.
    """
    floats = array.dtype.kind == "f"
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; are the channels first? array.transpose(1, 2, 0) puts them last"
        elif array.ndim == 4:
            hint = "; a batch is given one image at a time"
        raise _array_error(array, hint)
    if not floats and array.dtype != np.uint8:
        raise _array_error(array, "")
    check_size(array.shape[1], array.shape[0])
    try:
        if floats:
            low, high = float(array.min()), float(array.max())
            if not (low >= 0 and high <= 1):  # NaN compares with nothing
                raise _array_error(array, f", in {low:g}..{high:g}")
            array = np.rint(array.astype(np.float32) * 255)
        pixels = np.array(array, dtype=np.uint8, order="C")
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return normalize_image(Image.fromarray(pixels))
    except MemoryError:
        raise ImageError("not enough memory to convert it") from None


def _array_error(array: NDArray[Any], hint: str) -> ImageError:
    return ImageError(f"{describe_source(array)}{hint}: {_EXPECTED_ARRAY}")


def _without_secrets(url: str) -> str:
    """An address without user and password, query and fragment, which may hold keys."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0].partition("#")[0]
    host, slash, path = place.partition("/")
    host = host.rpartition("@")[2]
    if not host.startswith("["):  # what follows the colon is a password where it is no port
        host = re.sub(r":(?!\d*$).*", "", host)
    return f"{scheme}://{host}{slash}{path}"


def _shorten(text: str, most: int = _SHOWN) -> str:
    """A text that fits into a message: its middle left out, what can't be printed escaped."""
    if len(text) > most:
        text = f"{text[: most // 2 - 1]}...{text[len(text) - most // 2 + 2 :]}"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else shown[:most]


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
