import io
import os
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.photos import encoded, picture
from support.web_server import answer, web_server

from gair_search.errors import ImageError
from gair_search.images import sources
from gair_search.images.decoding import decode
from gair_search.images.fetching import UrlConfig
from gair_search.images.fingerprint import content_hash
from gair_search.images.sources import (
    content_hash_of,
    describe_source,
    hold_source,
    load_content,
    read_source,
)

PNG = encoded(picture(1), "PNG")
PIXELS = np.asarray(picture(1))


def pixels(source: object) -> np.ndarray:
    """What is read from a source, and that it is RGB."""
    read = read_source(source)  # type: ignore[arg-type]
    assert read.image.mode == "RGB"
    assert (read.width, read.height) == read.image.size
    return np.asarray(read.image)


def refusal(source: object, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        read_source(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


class Slow(io.RawIOBase):
    """A raw stream that gives three bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        part, self.rest = self.rest[:3], self.rest[3:]
        buffer[: len(part)] = part
        return len(part)


def test_every_form_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", PNG)
    with (
        path.open("rb") as opened,
        zipfile.ZipFile(tmp_path / "a.zip") as archive,
        archive.open("a.png") as member,
        os.scandir(tmp_path) as listing,
        Image.open(path) as lazy,
    ):
        (entry,) = [entry for entry in listing if entry.name == "a.png"]
        forms = [
            path,
            entry,
            PNG,
            bytearray(PNG),
            memoryview(PNG),
            opened,
            member,
            Slow(PNG),
            io.BytesIO(PNG),
        ]
        forms += [lazy, picture(1), PIXELS, PIXELS[::-1][::-1], np.asfortranarray(PIXELS)]
        for form in forms:
            assert np.array_equal(pixels(form), PIXELS), form


def test_files_are_read_as_read_image_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(picture(1, (2000, 1000))))
    assert read_source(path, target=100).image.size < (1000, 500)
    assert (read_source(path, 100).width, read_source(path, 100).format) == (2000, "JPEG")
    path.write_bytes(b"no image")
    assert refusal(path).startswith(f"{path}: not an image")
    assert "No such file" in refusal(tmp_path / "gone.jpg")
    assert "directory" in refusal(tmp_path).lower()
    assert "null byte" in refusal(Path("a\0b"))


def test_a_string_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PNG)
    for text in ("a.png", str(tmp_path / "a.png"), f"file://{tmp_path}/a.png", "ftp://a/b", ""):
        for urls in (None, UrlConfig(allow_private=True)):
            message = refusal(text, urls=urls)
            assert "pathlib.Path(...)" in message
            assert "allow_urls=True" in message


def test_addresses_are_fetched_where_they_are_allowed() -> None:
    with web_server({"/a.png": answer(PNG), "/b.png": answer(b"no image")}) as server:
        assert "allow_urls=True" in refusal(server.url("/a.png"))
        assert server.requests == []
        read = read_source(server.url("/a.png"), urls=UrlConfig(allow_private=True))
        assert np.array_equal(np.asarray(read.image), PIXELS)
        assert "allow_private" in refusal(server.url("/a.png"), urls=UrlConfig())
        message = refusal(server.url("/b.png?key=hunter2"), urls=UrlConfig(allow_private=True))
        assert message.startswith(f"{server.url('/b.png')}: not an image")
        assert "hunter2" not in message


def test_file_objects_are_read_from_where_they_stand_and_left_open() -> None:
    opened = io.BytesIO(b"head" + PNG)
    opened.seek(4)
    assert np.array_equal(pixels(opened), PIXELS)
    assert not opened.closed
    assert "0 bytes" in refusal(opened)  # it stands at its end


def raising(error: Exception) -> object:
    class Opened:
        def read(self, _: int) -> bytes:
            raise error

    return Opened()


def test_file_objects_that_give_no_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open() as text:
        assert "text mode" in refusal(text)
    assert "text mode" in refusal(io.StringIO("text"))
    closed = io.BytesIO(PNG)
    closed.close()
    assert "closed file" in refusal(closed)
    assert refusal(raising(RuntimeError("lost"))) == "can't be read: lost"

    class Texts:
        def read(self, _: int) -> str:
            return "text"

    assert "gave a str; expected bytes" in refusal(Texts())
    monkeypatch.setattr(sources, "MAX_BYTES", len(PNG))
    assert np.array_equal(pixels(io.BytesIO(PNG)), PIXELS)
    monkeypatch.setattr(sources, "MAX_BYTES", len(PNG) - 1)
    with Path("/dev/zero").open("rb") as endless:
        for opened in (io.BytesIO(PNG), endless):
            assert "holds more than" in refusal(opened)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]
)
def test_images_of_every_mode_become_what_their_files_would(mode: str) -> None:
    image = picture(3, (20, 10)).convert("L" if mode == "I;16" else mode).convert(mode)
    ours = np.asarray(read_source(image).image, int)
    kind = "PNG" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "TIFF"
    if mode not in ("RGBX", "HSV"):
        theirs = np.asarray(decode(encoded(image, kind)).image, int)
        assert np.abs(ours - theirs).max() <= 1
    assert ours.shape == (10, 20, 3)


def test_images_are_laid_on_white_and_scaled() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert pixels(clear).tolist() == [[[255] * 3] * 2] * 2
    deep = Image.fromarray(np.full((2, 2), 257 * 100, np.uint16))
    assert pixels(deep).tolist() == [[[100] * 3] * 2] * 2
    see_through = Image.new("P", (1, 1), 0)
    see_through.info["transparency"] = 0
    assert pixels(see_through).tolist() == [[[255] * 3]]


def test_images_are_turned_upright_and_not_changed() -> None:
    image = picture(2, (80, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2021:05:04 03:02:01"
    stored = encoded(image, "PNG", exif=exif)
    for given in (Image.open(io.BytesIO(stored)), image):
        before = given.size, given.mode, dict(given.info)
        read = read_source(given)
        assert (read.width, read.height) == (40, 80)
        assert read.taken_at == "2021-05-04T03:02:01"
        assert np.array_equal(np.asarray(read.image), np.rot90(np.asarray(image), -1))
        assert (given.size, given.mode, dict(given.info)) == before
        assert given.getexif()[0x0112] == 6
        assert np.array_equal(np.asarray(given), np.asarray(image))
        read.image.putpixel((0, 0), (1, 2, 3))
        assert given.getpixel((0, 39)) != (1, 2, 3)
    assert read_source(Image.open(io.BytesIO(stored))).format == "PNG"
    assert read_source(image).format == ""


def test_a_frame_of_an_animation_is_the_one_that_the_image_stands_at() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    image = Image.open(buffer)
    image.seek(1)
    assert pixels(image)[0, 0].tolist() == [0, 0, 255]
    assert image.tell() == 1


def test_images_that_are_broken_have_a_reason() -> None:
    assert "truncated" in refusal(Image.open(io.BytesIO(encoded(picture(1))[:700])))
    closed = Image.open(io.BytesIO(PNG))
    closed.close()
    assert "converted" in refusal(closed)
    assert "no pixels (0 x 5)" in refusal(Image.new("RGB", (0, 5)))


def test_pixels_are_bounded_as_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    for make in (lambda n: Image.new("L", (n, 1)), lambda n: np.zeros((1, n), np.uint8)):
        assert pixels(make(100)).shape == (1, 100, 3)
        assert "decompression bomb" in refusal(make(101))
    assert "decompression bomb" in refusal(np.broadcast_to(np.uint8(0), (1 << 40, 1 << 20, 3)))


def test_one_lazy_image_is_read_by_many_threads() -> None:
    data = encoded(picture(1, (800, 600)), "PNG")
    for _ in range(5):
        image = Image.open(io.BytesIO(data))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, shared=image: pixels(shared).sum(), range(8)))
        assert len(set(found)) == 1


ARRAYS: dict[str, tuple[np.ndarray, list[int]]] = {
    "grey": (np.full((2, 2), 7, np.uint8), [7, 7, 7]),
    "grey with a channel": (np.full((2, 2, 1), 7, np.uint8), [7, 7, 7]),
    "rgb": (np.full((2, 2, 3), [1, 2, 3], np.uint8), [1, 2, 3]),
    "rgba": (np.full((2, 2, 4), [1, 2, 3, 255], np.uint8), [1, 2, 3]),
    "clear": (np.full((2, 2, 4), [1, 2, 3, 0], np.uint8), [255, 255, 255]),
    "float64": (np.full((2, 2, 3), [0, 0.5, 1]), [0, 128, 255]),
    "float32": (np.full((2, 2), 200 / 255, np.float32), [200, 200, 200]),
    "float16": (np.full((2, 2), 1, np.float16), [255, 255, 255]),
    "clear floats": (np.full((2, 2, 4), [0, 0, 0, 0.0]), [255, 255, 255]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str) -> None:
    array, expected = ARRAYS[name]
    array.flags.writeable = False
    assert pixels(array).tolist() == [[expected] * 2] * 2


BAD_ARRAYS: dict[str, tuple[np.ndarray, str]] = {
    "int64": (np.zeros((2, 2, 3), np.int64), r"\(2, 2, 3\) and type int64"),
    "int8": (np.zeros((2, 2, 3), np.int8), "int8"),
    "uint16": (np.zeros((2, 2), np.uint16), "uint16"),
    "bool": (np.zeros((2, 2), bool), "bool"),
    "object": (np.zeros((2, 2), object), "object"),
    "complex": (np.zeros((2, 2), complex), "complex128"),
    "nan": (np.array([[0.5, np.nan]]), "float64"),
    "inf": (np.array([[0.5, np.inf]]), "in 0.5..inf"),
    "0..255": (np.array([[0.0, 255.0]]), r"in 0\.\.255"),
    "below 0": (np.array([[-1.0, 1.0]]), r"in -1\.\.1"),
    "one number": (np.array(1, np.uint8), r"shape \(\)"),
    "a row": (np.zeros(4, np.uint8), r"\(4,\)"),
    "two channels": (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), "channels first"),
    "a batch": (np.zeros((1, 8, 8, 3), np.uint8), "one image at a time"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_ambiguous_arrays_are_refused(name: str) -> None:
    array, said = BAD_ARRAYS[name]
    with pytest.raises(ImageError, match=said) as caught:
        read_source(array)
    assert "expected [height, width, 3]" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 4, 3)])
def test_empty_arrays_have_no_pixels(shape: tuple[int, ...]) -> None:
    for kind in (np.uint8, np.float32):
        assert "no pixels" in refusal(np.zeros(shape, kind))


@pytest.mark.parametrize("thing", [None, 3, [PNG], {"image": PNG}, object(), Image])
def test_other_things_are_no_images(thing: object) -> None:
    assert "is no image; expected a pathlib.Path" in refusal(thing)


def test_what_is_held_is_apart_from_its_owner() -> None:
    buffer, array, image = bytearray(PNG), PIXELS.copy(), picture(1)
    opened = io.BytesIO(PNG)
    held = [hold_source(source) for source in (buffer, memoryview(buffer), array, image, opened)]
    buffer[:] = bytes(len(buffer))
    array[:] = 0
    image.paste("red", (0, 0, *image.size))
    opened.close()
    for source in held:
        content = load_content(source)
        image = content.image if hasattr(content, "image") else decode(content).image
        assert np.array_equal(np.asarray(image), PIXELS)


def hash_of(source: object) -> str:
    return content_hash_of(load_content(hold_source(source)))  # type: ignore[arg-type]


def test_equal_content_has_equal_hashes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    files = [PNG, tmp_path / "a.png", io.BytesIO(PNG), bytearray(PNG)]
    assert {hash_of(source) for source in files} == {content_hash(PNG)}
    shown = [picture(1), PIXELS, Image.open(io.BytesIO(PNG)), PIXELS.astype(np.float64) / 255]
    assert len({hash_of(source) for source in shown}) == 1
    changed = PIXELS.copy()
    changed[0, 0, 0] ^= 1
    others: list[Callable[[], object]] = [
        lambda: PNG,
        lambda: PIXELS,
        lambda: changed,
        lambda: PIXELS.tobytes(),  # the bytes that are the pixels
        lambda: PIXELS.reshape(-1, 8, 3),  # the same pixels in another shape
        lambda: b"RGB 96 x 64 " + PIXELS.tobytes(),
    ]
    assert len({hash_of(make()) for make in others}) == len(others)
    assert all(len(hash_of(make())) == 32 for make in others)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Path("/photos/a.jpg"), "/photos/a.jpg"),
        (PNG, "bytes"),
        (bytearray(PNG), "bytes"),
        (Image.new("RGB", (640, 480)), "an image of 640 x 480"),
        (np.zeros((4, 6, 3), np.uint8), "an array of shape (4, 6, 3) and type uint8"),
        (io.BytesIO(), "a BytesIO"),
        ("a red dress", 'the text "a red dress"'),
        ("two\nlines", 'the text "two\\nlines"'),
        ("http://a.example/b.jpg", "http://a.example/b.jpg"),
        ("HTTPS://u:p@a.example:80/b@c.jpg?key=s#part", "HTTPS://a.example:80/b@c.jpg"),
        ("http://u:p?s@a.example/", "http://u"),
        ("http://[::1]:80/a?b", "http://[::1]:80/a"),
        ("http://a.example?key=s", "http://a.example"),
        (Path("/a\n\x1b[31m\udcff"), "/a\\n\\x1b[31m\\udcff"),
    ],
)
def test_descriptions(source: object, said: str) -> None:
    assert describe_source(source) == said  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["http://a/" + "b" * 10_000, "c" * 10_000, "\n" * 10_000])
def test_descriptions_are_short(text: str) -> None:
    assert len(describe_source(text)) <= 200
    assert len(describe_source(Path(text))) <= 200
    assert len(refusal(text)) < 500


def test_plugins_are_loaded_once_by_whichever_thread_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that decode HEIC at once, before anything was decoded."""
    pillow_heif = pytest.importorskip("pillow_heif")
    from gair_search.images import decoding

    pillow_heif.register_heif_opener()
    data = encoded(picture(1), "HEIF")
    calls: list[int] = []
    register = pillow_heif.register_heif_opener

    def count() -> None:
        calls.append(threading.get_ident())
        time.sleep(0.02)  # the other threads come meanwhile
        register()

    monkeypatch.setattr(pillow_heif, "register_heif_opener", count)
    for _ in range(5):
        calls.clear()
        monkeypatch.setattr(decoding, "_plugins_loaded", False)
        for table in (Image.OPEN, Image.SAVE):
            table.pop("HEIF", None)
        start = threading.Barrier(8)

        def read(_: int, start: threading.Barrier = start) -> str:
            start.wait()
            return decode(data).format

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read, range(8))) == {"HEIF"}
        assert len(calls) == 1
