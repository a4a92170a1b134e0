import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.photos import make_photos

from gair_search.errors import ConceptError, GairError
from gair_search.images.folders import class_folders, find_photos, scan


def reasons(folder: Path) -> dict[str, str]:
    return {Path(s.path).name: s.reason for s in scan([folder]).skipped}


def test_files_in_stable_order_by_suffix(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.JPEG", "z/y.png", "notes.txt", ".hidden.jpg", ".cache/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    found = scan([tmp_path])
    assert [os.path.relpath(f.path, tmp_path) for f in found.files] == ["a.JPEG", "b.jpg", "z/y.png"]
    assert {f.size for f in found.files} == {2}
    assert found.other == 1
    assert found.skipped == []


def test_single_files_and_overlapping_folders_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").touch()
    assert len(scan([tmp_path, tmp_path / "a", tmp_path / "a" / "x.jpg"]).files) == 1


def test_a_folder_that_is_not_there_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(GairError, match="does not exist"):
        scan([tmp_path / "none"])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(GairError, match="no image by its suffix"):
        scan([tmp_path / "notes.txt"])


def test_links_are_followed_and_loops_reported(tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / "deep" / "x.jpg").touch()
    (tmp_path / "photos" / "deep" / "up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "also").symlink_to(tmp_path / "photos" / "deep")
    found = scan([tmp_path / "photos"])
    assert {os.path.relpath(f.path, tmp_path / "photos") for f in found.files} == {"deep/x.jpg", "also/x.jpg"}
    assert [s.reason for s in found.skipped] == ["link to a folder above it (a loop)"] * 2


def test_odd_files_have_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jpg")).touch()
    found = reasons(tmp_path)
    assert "not a regular file" in found["pipe.jpg"]
    assert "symbolic links" in found["self.jpg"]
    assert "No such file" in found["dangling.jpg"]
    assert "UTF-8" in found["bad\\udcff.jpg"]


def test_unreadable_folders_are_reported() -> None:
    """As a user who may not enter: in a process of its own, since root may enter everything."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        (folder / "locked").mkdir(mode=0o700)
        (folder / "x.jpg").touch()
        code = (
            "import sys; from pathlib import Path; from gair_search.images.folders import scan\n"
            "import os\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"
            "found = scan([Path(sys.argv[1])]); print(len(found.files), found.skipped[0].reason)"
        )
        if os.geteuid() != 0:
            (folder / "locked").chmod(0)
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, temporary], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "1 folder can't be read: Permission denied"


def test_photos_of_folders_and_names(tmp_path: Path) -> None:
    inside = make_photos(tmp_path / "dress", 3)
    (tmp_path / "dress" / "notes.txt").touch()
    (tmp_path / "dress" / "X.PNG").touch()
    odd = tmp_path / "odd.name"
    odd.touch()
    (tmp_path / "dress" / "._000.jpg").touch()
    make_photos(tmp_path / "dress" / "below", 1)
    (tmp_path / "dress" / "dangling.jpg").symlink_to(tmp_path / "nothing")
    files, skipped = find_photos([odd, tmp_path / "dress"])
    assert files == [odd, *inside, tmp_path / "dress" / "X.PNG"]
    assert [(Path(s.path).name, s.reason) for s in skipped] == [
        ("dangling.jpg", "can't be read: No such file or directory")
    ]
    assert find_photos([tmp_path / "dress" / "._000.jpg"])[0] == [tmp_path / "dress" / "._000.jpg"]
    with pytest.raises(ConceptError, match="gone is not there"):
        find_photos([tmp_path / "gone"])


def test_class_folders(tmp_path: Path) -> None:
    make_photos(tmp_path / "b", 2)
    make_photos(tmp_path / "a", 1)
    make_photos(tmp_path / "a" / "deep", 1, first=5)
    make_photos(tmp_path / "._a", 1)
    (tmp_path / "b" / "._000.jpg").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "loose.png").touch()
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)

    def names(deep: bool) -> dict[str, list[str]]:
        return {
            name: [os.path.relpath(file.path, tmp_path) for file in files]
            for name, files in class_folders(tmp_path, deep)[0].items()
        }

    assert list(names(False).items()) == [
        ("a", ["a/000.jpg"]),
        ("b", ["b/000.jpg", "b/001.jpg"]),
        ("empty", []),
    ]
    assert names(True)["a"] == ["a/000.jpg", "a/deep/005.jpg"]
    loose = (str(tmp_path / "loose.png"), "it is in no folder of a class")
    assert class_folders(tmp_path)[1] == [loose]
    assert class_folders(tmp_path, deep=True)[1] == [
        (str(tmp_path / "a" / "up"), "link to a folder above it (a loop)"),
        loose,
    ]
    with pytest.raises(GairError, match=r"notes\.txt is no folder"):
        class_folders(tmp_path / "notes.txt")
