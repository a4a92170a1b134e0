"""Collections that gair-search did not make, in the client's own engine and over real HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from support import catalogue
from support.catalogue import NAME, fill
from support.points import EMBEDDER
from support.rest_server import RestServer, rest_server

from gair_search.errors import EmbedderMismatchError, FilterError, GalleryError
from gair_search.gallery import GalleryConfig, Point, SearchRequest
from gair_search.gallery.attached import AttachedGallery

VECTORS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
QUERY = np.array([1, 0, 0, 0], np.float32)


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    with rest_server() as running:
        yield running


@pytest.fixture(scope="module")
def remote(server: RestServer) -> QdrantClient:
    """A client of the server; making one takes half a second."""
    return QdrantClient(url=server.url, check_compatibility=False)


@pytest.fixture(params=["memory", "http"])
def client(request: pytest.FixtureRequest, server: RestServer, remote: QdrantClient) -> QdrantClient:
    """A client of the user's own, without collections; its local engine, or a server over HTTP."""
    empty = QdrantClient(":memory:")
    if request.param == "memory":
        return empty
    server.client = empty
    return remote


def cosines() -> list[tuple[int, float]]:
    """Products by their cosine to QUERY, best first."""
    scores = VECTORS @ QUERY / np.linalg.norm(VECTORS, axis=1)
    return [(int(i), float(scores[i])) for i in np.argsort(-scores)]


@pytest.mark.parametrize("ids", ["int", "uuid"])
@pytest.mark.parametrize(
    ("vector", "others"), [(None, None), ("clip", None), ("clip", {"title": 3, "audio": 4})]
)
def test_hits_are_the_nearest_points_whatever_the_vector_is_called(
    client: QdrantClient, vector: str | None, others: dict[str, int] | None, ids: str
) -> None:
    fill(client, VECTORS, vector=vector, others=others, ids=ids)
    gallery = AttachedGallery(client, NAME, vector)
    hits = gallery.search(QUERY, 8)
    assert [hit.id for hit in hits] == [catalogue.point_id(i, ids) for i, _ in cosines()]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in cosines()], abs=1e-6)
    assert [hit.rank for hit in hits] == list(range(1, 9))
    assert {hit.path for hit in hits} == {None}
    assert hits[0].payload == catalogue.payload(cosines()[0][0])
    assert hits[0].label == str(hits[0].id)
    stored = gallery.vectors([hit.id for hit in hits[:2]])
    assert set(stored) == {hit.id for hit in hits[:2]}
    assert all(vector.shape == (4,) for vector in stored.values())
    assert gallery.count() == 8
    assert {record.id for record in gallery.records(["sku"])} == {hit.id for hit in hits}


