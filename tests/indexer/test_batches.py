from pathlib import Path

import psutil
from support.photos import make_photos

from gair_search.images.folders import Skipped, scan
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.workers import Loaded
from gair_search.indexer.batches import load_batches

PREPROCESSING = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3)


def names(batch: list[Loaded]) -> list[str]:
    return [Path(item.file.path).name for item in batch]


def test_batches_hold_what_can_be_read_in_order(tmp_path: Path) -> None:
    make_photos(tmp_path, 8)
    for name in ("001.jpg", "007.jpg"):  # one within a batch, and the last of all
        (tmp_path / name).write_bytes(b"no image")
    skipped: list[Skipped] = []
    seen: list[tuple[int, int]] = []
    batches = load_batches(
        scan([tmp_path]).files,
        PREPROCESSING,
        skipped,
        batch_size=4,
        workers=0,
        on_progress=lambda done, total, note="": seen.append((done, total)),
    )
    assert names(next(batches)) == ["000.jpg", "002.jpg", "003.jpg", "004.jpg"]
    assert seen == [(1, 8), (2, 8), (3, 8), (4, 8)]  # the fifth is done when its batch is
    assert [names(batch) for batch in batches] == [["005.jpg", "006.jpg"]]
    assert seen == [(i, 8) for i in range(1, 9)]
    assert [Path(path).name for path, _ in skipped] == ["001.jpg", "007.jpg"]


def test_no_batch_is_empty(tmp_path: Path) -> None:
    assert list(load_batches([], PREPROCESSING, [])) == []
    (tmp_path / "bad.jpg").touch()
    skipped: list[Skipped] = []
    assert list(load_batches(scan([tmp_path]).files, PREPROCESSING, skipped, workers=0)) == []
    assert [reason for _, reason in skipped] == ["the file is empty (0 bytes)"]


def test_a_consumer_that_stops_leaves_no_process(tmp_path: Path) -> None:
    make_photos(tmp_path, 12)
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    batches = load_batches(scan([tmp_path]).files, PREPROCESSING, [], batch_size=2, workers=2)
    next(batches)
    batches.close()
    started = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    _, alive = psutil.wait_procs(
        [p for p in started if "resource_tracker" not in " ".join(p.cmdline())], timeout=10
    )
    assert not alive
