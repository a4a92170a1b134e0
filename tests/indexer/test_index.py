import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.photos import encoded, make_photos, picture

from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.gallery.base import Gallery, Point
from gair_search.images.fingerprint import point_id
from gair_search.images.reading import load_pixels
from gair_search.indexer.index import IndexReport, index_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 8)
    return tmp_path / "photos"


@pytest.fixture
def run(encoder: Encoder, gallery: Gallery, photos: Path):
    def index(**options: object) -> IndexReport:
        return index_folders(
            [photos], encoder.spec, encoder.encode_pixels, gallery, batch_size=3, workers=0, **options
        )

    return index


def stored(gallery: Gallery, photos: Path) -> dict[str, np.ndarray]:
    """Relative path -> vector."""
    records = list(gallery.records())
    vectors = gallery.vectors([r.id for r in records])
    return {os.path.relpath(r.payload["path"], photos): vectors[r.id] for r in records}


def expected(encoder: Encoder, photos: Path) -> dict[str, np.ndarray]:
    """Relative path -> features straight from the file."""
    paths = sorted(p for p in photos.rglob("*") if p.is_file())
    pixels = np.stack([load_pixels(p, encoder.preprocessing) for p in paths])
    return dict(zip((os.path.relpath(p, photos) for p in paths), encoder.encode_pixels(pixels), strict=True))


def assert_faithful(gallery: Gallery, encoder: Encoder, photos: Path) -> None:
    """Every file's vector is that of its own content, and nothing else is stored."""
    ours, truth = stored(gallery, photos), expected(encoder, photos)
    assert set(ours) == set(truth)
    for name, vector in truth.items():
        assert np.allclose(ours[name], vector, atol=1e-5), name


def counts(report: IndexReport) -> dict[str, int]:
    names = ("embedded", "reused", "unchanged", "moved", "pruned", "gone")
    return {name: n for name in names if (n := getattr(report, name))}


def test_first_run_stores_everything_and_second_nothing(run, encoder, gallery, photos) -> None:
    report = run()
    assert counts(report) == {"embedded": 8}
    assert report.found == report.total == 8
    assert_faithful(gallery, encoder, photos)
    assert counts(run()) == {"unchanged": 8}