def test_a_local_path_and_points_without_payload(tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    fill(client, VECTORS)
    client.upsert(NAME, [models.PointStruct(id=100, vector=[50.0, 0, 0, 0])])
    hits = AttachedGallery(client, NAME).search(QUERY, 2)
    assert [(hit.id, hit.payload) for hit in hits] == [
        (100, {}),
        (cosines()[0][0], catalogue.payload(cosines()[0][0])),
    ]
    client.upsert(NAME, [models.PointStruct(id=100, vector=[50.0, 0, 0, 0], payload={"path": 7})])
    assert AttachedGallery(client, NAME).search(QUERY, 1)[0].path is None
    client.close()


def test_the_only_vector_needs_no_name(client: QdrantClient) -> None:
    fill(client, VECTORS, vector="clip")
    assert AttachedGallery(client, NAME).vector == "clip"


def test_scores_are_dot_products_where_the_distance_is_dot(client: QdrantClient) -> None:
    fill(client, VECTORS, distance=models.Distance.DOT)
    hits = AttachedGallery(client, NAME).search(QUERY, 8)
    assert [hit.score for hit in hits] == pytest.approx(sorted(VECTORS @ QUERY, reverse=True), abs=1e-6)


def test_a_quantized_and_an_empty_collection(client: QdrantClient) -> None:
    fill(client, VECTORS, quantized=True)
    fill(client, VECTORS[:0], name="empty")
    assert len(AttachedGallery(client, NAME).search(QUERY, 3)) == 3
    empty = AttachedGallery(client, "empty")
    assert (empty.search(QUERY, 3), empty.count(), list(empty.records())) == ([], 0, [])


@pytest.mark.parametrize("distance", [models.Distance.EUCLID, models.Distance.MANHATTAN])
def test_other_distances_are_refused_with_the_reason(client: QdrantClient, distance: models.Distance) -> None:
    fill(client, VECTORS, distance=distance)
    with pytest.raises(
        GalleryError, match=f"by {distance.value}.*expected a collection of distance Cosine or Dot"
    ):
        AttachedGallery(client, NAME)


def test_what_is_not_there_is_said_with_what_is(client: QdrantClient) -> None:
    fill(client, VECTORS, vector="clip", others={"title": 3})
    fill(client, VECTORS, name="plain")
    with pytest.raises(GalleryError, match="no collection shop; there are: catalogue, plain"):
        AttachedGallery(client, "shop")
    with pytest.raises(GalleryError, match=r"several vectors; say which.*clip \(4 dimensions\), title \(3"):
        AttachedGallery(client, NAME)
    with pytest.raises(GalleryError, match=r"no dense vector image.*clip \(4 dimensions\)"):
        AttachedGallery(client, NAME, "image")
    with pytest.raises(GalleryError, match="its only one has no name"):
        AttachedGallery(client, "plain", "clip")
    with pytest.raises(GalleryError, match=r"expected a qdrant_client.QdrantClient, not str"):
        AttachedGallery("http://localhost:6333", NAME)


def test_several_vectors_a_point_are_refused() -> None:
    client = QdrantClient(":memory:")
    many = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    own = models.VectorParams(size=4, distance=models.Distance.COSINE, multivector_config=many)
    client.create_collection(NAME, vectors_config={"colbert": own})
    with pytest.raises(GalleryError, match="each point has several vectors"):
        AttachedGallery(client, NAME)


def test_another_length_is_refused(client: QdrantClient) -> None:
    fill(client, VECTORS)
    with pytest.raises(EmbedderMismatchError, match="has 4 dimensions, and the model gair-mini makes 3"):
        AttachedGallery(client, NAME).require(EMBEDDER)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("sku=sku-3", [3]),
        ("sku~ku-3", [3]),
        ("product.colour=red and product.price>=30", [3, 6]),
        ("product.price<15", [0, 1]),
        ("product.price!=0", [1, 2, 3, 4, 5, 6, 7]),
        ("product.in_stock=true", [0, 2, 4, 6]),
        ("product.in_stock!=true", [1, 3, 5, 7]),
        ("product.größe='4'", [4]),
        ("variants[].size=L", [1, 3, 5, 7]),
        ("released>2014-12", [5, 6, 7]),
        ("released=2012-05", [2]),
        ("score<=94", [6, 7]),
        ("product_id=p1 and sku!='sku-2'", [3]),
        ("sku='a and product.price>1'", []),
    ],
)
def test_where_reaches_any_field_as_its_value_is_written(
    client: QdrantClient, where: str, found: list[int]
) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    hits = gallery.search(QUERY, 8, gallery.read_where(where))
    assert sorted(hit.id for hit in hits) == found


def test_a_field_that_no_point_has_is_said(client: QdrantClient) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    for field in ("colour", "product.color", "variants[].sise"):
        with pytest.raises(FilterError, match=r"no field .*there are none with an index"):
            gallery.read_where(f"{field}=red")


def test_the_type_of_an_indexed_field_is_the_collection_s() -> None:
    """As a server describes it: `2015` is then a year, and `7` a text."""
    client = QdrantClient(":memory:")
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    info = client.get_collection(NAME)
    info.payload_schema = {
        "released": models.PayloadIndexInfo(data_type=models.PayloadSchemaType.DATETIME, points=8),
        "sku": models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=8),
        "place": models.PayloadIndexInfo(data_type=models.PayloadSchemaType.GEO, points=8),
    }
    gallery.layout = gallery.layout.read(info, None, "shop")
    assert gallery.fields == {"released": "time", "sku": "text"}
    assert [hit.id for hit in gallery.search(QUERY, 8, gallery.read_where("released=2015"))] == [5]
    assert gallery.search(QUERY, 8, gallery.read_where("sku=7")) == []
    with pytest.raises(FilterError, match="sku is a text"):
        gallery.read_where("sku>7")


def native(colour: str) -> models.Filter:
    """A filter as the client's users write them."""
    match = models.FieldCondition(key="product.colour", match=models.MatchValue(value=colour))
    return models.Filter(must=[match])


def test_native_filters_stand_beside_where(client: QdrantClient) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    where = gallery.read_where("product.price>=30")
    hits = gallery.answer(SearchRequest(QUERY, 8, where, native("red")))
    assert sorted(hit.id for hit in hits) == [3, 6]
    with pytest.raises(FilterError, match=r"expected a qdrant_client.models.Filter, not str.*where="):
        gallery.answer(SearchRequest(QUERY, 8, filter="sku=1"))  # type: ignore[arg-type]


