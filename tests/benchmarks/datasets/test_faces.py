"""Faces are blacked out, and nothing else is touched."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.photos import make_photos, picture

from gair_search.benchmarks.datasets import faces
from gair_search.benchmarks.datasets.base import Picture, photo
from gair_search.errors import GairError

skimage_data = pytest.importorskip("skimage.data")

FACE = (175, 70, 268, 163)
"""Of the astronaut, in her picture of 512 x 512 pixels."""


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(skimage_data.astronaut())


@pytest.fixture(scope="module")
def boxes(astronaut: Image.Image) -> list[faces.Box]:
    return faces.find_faces(astronaut)


def test_the_face_is_found_once(boxes: list[faces.Box]) -> None:
    ((left, top, right, bottom),) = ([512 * x for x in box] for box in boxes)
    assert left <= FACE[0] <= left + 40
    assert top <= FACE[1] <= top + 40
    assert right - 40 <= FACE[2] <= right
    assert bottom - 40 <= FACE[3] <= bottom


def test_the_face_is_black_and_the_rest_as_it_was(astronaut: Image.Image, boxes: list[faces.Box]) -> None:
    before = np.asarray(astronaut).copy()
    after = np.asarray(faces.redact_faces(astronaut))
    left, top, right, bottom = FACE
    assert not after[top:bottom, left:right].any()
    (found,) = ([round(512 * x) for x in box] for box in boxes)
    inside = np.zeros((512, 512), bool)
    inside[found[1] : found[3], found[0] : found[2]] = True
    assert not after[inside].any()
    assert np.array_equal(after[~inside], before[~inside])
    assert np.array_equal(np.asarray(astronaut), before)  # what was given is left alone


def test_boxes_are_shares_of_any_size_and_mode() -> None:
    boxes = [(0.25, 0.5, 0.5, 1.0)]
    for mode, white in (("RGB", (255, 255, 255)), ("L", 255)):
        for width, height in ((8, 4), (80, 40)):
            black = ~np.asarray(
                faces.black_out(Image.new(mode, (width, height), white), boxes).convert("L")
            ).astype(bool)
            assert black.sum() == width * height / 8
            assert black[height // 2 :, width // 4 : width // 2].all()


def test_without_a_face_nothing_changes() -> None:
    cat = Image.fromarray(skimage_data.chelsea())
    for image in (cat, picture(0), picture(0, (300, 20)), picture(0, (1, 1))):
        assert faces.find_faces(image) == []
        assert faces.redact_faces(image).tobytes() == image.tobytes()


def test_a_face_is_found_in_a_large_photo_too(astronaut: Image.Image, boxes: list[faces.Box]) -> None:
    (found,) = faces.find_faces(astronaut.resize((1536, 1536), Image.Resampling.BICUBIC))
    assert found == pytest.approx(boxes[0], abs=0.05)


def test_a_redacted_picture_has_another_content_and_the_same_id(tmp_path: Path) -> None:
    box, other = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.6)
    drawn = Picture("a", lambda _: picture(0), content="seed 0")
    for one in (photo(make_photos(tmp_path, 1)[0]), drawn):
        assert faces.redact_picture(one, []) is one
        hidden = faces.redact_picture(one, [box])
        assert hidden.id == one.id
        keys = {one.content_key, hidden.content_key, faces.redact_picture(one, [other]).content_key}
        assert len(keys) == 3
        assert (
            hidden.content_key == faces.redact_picture(one, [list(box)]).content_key
        )  # boxes that were kept as JSON
        assert hidden.image(16).getpixel((0, 0)) == (0, 0, 0)
        pixels, own = np.asarray(hidden.image(None)), np.asarray(one.image(None))
        assert np.array_equal(pixels[:, 48:], own[:, 48:])


def test_without_scikit_image_the_error_says_what_to_install(
    astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(GairError, match=r"pip install 'gair-search\[bench\]'"):
        faces.find_faces(astronaut)
