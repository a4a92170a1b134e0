"""What a search can be asked for, on every backend: the embedded engine, the client's own, and a server over HTTP."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from support.catalogue import payload
from support.points import EMBEDDER
from support.rest_server import RestServer, rest_server

from gair_search.errors import FilterError
from gair_search.gallery import Gallery, GalleryConfig, Point, SearchRequest, as_id
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.gallery.requests import search_arguments
from gair_search.gallery.server import ServerGallery

SIZE = 12
VECTORS = np.random.default_rng(1).normal(size=(SIZE, 3)).astype(np.float32)
QUERY = np.array([0.2, 1, -0.3], np.float32)
SCORES = VECTORS @ QUERY / np.linalg.norm(VECTORS, axis=1) / np.linalg.norm(QUERY)
BEST = [int(i) for i in np.argsort(-SCORES)]


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    with rest_server() as running:
        yield running


@pytest.fixture(scope="module", params=["edge", "memory", "http"])
def gallery(
    request: pytest.FixtureRequest, server: RestServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gallery]:
    """Products with integer ids in a gallery of each kind."""
    opened: Gallery
    if request.param == "edge":
        opened = EmbeddedGallery(tmp_path_factory.mktemp("edge") / "gallery")
    elif request.param == "memory":
        opened = ServerGallery(QdrantClient(":memory:"), "photos", "memory")
    else:
        opened = ServerGallery.connect(server.url, "photos")
    opened.create(EMBEDDER, GalleryConfig())
    opened.upsert([Point(i, vector, stored(i)) for i, vector in enumerate(VECTORS)])
    yield opened
    opened.close()


def stored(i: int) -> dict:
    """Product `i`, some with a place, a note, tags and nothing at all in a field."""
    own = payload(i) | {"tags": [f"t{n}" for n in range(i % 4)], "place": {"lon": 0.1 * i, "lat": 50.0}}
    if i % 2:
        own["note"] = None
    if i % 3 == 0:
        own["title"] = f"a long red dress number {i}"
    return own


def field(key: str, **condition: object) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, **condition)])


def at(place: int) -> models.GeoPoint:
    return models.GeoPoint(lon=0.1 * place, lat=50.0)


FILTERS: dict[str, tuple[models.Filter, list[int]]] = {
    "none": (models.Filter(), list(range(SIZE))),
    "value": (field("sku", match=models.MatchValue(value="sku-3")), [3]),
    "true": (field("product.in_stock", match=models.MatchValue(value=True)), [0, 2, 4, 6, 8, 10]),
    "any": (field("family", match=models.MatchAny(any=[0, 3])), [0, 1, 2, 9, 10, 11]),
    "except": (
        field("product.colour", match=models.MatchExcept(**{"except": ["red", "blue"]})),
        [2, 5, 8, 11],
    ),
    "text": (field("title", match=models.MatchText(text="dress")), [0, 3, 6, 9]),
    "range": (field("product.price", range=models.Range(gt=10, lte=40)), [2, 3, 4]),
    "time": (
        field("released", range=models.DatetimeRange(gte=datetime(2018, 1, 1, tzinfo=UTC))),
        [8, 9, 10, 11],
    ),
    "count": (field("tags", values_count=models.ValuesCount(gte=3)), [3, 7, 11]),
    "circle": (field("place", geo_radius=models.GeoRadius(center=at(3), radius=8000)), [2, 3, 4]),
    "box": (
        field(
            "place",
            geo_bounding_box=models.GeoBoundingBox(
                top_left=models.GeoPoint(lon=0.15, lat=51), bottom_right=models.GeoPoint(lon=0.45, lat=49)
            ),
        ),
        [2, 3, 4],
    ),
    "polygon": (
        field(
            "place",
            geo_polygon=models.GeoPolygon(
                exterior=models.GeoLineString(
                    points=[
                        models.GeoPoint(lon=lon, lat=lat)
                        for lon, lat in ((0.15, 49), (0.45, 49), (0.45, 51), (0.15, 51), (0.15, 49))
                    ]
                )
            ),
        ),
        [2, 3, 4],
    ),
    "empty": (
        models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="title"))]),
        [1, 2, 4, 5, 7, 8, 10, 11],
    ),
    "null": (
        models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="note"))]),
        [1, 3, 5, 7, 9, 11],
    ),
    "ids": (models.Filter(must=[models.HasIdCondition(has_id=[2, 5, 99])]), [2, 5]),
    "vector": (models.Filter(must=[models.HasVectorCondition(has_vector="image")]), list(range(SIZE))),
    "nested": (
        models.Filter(
            must=[
                models.NestedCondition(
                    nested=models.Nested(
                        key="variants", filter=field("size", match=models.MatchValue(value="L"))
                    )
                )
            ]
        ),
        [1, 3, 5, 7, 9, 11],
    ),
    "should": (
        models.Filter(
            should=[
                models.FieldCondition(key="sku", match=models.MatchValue(value="sku-1")),
                models.FieldCondition(key="family", match=models.MatchValue(value=3)),
            ]
        ),
        [1, 9, 10, 11],
    ),
    "must not, single": (
        models.Filter(must_not=models.FieldCondition(key="family", match=models.MatchAny(any=[0, 1, 2]))),
        [9, 10, 11],
    ),
    "at least two": (
        models.Filter(
            min_should=models.MinShould(
                conditions=[
                    models.FieldCondition(key="family", match=models.MatchValue(value=1)),
                    models.FieldCondition(key="product.in_stock", match=models.MatchValue(value=True)),
                    models.FieldCondition(key="product.colour", match=models.MatchValue(value="red")),
                ],
                min_count=2,
            )
        ),
        [0, 3, 4, 6],
    ),
    "within each other": (
        models.Filter(
            must=[field("family", match=models.MatchValue(value=2))],
            must_not=[field("sku", match=models.MatchValue(value="sku-7"))],
        ),
        [6, 8],
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_the_client_s_filters_mean_the_same_everywhere(gallery: Gallery, name: str) -> None:
    chosen, ids = FILTERS[name]
    hits = gallery.answer(SearchRequest(QUERY, SIZE, filter=chosen))
    assert [hit.id for hit in hits] == [i for i in BEST if i in ids]
    both = gallery.answer(SearchRequest(QUERY, SIZE, gallery.read_where("product.price>=30"), chosen))
    assert [hit.id for hit in both] == [i for i in BEST if i in ids and i >= 3]


def test_what_is_no_filter_is_refused(gallery: Gallery) -> None:
    with pytest.raises(FilterError, match="Filter"):
        gallery.answer(SearchRequest(QUERY, SIZE, filter={"must": []}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("product.colour=red and product.in_stock=false", [3, 9]),
        ("product.größe~1", [1, 10, 11]),
        ("title!~dress", [1, 2, 4, 5, 7, 8, 10, 11]),
        ("variants[].size=L and family!=1", [1, 7, 9, 11]),
        ("released<=2012-05-31", [0, 1, 2]),
        ("tags=t2", [3, 7, 11]),
    ],
)
def test_where_reaches_fields_of_ones_own_everywhere(gallery: Gallery, where: str, ids: list[int]) -> None:
    hits = gallery.search(QUERY, SIZE, gallery.read_where(where))
    assert [hit.id for hit in hits] == [i for i in BEST if i in ids]


def test_a_field_that_nothing_has_is_said_everywhere(gallery: Gallery) -> None:
    assert gallery.has_field("product.colour")
    assert gallery.has_field("variants[].size")
    assert not gallery.has_field("product.color")
    with pytest.raises(FilterError, match=r"no field product\.color; there are path"):
        gallery.read_where("product.color=red")
    assert gallery.search(QUERY, 1, gallery.read_where("width>0")) == []  # known, whether or not it is there


def test_offset_payload_and_lowest_score(gallery: Gallery) -> None:
    hits = gallery.answer(SearchRequest(QUERY, 4, offset=3))
    assert [(hit.rank, hit.id) for hit in hits] == list(enumerate(BEST[3:7], start=1))
    assert [hit.score for hit in hits] == pytest.approx(SCORES[BEST[3:7]], abs=1e-6)
    assert gallery.answer(SearchRequest(QUERY, 1, with_payload=False))[0].payload == {}
    assert gallery.answer(SearchRequest(QUERY, 1, with_payload=["sku"]))[0].payload == {
        "sku": f"sku-{BEST[0]}"
    }
    lowest = float(SCORES[BEST[5]]) - 1e-6
    assert len(gallery.answer(SearchRequest(QUERY, SIZE, min_score=lowest))) == 6


@pytest.mark.parametrize("name", ["product_id", "family", "product.colour", "tags"])
def test_each_group_has_its_best_point(gallery: Gallery, name: str) -> None:
    best: dict[object, int] = {}
    for i in BEST:
        own = stored(i)
        values = own["product"]["colour"] if "." in name else own[name]
        for value in values if isinstance(values, list) else [values]:
            best.setdefault(value, i)
    for k in (2, SIZE):
        hits = gallery.answer(SearchRequest(QUERY, k, group_by=name, with_payload=["sku"]))
        assert [hit.id for hit in hits] == list(best.values())[:k]
        assert all(best[hit.group] == hit.id for hit in hits)
        assert all(hit.payload == {"sku": f"sku-{hit.id}"} for hit in hits)
    few = gallery.answer(SearchRequest(QUERY, SIZE, group_by=name, filter=FILTERS["range"][0]))
    assert {hit.id for hit in few} <= {2, 3, 4}
    assert gallery.answer(SearchRequest(QUERY, 3, group_by="nothing")) == []


def test_several_searches_are_each_answered(gallery: Gallery) -> None:
    asked = [SearchRequest(QUERY, 2), SearchRequest(-QUERY, 3, filter=FILTERS["any"][0], offset=1)]
    for requests in (asked, [*asked, SearchRequest(QUERY, 2, group_by="family")], []):
        assert gallery.answer_all(requests) == [gallery.answer(request) for request in requests]


def test_payloads_are_read_by_id(gallery: Gallery) -> None:
    assert gallery.payloads([3, 77]) == {3: stored(3)}
    assert gallery.payloads([3, 4], ["sku"]) == {3: {"sku": "sku-3"}, 4: {"sku": "sku-4"}}


def test_ids_of_both_kinds_live_side_by_side(tmp_path: Path) -> None:
    unique = str(uuid.UUID(int=7))
    for gallery in (EmbeddedGallery(tmp_path / "g"), ServerGallery(QdrantClient(":memory:"), "p", "memory")):
        gallery.ensure(EMBEDDER)
        gallery.upsert([Point(2**63, VECTORS[0], {}), Point(unique, VECTORS[1], {})])
        assert {record.id for record in gallery.records()} == {2**63, unique}
        assert set(gallery.vectors([2**63, unique])) == {2**63, unique}
        gallery.delete([2**63])
        assert [hit.id for hit in gallery.search(QUERY, 5)] == [unique]
        gallery.close()


def test_exact_searches_say_so_to_the_server() -> None:
    _, plain = search_arguments(SearchRequest(QUERY), "photos", "image")
    _, exact = search_arguments(SearchRequest(QUERY, exact=True), "photos", "image")
    assert (plain["search_params"], exact["search_params"].exact) == (None, True)


def test_ids_of_other_libraries_are_ids() -> None:
    unique = uuid.UUID(int=7)
    assert [as_id(raw) for raw in (3, np.int64(3), unique, str(unique))] == [3, 3, str(unique), str(unique)]


def test_groups_are_found_however_many_points_one_of_them_has(tmp_path: Path) -> None:
    """The first forty points are all of one product, and two more products come after them."""
    for gallery in (EmbeddedGallery(tmp_path / "g"), ServerGallery(QdrantClient(":memory:"), "p", "memory")):
        gallery.ensure(EMBEDDER)
        angles = np.linspace(0, 1, 42)
        points = [
            Point(i, np.array([np.cos(a), np.sin(a), 0], np.float32), {"product": max(i - 39, 0), "on": True})
            for i, a in enumerate(angles)
        ]
        gallery.upsert(points)
        nearest = np.array([1, 0, 0], np.float32)
        hits = gallery.answer(SearchRequest(nearest, 3, group_by="product"))
        assert [(hit.group, hit.id) for hit in hits] == [(0, 0), (1, 40), (2, 41)]
        assert gallery.answer(SearchRequest(nearest, 3, group_by="on")) == []  # truth values name no group
        gallery.close()
