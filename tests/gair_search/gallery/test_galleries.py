"""What every gallery must do, embedded or served: the tests run on each backend."""

import threading
import uuid

import numpy as np
import pytest
from support.points import EMBEDDER, point

from gair_search.encoder.identity import EmbedderId
from gair_search.errors import EmbedderMismatchError, GalleryError
from gair_search.gallery.base import Gallery, GalleryConfig
from gair_search.gallery.filters import parse_where

OTHER = EmbedderId("ViT-X", "arch", "bbbb", "pppp", 3)


@pytest.fixture
def filled(gallery: Gallery) -> Gallery:
    gallery.ensure(EMBEDDER)
    gallery.upsert(
        [
            point(0, [1, 0, 0], width=100, format="JPEG", taken_at="2020-05-01T10:00:00"),
            point(1, [0.8, 0.6, 0], width=200, format="PNG", taken_at="2021-05-01T10:00:00+02:00"),
            point(2, [0, 1, 0], width=300, format="JPEG", taken_at=None, path="/photos/holiday/2.jpg"),
        ]
    )
    return gallery


def test_a_gallery_that_is_not_made_yet(gallery: Gallery) -> None:
    assert gallery.embedder is None
    assert gallery.count() == 0
    assert list(gallery.records()) == []
    with pytest.raises(GalleryError, match="gair index FOLDER"):
        gallery.require(EMBEDDER)


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_nearest_first_with_cosine_scores(filled: Gallery) -> None:
    hits = filled.search(np.array([1, 0, 0], np.float32), 10)
    assert [(h.rank, h.path) for h in hits] == [
        (1, "/photos/0.jpg"),
        (2, "/photos/1.jpg"),
        (3, "/photos/holiday/2.jpg"),
    ]
    assert [h.score for h in hits] == pytest.approx([1, 0.8, 0], abs=1e-6)
    assert hits[0].payload["mtime_ns"] == 1_795_331_080_749_513_144
    assert len(filled.search(np.array([1, 0, 0], np.float32), 2)) == 2
    assert len(filled.search(np.array([1, 0, 0], np.float32), 10, min_score=0.5)) == 2
    assert len(filled.search(np.array([1, 0, 0], np.float32), 10, exact=True)) == 3


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("width>=200", [1, 2]),
        ("width!=200", [0, 2]),
        ("width>100 and width<300", [1]),
        ("format=JPEG", [0, 2]),
        ("format!=JPEG", [1]),
        ("path~holiday/", [2]),
        ("path~oliday", [2]),
        ("path!~holiday", [0, 1]),
        ("path~HOLIDAY", []),
        ("path=/photos/0.jpg", [0]),
        ("taken_at>2020", [1]),
        ("taken_at=2020-05-01", [0]),
        ("taken_at<2021-05-01T08:00:01", [0, 1]),
        ("taken_at<2021-05-01T08:00:00", [0]),
    ],
)
def test_filters(filled: Gallery, where: str, found: list[int]) -> None:
    hits = filled.search(np.array([1, 0, 0], np.float32), 10, parse_where(where))
    assert sorted(h.payload["size"] for h in hits) == found


def test_upsert_replaces_delete_drops_and_vectors_come_back(filled: Gallery) -> None:
    filled.upsert([point(0, [0, 0, 2], width=7)])
    assert filled.count() == 3
    ids = [str(uuid.UUID(int=i + 1)) for i in range(4)]
    vectors = filled.vectors(ids)
    assert set(vectors) == set(ids[:3])
    assert vectors[ids[0]].tolist() == pytest.approx([0, 0, 1])
    assert vectors[ids[1]].tolist() == pytest.approx([0.8, 0.6, 0])
    filled.delete([ids[0], ids[3]])
    filled.delete([])
    assert {r.payload["path"] for r in filled.records()} == {"/photos/1.jpg", "/photos/holiday/2.jpg"}


def test_records_page_through_everything(gallery: Gallery) -> None:
    gallery.ensure(EMBEDDER)
    for first in range(0, 4500, 500):
        gallery.upsert([point(i, [1, i, 0]) for i in range(first, first + 500)])
    records = list(gallery.records(["path"]))
    assert len({r.id for r in records}) == 4500
    assert set(records[0].payload) == {"path"}


def test_another_embedder_is_refused_with_both_names(filled: Gallery) -> None:
    filled.require(EmbedderId("my own name", "arch", "aaaa", "pppp", 3))
    for ask in (filled.require, filled.ensure):
        with pytest.raises(
            EmbedderMismatchError, match=r"made with gair-mini.*in use is ViT-X.*--model gair-mini"
        ):
            ask(OTHER)


def test_a_model_that_changed_under_its_name_is_refused_with_other_advice(filled: Gallery) -> None:
    with pytest.raises(EmbedderMismatchError, match=r"weights aaaa.*weights cccc.*has changed since"):
        filled.require(EmbedderId("gair-mini", "arch", "cccc", "pppp", 3))


def test_the_query_vector_is_left_as_it_was(filled: Gallery) -> None:
    query = np.array([3, 4, 0], np.float32)
    filled.search(query, 2)
    assert query.tolist() == [3, 4, 0]


def test_threads_may_search_together(filled: Gallery) -> None:
    expected = [h.path for h in filled.search(np.array([1, 0, 0], np.float32), 3)]
    answers: list[list[str]] = []

    def ask() -> None:
        for _ in range(20):
            answers.append([h.path for h in filled.search(np.array([1, 0, 0], np.float32), 3)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 80


@pytest.mark.parametrize("quantization", ["scalar", "binary"])
def test_options_at_creation(gallery: Gallery, quantization: str) -> None:
    gallery.create(EMBEDDER, GalleryConfig(hnsw_m=8, hnsw_ef_construct=64, quantization=quantization))
    gallery.upsert([point(0, [1, 0, 0])])
    assert gallery.search(np.array([1, 0, 0], np.float32), 1)[0].path == "/photos/0.jpg"
