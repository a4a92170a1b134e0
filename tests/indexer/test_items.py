import gc
import io
import json
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.photos import encoded, make_photos, picture
from support.web_server import answer, drip, web_server

from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError, GalleryError
from gair_search.gallery.base import Gallery, Point
from gair_search.images.fetching import UrlConfig
from gair_search.images.fingerprint import content_hash
from gair_search.images.preprocessing import Preprocessing
from gair_search.indexer import ahead
from gair_search.indexer.ahead import SkippedItem
from gair_search.indexer.items import ItemsReport, index_items

SMALL = Preprocessing((8, 8), (0.5,) * 3, (0.5,) * 3)


def uid(i: int) -> str:
    return str(uuid.UUID(int=i))


def mean_colors(pixels: np.ndarray) -> np.ndarray:
    """A cheap image tower: the mean RGB of an image, normalised."""
    means = pixels.mean(axis=(1, 2)).astype(np.float32) + 1e-3
    return means / np.linalg.norm(means, axis=1, keepdims=True)


class Kept:
    """The part of a gallery that the indexer uses, in a dict; notes each batch."""

    name = "kept"

    def __init__(self) -> None:
        self.points: dict[int | str, Point] = {}
        self.batches: list[list[int | str]] = []
        self.asked: list[list[int | str]] = []

    def upsert(self, points: Sequence[Point]) -> None:
        self.batches.append([point.id for point in points])
        self.points |= {point.id: point for point in points}

    def vectors(self, ids: Sequence[int | str]) -> dict[int | str, np.ndarray]:
        return {i: self.points[i].vector for i in ids if i in self.points}

    def payloads(self, ids: Sequence[int | str]) -> dict[int | str, Mapping[str, Any]]:
        self.asked.append(list(ids))
        return {i: self.points[i].payload for i in ids if i in self.points}

    def optimize(self) -> None:
        pass


def index(items: Any, kept: Kept, encode: Any = mean_colors, **options: Any) -> ItemsReport:
    options = {"batch_size": 4, "threads": 3, "stored": kept.payloads} | options
    report = index_items(items, SMALL, encode, kept, **options)  # type: ignore[arg-type]
    counted = report.unchanged + report.embedded + report.reused + report.n_skipped
    assert report.found == counted
    return report


def counts(report: ItemsReport) -> dict[str, int]:
    names = ("embedded", "reused", "unchanged", "n_skipped")
    return {name: n for name in names if (n := getattr(report, name))}


def plain(i: int) -> np.ndarray:
    """A grey image unlike those of other numbers below 256 * 256."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 1 + i % 250, 1 + i // 250, 99
    return image


def is_of(vector: np.ndarray, image: np.ndarray) -> bool:
    return bool(np.allclose(vector, mean_colors(image[None])[0], atol=1e-3))


@pytest.fixture
def threads_end() -> Iterator[None]:
    """No decoding thread outlives the test."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("gair-decode")] == []


pytestmark = pytest.mark.usefixtures("threads_end")


def test_images_in_every_form_into_every_gallery(encoder: Encoder, gallery: Gallery, tmp_path: Path) -> None:
    (path,) = make_photos(tmp_path, 1)
    sources = [
        path,
        encoded(picture(1)),
        io.BytesIO(encoded(picture(2))),
        picture(3),
        np.asarray(picture(4)),
        np.asarray(picture(5)) / 255,
    ]
    gallery.ensure(encoder.embedder_id)
    ids: list[Any] = [uid(1), uuid.UUID(int=2), uid(3).upper(), 4, 2**64 - 1, 0]
    items = [
        (own, source, {"n": n, "tags": ("a", "b")})
        for n, (own, source) in enumerate(zip(ids, sources, strict=True))
    ]
    report = index_items(items, encoder.preprocessing, encoder.encode_pixels, gallery, batch_size=4)
    assert counts(report) == {"embedded": 6}
    records = {str(record.id): record.payload for record in gallery.records()}
    assert set(records) == {uid(1), uid(2), uid(3), "4", str(2**64 - 1), "0"}
    first = dict(records[uid(1)])
    assert first == {
        "content_hash": content_hash(path.read_bytes()),
        "width": 96,
        "height": 64,
        "format": "JPEG",
        "taken_at": None,
        "n": 0,
        "tags": ["a", "b"],
    }
    assert records["4"]["format"] is None
    images = {uid(1): picture(0), uid(2): picture(1), uid(3): picture(2)}
    vectors = gallery.vectors(list(images))
    for own, image in images.items():
        decoded = Image.open(io.BytesIO(encoded(image)))
        (truth,) = encoder.encode_pixels(encoder.preprocessing.pixels(decoded)[None])
        assert np.allclose(vectors[own], truth, atol=1e-4)


