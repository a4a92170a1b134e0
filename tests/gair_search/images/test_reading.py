import io
from pathlib import Path

import pytest
from PIL import Image
from support.photos import encoded, make_photos, picture

from gair_search.errors import ImageError
from gair_search.images.folders import Skipped, class_folders
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.reading import load_pixels, make_thumbnails, read_folders, read_image, read_images


def test_photos_that_can_t_be_read_are_told(tmp_path: Path) -> None:
    good, bad, gone = make_photos(tmp_path, 1)[0], tmp_path / "bad.jpg", tmp_path / "gone.jpg"
    bad.write_bytes(b"\xff\xd8 no more")
    images, skipped = read_images([bad, good, gone])
    assert [image.mode for image in images] == ["RGB"]
    assert [path for path, _ in skipped] == [str(bad), str(gone)]
    assert skipped[0].reason.startswith("not an image")
    assert skipped[1] == Skipped(str(gone), "can't be read: No such file or directory")


def test_folders_are_concepts_by_their_names(tmp_path: Path) -> None:
    make_photos(tmp_path / "cup", 2)
    make_photos(tmp_path / "hat", 1)
    (tmp_path / "hat" / "zz.jpg").write_bytes(b"no image")
    photos, skipped = read_folders(class_folders(tmp_path)[0])
    assert {name: len(images) for name, images in photos.items()} == {"cup": 2, "hat": 1}
    assert [path for path, _ in skipped] == [str(tmp_path / "hat" / "zz.jpg")]


def test_an_error_says_path_and_reason_apart(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    for name, reason in (
        ("x.jpg", "not an image"),
        ("y.jpg", "can't be read: No such file"),
        ("", "directory"),
    ):
        path = tmp_path / name
        with pytest.raises(ImageError) as refused:
            read_image(path)
        assert refused.value.path == str(path)
        assert reason in refused.value.reason
        assert str(refused.value) == f"{path}: {refused.value.reason}"


def test_load_pixels_names_the_file(tmp_path: Path) -> None:
    preprocessing = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3)
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    for path, reason in ((tmp_path / "x.jpg", "not an image"), (tmp_path / "y.jpg", "No such file")):
        with pytest.raises(ImageError, match=rf"{path.name}: .*{reason}"):
            load_pixels(path, preprocessing)


def test_thumbnails_fit_and_pass_over_what_is_gone(tmp_path: Path) -> None:
    good = tmp_path / "a.png"
    good.write_bytes(encoded(picture(1, (400, 200)), "PNG"))
    first, second = make_thumbnails([good, tmp_path / "gone.jpg"], 100)
    assert first is not None
    assert Image.open(io.BytesIO(first)).size == (100, 50)
    assert second is None
