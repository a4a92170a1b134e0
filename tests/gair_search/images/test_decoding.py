import io

import numpy as np
import pytest
from PIL import Image
from support.photos import encoded, picture

from gair_search.errors import ImageError
from gair_search.images.decoding import decode
from gair_search.images.preprocessing import Preprocessing

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_formats(kind: str) -> None:
    decoded = decode(encoded(picture(1), kind))
    assert (decoded.image.size, decoded.image.mode, decoded.format) == ((96, 64), "RGB", kind)
    difference = np.asarray(decoded.image, int) - np.asarray(picture(1), int)
    assert np.abs(difference).mean() < 12


def test_heic_with_the_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    assert decode(encoded(picture(1), "HEIF")).format == "HEIF"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    """An image stored under any orientation decodes to the same upright picture and size."""
    upright = picture(3, (80, 48))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"quality": 100} if kind in ("JPEG", "WEBP") else {}
    decoded = decode(encoded(stored, kind, exif=exif, **quality))
    assert (decoded.width, decoded.height) == decoded.image.size == (80, 48)
    assert np.abs(np.asarray(decoded.image, int) - np.asarray(upright, int)).mean() < 6


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({0x9003: "2021:05:04 03:02:01"}, "2021-05-04T03:02:01"),
        ({0x9003: "2021:05:04 03:02:01", 0x9011: "+02:00"}, "2021-05-04T03:02:01+02:00"),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "2020:01:01 00:00:00"}, "2020-01-01T00:00:00"),
        ({0x9003: "rubbish"}, None),
        ({}, None),
    ],
)
def test_capture_time(tags: dict[int, str], expected: str | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    assert decode(encoded(picture(1), exif=exif)).taken_at == expected


def test_transparency_is_laid_on_white_and_16_bit_is_scaled() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).image.getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))
    assert decode(encoded(deep, "PNG")).image.getpixel((0, 0)) == (100, 100, 100)
    assert decode(encoded(picture(1, mode="CMYK"))).image.mode == "RGB"
    assert decode(encoded(picture(1, mode="P"), "GIF")).image.mode == "RGB"


def test_first_frame_of_an_animation() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue()).image.getpixel((0, 0)) == (255, 0, 0)


def test_a_large_jpeg_is_decoded_small_but_reports_its_size() -> None:
    data = encoded(picture(1, (2000, 1000)))
    decoded = decode(data, target=100)
    assert (decoded.width, decoded.height) == (2000, 1000)
    assert 200 <= min(decoded.image.size) < 1000
    preprocessing = Preprocessing((100, 100), MEAN, STD)
    whole, fast = preprocessing.pixels(decode(data).image), preprocessing.pixels(decoded.image)
    assert np.abs(whole.astype(int) - fast.astype(int)).mean() < 2


def bomb() -> bytes:
    """A PNG header that promises 60,000 x 60,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded(picture(1))[:700], "truncated|damaged"),
        (bomb(), "decompression bomb"),
    ],
)
def test_bad_bytes_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(data)