def test_a_second_run_embeds_what_is_new_alone(gallery: Gallery) -> None:
    """Through a real gallery, whose payloads come back as it keeps them."""
    from support.points import EMBEDDER

    gallery.ensure(EMBEDDER)

    def run(items: list[Any]) -> dict[str, int]:
        return counts(index_items(items, SMALL, mean_colors, gallery, batch_size=3, stored=gallery.payloads))

    payload = {"price": 1.0, "n": 2**63 - 1, "deep": {"a": [None, True]}, "": "é"}
    ids = [uid(i) if i % 2 else i for i in range(8)]
    items = [(ids[i], plain(i), payload | {"i": i}) for i in range(1, 8)]
    assert run(items) == {"embedded": 7}
    assert run(items) == {"unchanged": 7}
    items[2] = (uid(3), plain(3), {"i": "new"})
    items[3] = (4, plain(4), {"i": "new"})
    items[4] = (uid(5), plain(50), payload)
    assert run(items) == {"embedded": 1, "reused": 2, "unchanged": 4}
    assert run(items) == {"unchanged": 7}
    vectors = gallery.vectors([uid(3), 4, uid(5)])
    assert is_of(vectors[uid(3)], plain(3))
    assert is_of(vectors[4], plain(4))
    assert is_of(vectors[uid(5)], plain(50))
    payloads = gallery.payloads([uid(3)])
    assert set(payloads[uid(3)]) == {"i", "content_hash", "width", "height", "format", "taken_at"}
    assert gallery.count() == 7


def test_without_what_is_stored_all_is_embedded() -> None:
    kept = Kept()
    items = [(i, plain(i), {}) for i in range(5)]
    for _ in range(2):
        assert counts(index(items, kept, stored=None)) == {"embedded": 5}


def test_the_users_own_keys_win() -> None:
    kept = Kept()
    payload = {"width": "wide", "format": ["x"], "content_hash": "mine"}
    for _ in range(2):  # the hash is not ours, so nothing can be known by it
        assert counts(index([(1, plain(1), payload)], kept)) == {"embedded": 1}
    assert kept.points[1].payload == payload | {"height": 2, "taken_at": None}
    index([(2, plain(1), {"width": 7})], kept)
    assert counts(index([(2, plain(1), {"width": 7})], kept)) == {"unchanged": 1}
    assert counts(index([(2, plain(1), {"width": 8})], kept)) == {"reused": 1}
    assert kept.points[2].payload["width"] == 8


def test_bad_images_and_payloads_are_skipped_with_their_reasons(tmp_path: Path) -> None:
    kept = Kept()
    items = [
        (1, plain(1), {}),
        (2, b"no image", {}),
        (uuid.UUID(int=3), tmp_path / "gone.jpg", {}),
        (4, plain(4), {"x": float("nan")}),
        (5, np.zeros(3), {}),
        (6, "a.jpg", {}),
        (7, "http://127.0.0.1:1/a.jpg", {}),
        (8, None, {}),
        (9, plain(9), None),
        (10, plain(10), {}),
    ]
    report = index(items, kept)
    assert counts(report) == {"embedded": 2, "n_skipped": 8}
    assert set(kept.points) == {1, 10}
    reasons = dict(report.skipped)
    assert list(reasons) == [2, uid(3), 4, 5, 6, 7, 8, 9]
    said = ["not an image", str(tmp_path / "gone.jpg"), "nan", "(3,)", "pathlib.Path", "allow_urls=True"]
    said += ["a NoneType is no image", "expected a mapping"]
    for part, reason in zip(said, reasons.values(), strict=True):
        assert part in reason
    told = json.loads(json.dumps(report.to_json()))
    assert told["skipped"][0]["id"] == 2
    assert told["found"] == 10


