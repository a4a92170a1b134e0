import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.killer import Unstartable, load_or_die
from support.photos import encoded, make_photos, picture

from gair_search.errors import GairError
from gair_search.images.fingerprint import content_hash, point_id
from gair_search.images.folders import ScannedFile, Skipped, scan
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.workers import Loaded, load_file, load_files

PREPROCESSING = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3)
NOTHING: frozenset[str] = frozenset()


def test_loading_one_file(tmp_path: Path) -> None:
    (path,) = make_photos(tmp_path, 1)
    (file,) = scan([tmp_path]).files
    loaded = load_file(file, PREPROCESSING, NOTHING)
    assert isinstance(loaded, Loaded)
    assert loaded.content_hash == content_hash(path.read_bytes())
    assert loaded.pixels is not None
    assert loaded.pixels.shape == (32, 32, 3)
    assert (loaded.width, loaded.height, loaded.format) == (96, 64, "JPEG")
    known = load_file(file, PREPROCESSING, frozenset({loaded.content_hash}))
    assert isinstance(known, Loaded)
    assert known.pixels is None


def test_bad_files_are_reported_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_bytes(b"hello")
    (tmp_path / "cut.jpg").write_bytes(encoded(picture(1))[:800])
    files = [*scan([tmp_path]).files, ScannedFile(str(tmp_path / "gone.jpg"), 1, 1)]
    results = [load_file(file, PREPROCESSING, NOTHING) for file in files]
    said = {Path(r.path).name: r.reason for r in results if isinstance(r, Skipped)}
    assert set(said) == {"empty.jpg", "text.png", "cut.jpg", "gone.jpg"}
    assert "0 bytes" in said["empty.jpg"]
    assert "another kind of file" in said["text.png"]
    assert "No such file" in said["gone.jpg"]


def test_a_png_under_a_jpegs_name_is_read_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(encoded(picture(1), "PNG"))
    loaded = load_file(scan([tmp_path]).files[0], PREPROCESSING, NOTHING)
    assert isinstance(loaded, Loaded)
    assert loaded.format == "PNG"


def test_workers_give_the_same_in_the_same_order(tmp_path: Path) -> None:
    make_photos(tmp_path, 30)
    (tmp_path / "011.jpg").write_bytes(b"bad")
    files = scan([tmp_path]).files
    alone = list(load_files(files, PREPROCESSING, NOTHING, workers=0))
    many = list(load_files(files, PREPROCESSING, NOTHING, workers=2, ahead=5))
    assert len(alone) == len(many) == 30
    for one, other in zip(alone, many, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Loaded) and isinstance(other, Loaded):
            assert one.file == other.file
            assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.slow
def test_a_file_that_kills_its_decoder_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_photos(tmp_path, 12)
    for place in (3, 7):
        (tmp_path / f"{place:03d}.jpg").rename(tmp_path / f"{place:03d}-killer.jpg")
    files = scan([tmp_path]).files
    results = list(load_files(files, PREPROCESSING, NOTHING, workers=2, ahead=4, load=load_or_die))
    assert [Path(f.path).name for f in files] == [
        Path(r.path if isinstance(r, Skipped) else r.file.path).name for r in results
    ]
    skipped = [r for r in results if isinstance(r, Skipped)]
    assert [Path(s.path).name for s in skipped] == ["003-killer.jpg", "007-killer.jpg"]
    assert all("crashed" in s.reason for s in skipped)


@pytest.mark.slow
def test_a_worker_may_die_while_the_consumer_is_busy(tmp_path: Path) -> None:
    """As it always does while a batch is embedded: the pool is broken before its earlier results are taken."""
    make_photos(tmp_path, 12)
    (tmp_path / "005.jpg").rename(tmp_path / "005-killer.jpg")
    loading = load_files(scan([tmp_path]).files, PREPROCESSING, NOTHING, workers=1, ahead=8, load=load_or_die)
    results = [next(loading), next(loading)]
    time.sleep(2)
    results += list(loading)
    assert [isinstance(r, Skipped) for r in results] == [i == 5 for i in range(12)]


def test_workers_that_cannot_start_are_an_error_not_a_thousand_bad_files(tmp_path: Path) -> None:
    make_photos(tmp_path, 3)
    with pytest.raises(GairError, match="--workers 0"):
        list(load_files(scan([tmp_path]).files, PREPROCESSING, NOTHING, workers=1, load=Unstartable()))


def test_no_process_is_left_when_the_consumer_stops_early(tmp_path: Path) -> None:
    make_photos(tmp_path, 20)
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    loading = load_files(scan([tmp_path]).files, PREPROCESSING, NOTHING, workers=2, ahead=4)
    next(loading)
    loading.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        left = [p for p in left if "resource_tracker" not in " ".join(p.cmdline())]
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {left}")


def test_point_ids_are_uuids_of_the_path() -> None:
    assert point_id("/a/b.jpg") == point_id("/a/b.jpg") != point_id("/a/c.jpg")
    assert len(point_id("/a/b.jpg")) == 36