def test_offset_payload_and_lowest_score(client: QdrantClient) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    every = gallery.search(QUERY, 8)
    rest = gallery.answer(SearchRequest(QUERY, 3, offset=2))
    assert [hit.id for hit in rest] == [hit.id for hit in every[2:5]]
    assert [hit.rank for hit in rest] == [1, 2, 3]
    assert gallery.answer(SearchRequest(QUERY, 1, with_payload=False))[0].payload == {}
    chosen = gallery.answer(SearchRequest(QUERY, 1, with_payload=["sku", "score"]))[0].payload
    assert set(chosen) == {"sku", "score"}
    high = gallery.answer(SearchRequest(QUERY, 8, min_score=every[3].score - 1e-6))
    assert [hit.id for hit in high] == [hit.id for hit in every[:4]]


@pytest.mark.parametrize("field", ["product_id", "family", "product.colour"])
def test_groups_are_stood_for_by_their_best_point(client: QdrantClient, field: str) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    best: dict[object, object] = {}
    for hit in gallery.search(QUERY, 8):
        value = hit.payload["product"]["colour"] if "." in field else hit.payload[field]
        best.setdefault(value, hit.id)
    hits = gallery.answer(SearchRequest(QUERY, 2, group_by=field))
    assert [(hit.group, hit.id) for hit in hits] == list(best.items())[:2]
    assert [hit.rank for hit in hits] == [1, 2]


def test_several_searches_are_one_request(client: QdrantClient) -> None:
    fill(client, VECTORS)
    gallery = AttachedGallery(client, NAME)
    requests = [SearchRequest(QUERY, 2), SearchRequest(QUERY[::-1].copy(), 3, filter=native("blue"))]
    assert gallery.answer_all(requests) == [gallery.answer(request) for request in requests]
    assert gallery.answer_all([]) == []
    grouped = [*requests, SearchRequest(QUERY, 2, group_by="family")]
    assert gallery.answer_all(grouped) == [gallery.answer(request) for request in grouped]


def test_several_searches_travel_once(server: RestServer, remote: QdrantClient) -> None:
    server.client = QdrantClient(":memory:")
    fill(remote, VECTORS)
    gallery = AttachedGallery(remote, NAME)
    before = server.requests
    gallery.answer_all([SearchRequest(QUERY, 2)] * 50)
    assert server.requests == before + 1


def test_storing_keeps_what_else_a_point_holds(client: QdrantClient) -> None:
    fill(client, VECTORS, vector="clip", others={"title": 3})
    gallery = AttachedGallery(client, NAME, "clip")
    new = np.array([0, 0, 0, 1], np.float32)
    gallery.upsert([Point(2, new, {"seen": True}), Point(99, new, {"sku": "new"}), Point(3, new, {})])
    (old, other) = client.retrieve(NAME, [2, 3], with_vectors=True)
    assert old.payload == {**catalogue.payload(2), "seen": True}
    assert other.payload == catalogue.payload(3)
    assert old.vector == {"clip": [0, 0, 0, 1], "title": [1, 1, 1]}
    (added,) = client.retrieve(NAME, [99], with_vectors=True)
    assert (added.payload, added.vector) == ({"sku": "new"}, {"clip": [0, 0, 0, 1]})
    gallery.delete([99, 1])
    assert gallery.count() == 7


def test_folders_are_not_indexed_into_it(client: QdrantClient) -> None:
    fill(client, VECTORS)
    before = catalogue.dump(client)
    gallery = AttachedGallery(client, NAME)
    with pytest.raises(GalleryError, match="index_images"):
        gallery.ensure(EMBEDDER)
    with pytest.raises(GalleryError, match="not made by gair-search"):
        gallery.create(EMBEDDER, GalleryConfig())
    gallery.close()
    assert catalogue.dump(client) == before


def test_a_gallery_of_our_own_can_be_attached(client: QdrantClient) -> None:
    from gair_search.gallery.server import ServerGallery

    ServerGallery(client, "photos", "here").ensure(EMBEDDER)
    gallery = AttachedGallery(client, "photos")
    assert (gallery.embedder, gallery.vector) == (EMBEDDER, "image")
    gallery.require(EMBEDDER)
    with pytest.raises(EmbedderMismatchError, match="was made with"):
        gallery.require(replace(EMBEDDER, weights="other"))


def test_the_key_never_appears() -> None:
    with rest_server(api_key="secret-key") as server:
        with pytest.warns(UserWarning, match="insecure"):
            client = QdrantClient(url=server.url, api_key="wrong-key", check_compatibility=False)
        with pytest.raises(GalleryError, match="refused the API key") as caught:
            AttachedGallery(client, NAME, secret="wrong-key")
        assert "wrong-key" not in str(caught.value)