def test_of_ten_thousand_bad_items_the_first_thousand_are_told() -> None:
    report = index(((i, b"", {}) for i in range(10_000)), Kept(), batch_size=32)
    assert report.n_skipped == 10_000
    assert [skipped.id for skipped in report.skipped] == list(range(1000))
    assert report.skipped[0] == SkippedItem(0, "the file is empty (0 bytes)")


@pytest.mark.parametrize("bad", ["photo.jpg", -1, None])
def test_a_bad_id_ends_the_run_and_what_came_before_is_stored(bad: Any) -> None:
    kept = Kept()
    items = [(i, plain(i), {}) for i in range(6)]
    with pytest.raises(GairError, match="the id"):
        index([*items, (bad, plain(6), {}), (7, plain(7), {})], kept)
    assert set(kept.points) == set(range(6))


@pytest.mark.parametrize("bad", [(1, b""), "abc", None, ("a", "b", "c", "d")])
def test_what_is_no_item_ends_the_run(bad: Any) -> None:
    kept = Kept()
    with pytest.raises(GairError, match=r"item 1 is .*expected a tuple \(id, image, payload\)"):
        index([(0, plain(0), {}), bad], kept)
    assert set(kept.points) == {0}


def test_an_error_of_the_items_is_raised_when_what_came_before_is_stored() -> None:
    kept = Kept()

    def items() -> Iterator[Any]:
        for i in range(13):
            yield i, plain(i), {}
        raise LookupError("the database went away")

    with pytest.raises(LookupError, match="went away"):
        index(items(), kept)
    assert set(kept.points) == set(range(13))


def test_of_several_items_with_one_id_the_last_wins() -> None:
    """Within a batch, batches apart, and where the last is what was stored before the run."""
    rng = np.random.default_rng(0)
    kept = Kept()
    index([(i, plain(i), {"n": -1}) for i in range(5)], kept)
    for trial in range(30):
        items = [
            (int(i), plain(int(c)), {"n": int(n)})
            for i, c, n in zip(*(rng.integers(0, m, 40) for m in (5, 6, 2)), strict=True)
        ]
        index(items, kept, batch_size=int(rng.integers(1, 9)))
        for own, image, payload in {item[0]: item for item in items}.values():
            assert is_of(kept.points[own].vector, image), trial
            assert kept.points[own].payload["n"] == payload["n"], trial
    assert all(len(set(batch)) == len(batch) for batch in kept.batches)


def test_an_id_that_comes_twice_is_looked_up_when_it_is_stored_and_not_before() -> None:
    kept = Kept()
    index([(0, plain(0), {})], kept)
    again = [(0, plain(1), {}), (0, plain(0), {})]  # the first is not stored when the second is taken
    assert counts(index(again, kept)) == {"embedded": 2}
    assert is_of(kept.points[0].vector, plain(0))
    others = [(i, plain(i), {}) for i in range(1, 60)]
    assert counts(index([*again, *others, again[1]], kept)) == {"embedded": 61, "unchanged": 1}


def test_equal_content_of_a_batch_goes_through_the_tower_once() -> None:
    kept = Kept()
    shapes: list[int] = []

    def encode(pixels: np.ndarray) -> np.ndarray:
        shapes.append(len(pixels))
        return mean_colors(pixels)

    report = index([(i, plain(i % 2), {}) for i in range(6)], kept, encode, batch_size=4)
    assert shapes == [2, 2]
    assert counts(report) == {"embedded": 4, "reused": 2}
    assert all(is_of(kept.points[i].vector, plain(i % 2)) for i in range(6))


