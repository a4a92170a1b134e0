"""The gallery's commands on a collection of a server that gair-search did not make."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import catalogue
from support.catalogue import NAME, fill
from support.cli import Gair
from support.photos import picture
from support.rest_server import RestServer, rest_server

from gair_search.encoder.clip import Encoder
from gair_search.tokens.store import TokenStore

SIZE = 12


@pytest.fixture(scope="module")
def server(encoder: Encoder) -> Iterator[RestServer]:
    """A server with a catalogue of pictures by gair-mini; 4, 5 and 6 are alike."""
    with rest_server() as running:
        vectors = encoder.encode_images([picture(min(i, 4) if i < 7 else i) for i in range(SIZE)])
        fill(running.client, vectors, vector="clip", others={"title": 3})
        yield running


@pytest.fixture
def place(server: RestServer) -> list[str]:
    """The options that name it."""
    server.written.clear()
    return ["--url", server.url, "--collection", NAME, "--vector", "clip", "--model", "gair-mini"]


def test_query_asks_the_collection(
    gair: Gair, server: RestServer, place: list[str], encoder: Encoder
) -> None:
    code, out, _ = gair("query", "a (red:1.5) blob", "-k", 3, "--json", *place)
    hits = json.loads(out)["hits"]
    vector = encoder.encode_texts(["a red blob"])[0]
    assert code == 0
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert hits[0]["payload"] == catalogue.payload(hits[0]["id"])
    _, out, _ = gair("query", "a red blob", "-k", 3, *place)
    found = server.client.query_points(NAME, query=vector.tolist(), using="clip", limit=3).points
    assert [line.split("\t")[2] for line in out.splitlines()] == [str(point.id) for point in found]
    assert server.written == []


@pytest.mark.slow
def test_query_takes_filters_offsets_and_groups(gair: Gair, place: list[str], tmp_path: Path) -> None:
    every = json.loads(gair("query", "a blob", "-k", SIZE, "--json", *place)[1])["hits"]
    rest = json.loads(gair("query", "a blob", "-k", 2, "--offset", 3, "--json", *place)[1])["hits"]
    assert [hit["id"] for hit in rest] == [hit["id"] for hit in every[3:5]]
    where = ("--where", "product.price>=90")
    assert len(json.loads(gair("query", "a blob", "--json", *where, *place)[1])["hits"]) == 3
    code, out, _ = gair("query", "a blob", "--json", "--group-by", "product_id", *place)
    groups = [hit["group"] for hit in json.loads(out)["hits"]]
    assert (code, len(groups), len(set(groups))) == (0, 6, 6)
    code, _, err = gair("query", "a blob", "--where", "colour=red", *place)
    assert code == 1
    assert "no field colour" in err
    page = tmp_path / "page.html"
    assert gair("query", "a blob", "--html", page, *place)[0] == 0
    assert f'<div class="path" title="{every[0]["id"]}">' in page.read_text()


def test_similar_status_and_learn(gair: Gair, server: RestServer, place: list[str], tmp_path: Path) -> None:
    picture(2).save(tmp_path / "2.png")
    code, out, _ = gair("similar", tmp_path / "2.png", "-k", 1, "--json", *place)
    assert (code, json.loads(out)["hits"][0]["id"]) == (0, 2)
    _, out, _ = gair("status", *place)
    assert f"{SIZE} points\n          attached; vector clip, 640 dimensions, Cosine" in out
    facts = json.loads(gair("status", "--json", *place)[1])
    assert facts["collection"]["distance"] == "Cosine"
    points = [word for i in (4, 5, 6) for word in ("--point", i)]
    code, _, err = gair("learn", "mine", *points, "--parent", "blob", "--steps", 2, *place)
    assert code == 0, err
    assert TokenStore().names() == ["mine"]
    assert gair("query", "a <mine> blob", *place)[0] == 0
    assert server.written == []


def test_what_can_t_be_is_said(gair: Gair, server: RestServer, place: list[str], photos: Path) -> None:
    for words, said in (
        ((*place, "--gallery", "photos"), "not both"),
        (("--collection", NAME, "--model", "gair-mini"), "--url or GAIR_URL"),
        (("--url", server.url, "--collection", NAME, "--model", "gair-mini"), "several vectors; say which"),
        (("--url", server.url, "--collection", NAME, "--vector", "clip"), "does not say which model"),
        (("--vector", "clip"), "goes with a collection"),
        (("--url", server.url, "--gallery", NAME), f"--collection {NAME} --model NAME"),
    ):
        code, _, err = gair("query", "a blob", *words)
        assert (code, said in err) == (1, True), err