def test_payload(run, gallery: Gallery, photos: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2021:05:04 03:02:01"
    path = photos / "turned.jpg"
    path.write_bytes(encoded(picture(50), exif=exif))
    run()
    (payload,) = [r.payload for r in gallery.records() if r.payload["path"] == str(path)]
    facts = {k: payload[k] for k in ("size", "mtime_ns", "width", "height", "format", "taken_at")}
    assert facts == {
        "size": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "width": 64,
        "height": 96,
        "format": "JPEG",
        "taken_at": "2021-05-04T03:02:01",
    }
    assert len(payload["content_hash"]) == 32


def test_changed_files_are_embedded_again(run, encoder, gallery, photos) -> None:
    run()
    (photos / "003.jpg").write_bytes(encoded(picture(99)))
    assert counts(run()) == {"embedded": 1, "unchanged": 7}
    assert_faithful(gallery, encoder, photos)


def test_touched_files_reuse_their_vectors(run, encoder, gallery, photos) -> None:
    run()
    os.utime(photos / "003.jpg", (1, 1))
    assert counts(run()) == {"reused": 1, "unchanged": 7}
    assert counts(run()) == {"unchanged": 8}
    assert_faithful(gallery, encoder, photos)


def test_renamed_and_duplicate_files_reuse_vectors(run, encoder, gallery, photos) -> None:
    run()
    (photos / "000.jpg").rename(photos / "renamed.jpg")
    (photos / "sub").mkdir()
    (photos / "001.jpg").rename(photos / "sub" / "001.jpg")
    shutil.copy(photos / "002.jpg", photos / "copy.jpg")
    assert counts(run()) == {"reused": 3, "unchanged": 6, "moved": 2}
    assert_faithful(gallery, encoder, photos)
    (payload,) = [r.payload for r in gallery.records() if r.payload["path"].endswith("copy.jpg")]
    assert (payload["width"], payload["height"], payload["format"]) == (96, 64, "JPEG")


def test_duplicates_in_one_first_run_are_embedded_once(run, encoder, gallery, photos) -> None:
    for i in range(4):
        shutil.copy(photos / "002.jpg", photos / f"copy{i}.jpg")
    assert counts(run()) == {"embedded": 8, "reused": 4}
    assert_faithful(gallery, encoder, photos)


def test_files_that_trade_names_keep_their_own_vectors(run, encoder, gallery, photos) -> None:
    """The hard case: the stored vector that a file wants is overwritten before the file's turn comes."""
    run()
    names = [photos / f"{i:03d}.jpg" for i in range(8)]
    contents = [p.read_bytes() for p in names]
    for path, content in zip(names, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
        os.utime(path, (5, 5))
    assert counts(run()) == {"reused": 8}
    assert_faithful(gallery, encoder, photos)


def test_a_new_picture_under_an_old_name_while_the_old_one_moved_far_behind(
    run, encoder, gallery, photos
) -> None:
    run()
    (photos / "000.jpg").rename(photos / "zzz.jpg")
    (photos / "000.jpg").write_bytes(encoded(picture(77)))
    assert counts(run()) == {"embedded": 1, "reused": 1, "unchanged": 7}
    assert_faithful(gallery, encoder, photos)


def test_gone_files_stay_until_pruned(run, encoder, gallery, photos) -> None:
    run()
    (photos / "000.jpg").unlink()
    assert counts(run()) == {"unchanged": 7, "gone": 1}
    assert gallery.count() == 8
    assert counts(run(prune=True)) == {"unchanged": 7, "pruned": 1}
    assert_faithful(gallery, encoder, photos)


def test_pruning_an_emptied_folder_is_refused(run, gallery, photos) -> None:
    """As a disk that isn't mounted looks: the mount point is there, and empty."""
    run()
    photos.rename(photos.with_name("elsewhere"))
    photos.mkdir()
    with pytest.raises(GairError, match="not mounted"):
        run(prune=True)
    assert gallery.count() == 8


def test_pruning_keeps_to_the_folders_it_was_given(encoder, gallery, photos, tmp_path) -> None:
    make_photos(tmp_path / "photos2", 2, first=20)
    index_folders([photos, tmp_path / "photos2"], encoder.spec, encoder.encode_pixels, gallery, workers=0)
    (tmp_path / "photos2" / "020.jpg").unlink()
    assert (
        index_folders([photos], encoder.spec, encoder.encode_pixels, gallery, prune=True, workers=0).pruned
        == 0
    )
    assert (
        index_folders(
            [tmp_path / "photos2"], encoder.spec, encoder.encode_pixels, gallery, prune=True, workers=0
        ).pruned
        == 1
    )


def test_bad_files_are_skipped_with_reasons_and_tried_again(run, encoder, gallery, photos) -> None:
    (photos / "bad.jpg").write_bytes(b"")
    report = run()
    assert counts(report) == {"embedded": 8}
    assert [(Path(s.path).name, "0 bytes" in s.reason) for s in report.skipped] == [("bad.jpg", True)]
    (photos / "bad.jpg").write_bytes(encoded(picture(60)))
    assert counts(run()) == {"embedded": 1, "unchanged": 8}
    assert_faithful(gallery, encoder, photos)


def test_an_interruption_keeps_what_was_stored_and_the_next_run_completes(
    run, encoder, gallery, photos
) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 8
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_progress=stop)
    assert gallery.count() == 6
    assert counts(run()) == {"embedded": 2, "unchanged": 6}
    assert_faithful(gallery, encoder, photos)


def test_a_move_that_was_cut_off_before_the_old_place_was_dropped_is_completed(
    run, encoder, gallery, photos
) -> None:
    """The state that a kill between the two writes leaves: both places stored, one file."""
    run()
    shutil.copy(photos / "000.jpg", photos / "new.jpg")
    run()
    (photos / "000.jpg").unlink()
    assert counts(run()) == {"unchanged": 8, "moved": 1}
    assert_faithful(gallery, encoder, photos)


STRANGERS: dict[str, dict[str, object]] = {
    "nothing": {},
    "no path": {"content_hash": "aa", "title": "a dress"},
    "null": {"path": None, "content_hash": "aa"},
    "number": {"path": 7, "content_hash": "aa"},
    "list": {"path": ["/photos/000.jpg"], "content_hash": "aa"},
    "a gone file": {"path": "GONE", "content_hash": "aa", "size": 1, "mtime_ns": 1},
    "a file that is there": {"path": "THERE", "content_hash": "aa", "size": 1, "mtime_ns": 1},
    "known content": {"path": "GONE", "content_hash": "KNOWN"},
}


def test_points_that_no_folder_run_made_are_left_alone(run, encoder, gallery, photos) -> None:
    """Whatever stands in their payloads, and even where it looks like that of a file that is gone or has moved."""
    from gair_search.images.fingerprint import content_hash

    words = {
        "GONE": str(photos / "gone.jpg"),
        "THERE": str(photos / "000.jpg"),
        "KNOWN": content_hash((photos / "000.jpg").read_bytes()),
    }
    vector = np.eye(encoder.embedder_id.dim, dtype=np.float32)[0]
    theirs = [
        Point(str(uuid.UUID(int=i)), vector, {k: words.get(str(v), v) for k, v in payload.items()})
        for i, payload in enumerate(STRANGERS.values(), start=1)
    ]
    # one that has the id of its path, and lacks the hash
    mine = Point(point_id(words["THERE"]), vector, {"path": words["THERE"]})
    gallery.ensure(encoder.embedder_id)
    gallery.upsert([*theirs, mine])
    assert counts(run()) == {"embedded": 8}
    (photos / "003.jpg").unlink()
    (photos / "004.jpg").rename(photos / "moved.jpg")
    assert counts(run(prune=True)) == {"unchanged": 6, "reused": 1, "moved": 1, "pruned": 1}
    found = {record.id: dict(record.payload) for record in gallery.records()}
    assert {point.id: found.pop(point.id) for point in theirs} == {
        point.id: point.payload for point in theirs
    }
    assert {payload["path"] for payload in found.values()} == set(map(str, photos.iterdir()))
    vectors = gallery.vectors(list(found))
    for own, payload in found.items():
        (truth,) = encoder.encode_pixels(load_pixels(Path(payload["path"]), encoder.preprocessing)[None])
        assert np.allclose(vectors[own], truth, atol=1e-5)


def test_workers_give_the_same_gallery(encoder, gallery, photos) -> None:
    index_folders([photos], encoder.spec, encoder.encode_pixels, gallery, batch_size=3, workers=2)
    assert_faithful(gallery, encoder, photos)


def test_an_unreadable_folder_is_not_pruned() -> None:
    from gair_search.gallery import Record
    from gair_search.images.folders import Scan, Skipped
    from gair_search.indexer.sync import find_missing

    records = [
        Record(str(i), {"path": p}) for i, p in enumerate(["/p/locked/x.jpg", "/p/gone.jpg", "/q/far.jpg"])
    ]
    scan = Scan(["/p"], skipped=[Skipped("/p/locked", "folder can't be read")])
    assert [r.payload["path"] for r in find_missing(records, scan)] == ["/p/gone.jpg"]