def test_batches_are_full_past_what_is_skipped_and_unchanged() -> None:
    kept = Kept()
    index([(i, plain(i), {}) for i in range(0, 40, 2)], kept)
    kept.batches.clear()
    kept.asked.clear()
    index([(i, b"" if i % 4 == 1 else plain(i), {}) for i in range(40)], kept)
    assert kept.batches == [[3, 7, 11, 15], [19, 23, 27, 31], [35, 39]]
    assert max(map(len, kept.asked)) <= 4
    assert len(kept.asked) == 10


def test_a_generator_may_close_and_reuse_what_it_gave(tmp_path: Path) -> None:
    kept = Kept()
    truth = {i: np.asarray(picture(i)) for i in range(12)}
    paths = [tmp_path / f"{i}.png" for i in truth]
    for i, path in enumerate(paths):
        picture(i).save(path)

    def items() -> Iterator[Any]:
        array, payload = np.zeros((64, 96, 3), np.uint8), {}
        for i, path in enumerate(paths):
            payload["i"] = i
            if i % 3 == 0:
                with path.open("rb") as opened:
                    yield i, opened, payload
            elif i % 3 == 1:
                with Image.open(path) as image:
                    yield i, image, payload
            else:
                array[:] = truth[i]
                yield i, array, payload
                array[:] = 0

    assert counts(index(items(), kept)) == {"embedded": 12}
    for i, image in truth.items():
        assert kept.points[i].payload["i"] == i
        expected = mean_colors(SMALL.pixels(Image.fromarray(image))[None])[0]
        assert np.allclose(kept.points[i].vector, expected, atol=1e-6)


def test_items_are_taken_by_the_callers_thread() -> None:
    takers: set[int] = set()

    def items() -> Iterator[Any]:
        for i in range(20):
            takers.add(threading.get_ident())
            yield i, plain(i), {}

    index(items(), Kept())
    assert takers == {threading.get_ident()}


class Watched(np.ndarray):
    """An array that can be counted while it lives."""


@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_long_stream_is_never_in_memory_as_a_whole(n: int) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    produced = stored = 0
    most_alive = most_ahead = 0

    class Counting(Kept):
        def upsert(self, points: Sequence[Point]) -> None:
            nonlocal stored
            stored += len(points)

    def items() -> Iterator[Any]:
        nonlocal produced, most_alive, most_ahead
        for i in range(n):
            array = np.full((1, 1, 3), i % 251, np.uint8).view(Watched)
            alive_payload = Payload(i=i)
            alive.add(alive_payload)
            produced += 1
            most_ahead = max(most_ahead, produced - stored)
            if i % 50 == 0:
                most_alive = max(most_alive, len(alive))
            yield i, array, alive_payload

    class Payload(dict[str, int]):
        __hash__ = object.__hash__  # type: ignore[assignment]

    report = index(items(), Counting(), batch_size=32, threads=3)
    assert counts(report)["embedded"] + counts(report).get("reused", 0) == n
    assert most_ahead <= 3 * 32 + 3 + 1  # two chunks and the threads ahead, and the batch that is filled
    assert most_alive <= 40  # the chunk that is taken: what is held is apart from its owner
    gc.collect()
    assert len(alive) <= 1


