"""The served gallery over real HTTP: what goes wrong between two machines."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import models
from support.points import EMBEDDER, point
from support.rest_server import RestServer, rest_server

from gair_search.errors import GalleryError
from gair_search.gallery import collection as collection_module
from gair_search.gallery import server as server_module
from gair_search.gallery.base import INDEXED_FIELDS, GalleryConfig
from gair_search.gallery.server import ServerGallery

KEY = "a-very-secret-key"


@pytest.fixture
def rest() -> Iterator[RestServer]:
    with rest_server(api_key=KEY) as server:
        yield server


@pytest.mark.slow
def test_passing_failures_are_retried(rest: RestServer) -> None:
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    for status in (503, 500, 429, 408):
        rest.fail, rest.fail_status = 2, status
        assert gallery.count() == 0
        assert rest.fail == 0


@pytest.mark.slow
def test_failures_that_stay_are_told_after_some_tries(
    rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "ATTEMPTS", 3)
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    rest.fail = 100
    with pytest.raises(GalleryError, match="answered 503: told to fail"):
        gallery.count()
    assert rest.fail == 97


def test_a_request_that_is_wrong_is_not_retried(rest: RestServer) -> None:
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    rest.fail, rest.fail_status = 1, 400
    before = rest.requests
    with pytest.raises(GalleryError, match="answered 400"):
        gallery.count()
    assert rest.requests == before + 1


def test_a_wrong_key_is_told_and_never_shown(rest: RestServer) -> None:
    gallery = ServerGallery.connect(rest.url, "photos", "wrong-and-secret")
    with pytest.raises(GalleryError, match="GAIR_API_KEY") as caught:
        gallery.count()
    assert "wrong-and-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_key_never_appears_even_if_the_server_echoes_it(rest: RestServer) -> None:
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    with pytest.raises(GalleryError) as caught:
        gallery._fail(RuntimeError(f"header api-key: {KEY}"))
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)
    named = ServerGallery.connect(rest.url.replace("://", f"://me:{KEY}@"), "photos", KEY)
    assert KEY not in named.name


def test_a_refused_connection_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "ATTEMPTS", 2)
    gallery = ServerGallery.connect("http://127.0.0.1:9", "photos")
    with pytest.raises(GalleryError, match=r"127.0.0.1:9.*could not be reached.*is Qdrant running"):
        gallery.count()


@pytest.mark.slow
def test_a_server_that_never_answers_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gallery = ServerGallery.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", "photos", timeout=1)
        with pytest.raises(GalleryError, match="could not be reached"):
            gallery.count()


@pytest.mark.parametrize(
    "url", ["localhost:6333", "ftp://x", "http://", "http://host:port", "", "http://[", "http://a b:1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(GalleryError, match="expected http://HOST:6333"):
        ServerGallery.connect(url, "photos")


def test_grpc_is_used_where_its_port_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        server_module, "_is_listening", lambda host, port: (host, port) == ("127.0.0.1", 6334)
    )
    assert ServerGallery.connect("http://127.0.0.1:6333", "p")._client._client._prefer_grpc
    assert not ServerGallery.connect("http://127.0.0.1:7333", "p")._client._client._prefer_grpc
    monkeypatch.setattr(server_module, "_is_listening", lambda host, port: False)
    assert not ServerGallery.connect("http://127.0.0.1:6333", "p")._client._client._prefer_grpc


def test_grpc_failures_are_retried_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real gRPC channel to a port where nobody listens."""
    monkeypatch.setattr(collection_module, "ATTEMPTS", 2)
    monkeypatch.setattr(server_module, "_is_listening", lambda *_: True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(server_module, "_REST_PORT", port)
    gallery = ServerGallery.connect(f"http://127.0.0.1:{port}", "photos", timeout=2)
    with pytest.raises(GalleryError, match="could not be reached"):
        gallery.count()


def test_creating_what_another_made_meanwhile_goes_on(rest: RestServer) -> None:
    slow = ServerGallery.connect(rest.url, "photos", KEY)
    ServerGallery.connect(rest.url, "photos", KEY).create(EMBEDDER, GalleryConfig())
    slow.create(EMBEDDER, GalleryConfig())
    assert slow.embedder == EMBEDDER


def test_payload_indices_that_an_interruption_left_out_are_made_by_the_next_run(rest: RestServer) -> None:
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    gallery.create(EMBEDDER, GalleryConfig())
    assert rest.indexed == []
    gallery.ensure(EMBEDDER)
    assert sorted(rest.indexed) == sorted(INDEXED_FIELDS)


def test_a_collection_of_somebody_elses_is_left_alone(rest: RestServer) -> None:
    vectors = models.VectorParams(size=3, distance=models.Distance.COSINE)
    rest.client.create_collection("photos", vectors_config=vectors)
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    with pytest.raises(GalleryError, match=r"not made by gair-search.*--gallery NAME"):
        gallery.ensure(EMBEDDER)


def test_layout_options_reach_the_server(rest: RestServer) -> None:
    """The request as it goes over the wire."""
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    gallery.create(EMBEDDER, GalleryConfig(4, 2, 32, 200, "scalar", True))
    asked = rest.created
    assert (asked["shard_number"], asked["replication_factor"]) == (4, 2)
    assert (asked["hnsw_config"]["m"], asked["hnsw_config"]["ef_construct"]) == (32, 200)
    assert asked["quantization_config"]["scalar"]["type"] == "int8"
    assert asked["vectors"]["image"] == {"size": 3, "distance": "Cosine", "on_disk": True}
    assert asked["metadata"] == {"gair": EMBEDDER.to_metadata()}


def test_a_failed_upsert_stores_nothing_and_goes_through_the_next_time(
    rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "ATTEMPTS", 1)
    gallery = ServerGallery.connect(rest.url, "photos", KEY)
    gallery.ensure(EMBEDDER)
    rest.fail = 1
    with pytest.raises(GalleryError):
        gallery.upsert([point(0, [1, 0, 0])])
    assert gallery.count() == 0
    gallery.upsert([point(0, [1, 0, 0])])
    assert gallery.search(np.array([1, 0, 0], np.float32), 1)[0].path == "/photos/0.jpg"
