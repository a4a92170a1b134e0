from pathlib import Path

import pytest
from support.photos import make_photos

from gair_search.errors import ConceptError
from gair_search.images.photos import image_files, load_folders, load_images


def test_image_files_of_folders_and_names(tmp_path: Path):
    inside = make_photos(tmp_path / "dress", 3)
    (tmp_path / "dress" / "notes.txt").touch()
    (tmp_path / "dress" / "X.PNG").touch()
    odd = tmp_path / "odd.name"
    odd.touch()
    assert image_files([odd, tmp_path / "dress"]) == [odd, *inside, tmp_path / "dress" / "X.PNG"]
    with pytest.raises(ConceptError, match="gone is not there"):
        image_files([tmp_path / "gone"])


def test_photos_that_can_t_be_read_are_told(tmp_path: Path):
    good, bad, gone = make_photos(tmp_path, 1)[0], tmp_path / "bad.jpg", tmp_path / "gone.jpg"
    bad.write_bytes(b"\xff\xd8 no more")
    images, skipped = load_images([bad, good, gone])
    assert [image.mode for image in images] == ["RGB"]
    assert [path for path, _ in skipped] == [bad, gone]
    assert all(reason for _, reason in skipped)


def test_folders_are_concepts_by_their_names(tmp_path: Path):
    make_photos(tmp_path / "cup", 2)
    make_photos(tmp_path / "hat", 1)
    (tmp_path / "hat" / "zz.jpg").write_bytes(b"no image")
    photos, skipped = load_folders([tmp_path / "hat", tmp_path / "cup"])
    assert {name: len(images) for name, images in photos.items()} == {"hat": 1, "cup": 2}
    assert [path for path, _ in skipped] == [tmp_path / "hat" / "zz.jpg"]