def test_large_images_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of content beyond the bound, one image more is taken."""
    monkeypatch.setattr(ahead, "HELD_BYTES", 3 * 300)
    release = threading.Event()
    held = taken = 0

    def pixels(self: Preprocessing, image: Image.Image) -> np.ndarray:
        release.wait(10)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(Preprocessing, "pixels", pixels)

    def items() -> Iterator[Any]:
        nonlocal taken
        for i in range(20):
            taken += 1
            yield i, np.full((10, 10, 3), i, np.uint8), {}

    def watch() -> None:
        nonlocal held
        time.sleep(0.3)
        held = taken
        release.set()

    threading.Thread(target=watch).start()
    assert counts(index(items(), Kept(), batch_size=16)) == {"embedded": 20}
    assert held == 3


def test_progress_is_told_after_each_item_and_a_batch_is_stored_by_then() -> None:
    kept = Kept()
    seen: list[tuple[int, int, int]] = []

    def note(done: int, total: int, note: str = "") -> None:
        seen.append((done, total, len(kept.points)))

    items = [(i, b"" if i == 1 else plain(i), {}) for i in range(7)]
    index(items, kept, batch_size=3, on_progress=note)
    expected = [(1, 7, 0), (2, 7, 0), (3, 7, 0), (4, 7, 3), (5, 7, 3), (6, 7, 3), (7, 7, 6)]
    assert seen == expected
    seen.clear()
    index((item for item in items), Kept(), batch_size=2, threads=1, on_progress=note)
    assert [done for done, _, _ in seen] == list(range(1, 8))
    assert all(done <= total <= 7 for done, total, _ in seen)
    assert seen[0][1] < 7  # not known yet


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_keeps_whole_batches_and_the_next_run_completes(error: type[BaseException]) -> None:
    kept = Kept()

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 7:
            raise error

    items = [(i, plain(i), {}) for i in range(20)]
    with pytest.raises(error):
        index(items, kept, batch_size=3, on_progress=stop)
    assert kept.batches == [[0, 1, 2], [3, 4, 5]]
    assert counts(index(items, kept)) == {"unchanged": 6, "embedded": 14}


def test_an_interruption_while_items_are_taken_stores_nothing_more() -> None:
    kept = Kept()

    def items() -> Iterator[Any]:
        for i in range(50):
            if i == 30:
                raise KeyboardInterrupt
            yield i, plain(i), {}

    with pytest.raises(KeyboardInterrupt):
        index(items(), kept)
    assert 0 < len(kept.points) < 30


@pytest.mark.parametrize("part", ["encode", "upsert", "stored"])
def test_an_error_of_a_part_ends_the_run(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()

    def fail(*_: object) -> Any:
        raise GalleryError("full")

    options: dict[str, Any] = {"encode": fail} if part == "encode" else {}
    options |= {"stored": fail} if part == "stored" else {}
    if part == "upsert":
        monkeypatch.setattr(kept, "upsert", fail)
    with pytest.raises(GalleryError, match="full"):
        index([(i, plain(i), {}) for i in range(20)], kept, **options)
    assert kept.points == {}


def test_a_point_that_went_away_meanwhile_is_told() -> None:
    kept = Kept()
    index([(1, plain(1), {"a": 1})], kept)
    before = {1: kept.points.pop(1).payload}
    with pytest.raises(GalleryError, match="changed by another process"):
        index([(1, plain(1), {"a": 2})], kept, stored=lambda ids: before)


def test_addresses_are_fetched_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    photos = {f"/{i}.png": answer(encoded(picture(i), "PNG")) for i in range(6)}
    with web_server(photos | {"/5.png": answer(b"", "404 Gone")}) as server:
        items = [(i, server.url(f"/{i}.png"), {}) for i in range(6)]
        assert counts(index(items, kept)) == {"n_skipped": 6}
        assert server.requests == []
        report = index(items, kept, allow_urls=True)  # this machine is a private network
        assert counts(report) == {"n_skipped": 6}
        assert "allow_private" in report.skipped[0].reason
        report = index(items, kept, allow_urls=UrlConfig(allow_private=True))
        assert counts(report) == {"embedded": 5, "n_skipped": 1}
        assert "status 404" in report.skipped[0].reason
    expected = mean_colors(SMALL.pixels(picture(2))[None])[0]
    assert np.allclose(kept.points[2].vector, expected, atol=1e-6)


def test_an_interruption_waits_for_no_slow_server() -> None:
    stop = threading.Event()

    def interrupt(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with web_server({"/slow": drip(b"HTTP/1.1 200 OK\r\n", 1, stop)}) as server:
        items = [(0, plain(0), {})] + [(i, server.url("/slow"), {}) for i in range(1, 9)]
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            index(items, Kept(), allow_urls=UrlConfig(allow_private=True), on_progress=interrupt)
        assert time.monotonic() - began < 3
        stop.set()


def test_no_items_and_no_batches() -> None:
    kept = Kept()
    assert counts(index([], kept)) == {}
    assert kept.batches == []
    with pytest.raises(GairError, match="expected 1 or more"):
        index([(1, plain(1), {})], kept, batch_size=0)
