"""An engine on a catalogue that a stranger made: everything works, and nothing is written."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from support import catalogue
from support.catalogue import NAME, fill
from support.gair import PROMPT, QUICK
from support.generator import tiny_token
from support.photos import picture
from support.rest_server import RestServer, rest_server

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import ConceptError, EmbedderMismatchError, GairError, GalleryError, ModelError
from gair_search.gallery import GalleryConfig, Point
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.generation.generator import Generator
from gair_search.query.compiler import compile_query
from gair_search.query.terms import Image, Vector
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore

SIZE = 16
WEIGHTED = "a (red:1.5) <my-dress> dress on a [brick wall]"


def product(i: int) -> PIL.Image.Image:
    """Product `i`'s picture; 4, 5 and 6 are the same thing in three lights."""
    light = 1 + 0.02 * (i - 5) if i in (4, 5, 6) else 1.0
    return PIL.Image.fromarray(
        (np.asarray(picture(4 if i in (4, 5, 6) else i, (40, 40))) * light).clip(0, 255).astype(np.uint8)
    )


@pytest.fixture(scope="module")
def features(tiny: Encoder) -> np.ndarray:
    """Features of the catalogue's pictures."""
    return tiny.encode_images([product(i) for i in range(SIZE)])


@pytest.fixture(scope="module")
def server() -> Iterator[RestServer]:
    with rest_server() as running:
        yield running


@pytest.fixture(params=["memory", "http"])
def client(request: pytest.FixtureRequest, server: RestServer, features: np.ndarray) -> QdrantClient:
    """The catalogue, by three named vectors and integer ids; in the client's own engine or over HTTP."""
    made = QdrantClient(":memory:")
    fill(made, features, vector="clip", others={"title": 3, "audio": 16})
    if request.param == "memory":
        return made
    server.client = made
    return QdrantClient(url=server.url, check_compatibility=False)


@pytest.fixture
def engine(client: QdrantClient, tiny: Encoder, generator: Generator, token: CustomToken) -> Engine:
    attached = Engine.attach(client, NAME, model=tiny, vector="clip")
    attached._generator = generator
    attached.tokens.save(token)
    return attached


def test_a_query_asked_four_ways_has_one_answer(
    engine: Engine, client: QdrantClient, tiny: Encoder, features: np.ndarray, tmp_path: Path
) -> None:
    """Attached; the vector alone, and the user's client; a gallery of our own; through LangChain."""
    from gair_search.integrations.langchain import LangchainRetriever

    hits = engine.search(WEIGHTED, 5)
    documents = LangchainRetriever(engine=engine, k=5).invoke(WEIGHTED)
    assert [(one.metadata["id"], one.metadata["score"]) for one in documents] == [
        (hit.id, pytest.approx(hit.score, abs=1e-6)) for hit in hits
    ]
    query = compile_query(WEIGHTED, tiny, concepts=engine.tokens)
    found = client.query_points(NAME, query=query.vector.tolist(), using="clip", limit=5).points
    assert [(hit.id, hit.score) for hit in hits] == [
        (point.id, pytest.approx(point.score, abs=1e-6)) for point in found
    ]
    gallery = EmbeddedGallery(tmp_path / "own")
    gallery.create(tiny.embedder_id, GalleryConfig())
    gallery.upsert([Point(i, row, catalogue.payload(i)) for i, row in enumerate(features)])
    own = Engine(tiny.spec, gallery, engine.tokens, encoder=tiny)
    assert [(hit.id, hit.score, hit.payload) for hit in own.search(WEIGHTED, 5)] == [
        (hit.id, pytest.approx(hit.score, abs=1e-6), hit.payload) for hit in hits
    ]
    own.close()


def test_the_compiler_needs_no_gallery_no_lock_and_no_home(
    tiny: Encoder, token: CustomToken, home: Path
) -> None:
    by_store = compile_query(WEIGHTED, tiny, {"my-dress": token}).vector
    assert not home.exists()
    TokenStore().save(token)
    for concepts in (TokenStore(), lambda name: token):
        assert np.array_equal(compile_query(WEIGHTED, tiny, concepts).vector, by_store)
    starred = WEIGHTED.replace("<my-dress>", "*")
    other = tiny_token(tiny, "other", 1)
    assert np.array_equal(compile_query(starred, tiny, {"my-dress": token}).vector, by_store)
    both = {"my-dress": token, "other": other}
    assert np.array_equal(compile_query(starred, tiny, both, concept="my-dress").vector, by_store)
    assert np.array_equal(compile_query(starred, tiny, both.__getitem__, concept="my-dress").vector, by_store)
    with pytest.raises(ConceptError, match="2 concepts; say which with concept="):
        compile_query(starred, tiny, both)
    with pytest.raises(ConceptError, match=r"unknown concept <my-dress>.*concepts="):
        compile_query(WEIGHTED, tiny)
    with pytest.raises(ConceptError, match=r"given are: <other>"):
        compile_query(WEIGHTED, tiny, {"other": other})


@pytest.mark.slow
def test_nothing_is_written_by_search_learning_and_gair(
    engine: Engine, client: QdrantClient, server: RestServer, tmp_path: Path
) -> None:
    before = catalogue.dump(client)
    server.written.clear()
    engine.search(WEIGHTED, 3, where="product.price>10", group_by="product_id", gair=True, config=QUICK)
    engine.search_batch(["a dress", WEIGHTED], 3, filter=models.Filter())
    engine.similar(product(1), 3)
    engine.rerank(engine.search("a dress", 5), PROMPT, QUICK)
    engine.visualize(PROMPT, QUICK)
    engine.verify({1: product(1)})
    quick = {"steps": 2, "check_every": 2, "n_vectors": 2, "held_out_noises": 1, "views": 1}
    engine.learn("by-points", points=[4, 5, 6], parent="dress", changes=quick)
    engine.learn("by-photos", *map(product, (4, 5, 6)), parent="dress", changes=quick)
    engine.search("a <by-points> dress")
    assert engine.status()["images"] == SIZE
    engine.close()
    assert catalogue.dump(client) == before
    assert server.written == []
    assert sorted(engine.tokens.names()) == ["by-photos", "by-points", "my-dress"]


def test_search_takes_filters_offsets_groups_and_payload_fields(engine: Engine) -> None:
    every = engine.search(WEIGHTED, SIZE)
    red = models.FieldCondition(key="product.colour", match=models.MatchValue(value="red"))
    found = engine.search(WEIGHTED, SIZE, where="product.price>=60", filter=models.Filter(must=[red]))
    assert [hit.id for hit in found] == [hit.id for hit in every if hit.id in (6, 9, 12, 15)]
    assert [hit.id for hit in engine.search(WEIGHTED, 3, offset=4)] == [hit.id for hit in every[4:7]]
    groups = engine.search(WEIGHTED, 4, group_by="product_id")
    assert len({hit.group for hit in groups}) == 4
    assert groups[0].id == every[0].id
    assert engine.search(WEIGHTED, 1, with_payload=["sku"])[0].payload == {"sku": f"sku-{every[0].id}"}
    assert engine.search_batch([WEIGHTED, "a dress"], 3) == [
        engine.search(WEIGHTED, 3),
        engine.search("a dress", 3),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k = 0"),
        ({"offset": -1}, "offset -1"),
        ({"group_by": "sku", "offset": 1}, "without an offset"),
        ({"group_by": " "}, "name of a payload field"),
        ({"with_payload": "sku"}, "list of fields"),
        ({"where": "colour=red"}, "no field colour"),
    ],
)
def test_options_that_can_t_be(engine: Engine, options: dict, said: str) -> None:
    with pytest.raises(GairError, match=said):
        engine.search("a dress", **options)


def test_an_image_of_any_kind_is_a_query(engine: Engine, features: np.ndarray, tmp_path: Path) -> None:
    image = product(3)
    image.save(tmp_path / "3.png")
    for source in (image, np.asarray(image), tmp_path / "3.png", (tmp_path / "3.png").read_bytes()):
        hit = engine.similar(source, 1)[0]
        assert (hit.id, hit.score) == (3, pytest.approx(1, abs=1e-5))
        alike = engine.search("x", 1, plus=[Image(source, 1000)])[0]
        assert alike.id == 3
    assert engine.search("x", 1, plus=[Vector(features[3], 1000)])[0].id == 3


def test_hits_as_json_lose_no_field_of_the_payload(engine: Engine) -> None:
    hit = engine.search("a dress", 1)[0]
    assert hit.to_json() == {
        "rank": 1,
        "score": hit.score,
        "id": hit.id,
        "payload": catalogue.payload(hit.id),
    }
    flat = engine.search("a dress", 1, with_payload=["sku"])[0].to_json()
    # the client's own engine normalises what it holds with every search
    assert flat.pop("score") == pytest.approx(hit.score, abs=1e-6)
    assert flat == {"rank": 1, "id": hit.id, "sku": f"sku-{hit.id}"}


def test_a_model_must_be_named_and_fit(client: QdrantClient, tiny: Encoder, home: Path) -> None:
    with pytest.raises(ModelError, match="does not say which model made its vectors"):
        Engine.attach(client, NAME, vector="clip")
    with pytest.raises(
        EmbedderMismatchError, match=r"'clip' of collection catalogue has 16.*gair-mini makes"
    ):
        Engine.attach(client, NAME, "gair-mini", vector="clip")
    with pytest.raises(GalleryError, match="several vectors"):
        Engine.attach(client, NAME, tiny)
    with pytest.raises(ModelError, match="expected a name or an Encoder, not TextTower"):
        Engine.attach(client, NAME, tiny.text_tower, vector="clip")  # type: ignore[arg-type]
    with pytest.raises(GalleryError, match=r"AsyncEngine\.attach takes an AsyncQdrantClient"):
        Engine.attach(AsyncQdrantClient(":memory:"), NAME, tiny)
    by_name = Engine.attach(client, NAME, tiny.spec.name, vector="clip", tokens=home / "others")
    assert (by_name.model, by_name.tokens.folder) == (tiny.spec.name, home / "others")
    with pytest.raises(GalleryError, match="index_images"):
        by_name.index(home)


@pytest.mark.slow
def test_a_concept_is_learned_from_points_alone(engine: Engine, features: np.ndarray) -> None:
    """Its facts say how; its features are those of the points; the points are no negatives of it."""
    from gair_search.tokens import facts

    changes = {"steps": 4, "check_every": 2, "n_vectors": 2}
    lesson = engine.learn("mine", points=[4, 5, 6], parent="dress", changes=changes)
    assert engine.tokens.get("mine").facts[facts.METHOD] == "prompt tuning"
    stored = facts.concept_features(lesson.token)
    assert np.allclose(stored, features[4:7].mean(axis=0), atol=1e-5)
    with pytest.raises(ConceptError, match=r"no vector of the points \[77\]"):
        engine.learn("other", points=[4, 77], parent="dress")
    with pytest.raises(ConceptError, match="photos or points"):
        engine.learn("other", picture(0), points=[4, 5], parent="dress")
    with pytest.raises(ConceptError, match="stored points have features alone"):
        engine.learn("other", points=[4, 5], parent="dress", method="joint")
    assert engine.tokens.names() == ["mine", "my-dress"]


def test_what_is_learned_need_not_be_stored(engine: Engine) -> None:
    changes = {"steps": 2, "check_every": 2, "n_vectors": 2}
    lesson = engine.learn("mine", points=[4, 5, 6], parent="dress", changes=changes, store=False)
    assert engine.tokens.names() == ["my-dress"]
    query = compile_query("a <mine> dress", engine.encoder, {"mine": lesson.token})
    assert len(engine.search(query, 3)) == 3


def test_points_of_any_length_are_learned_from_by_their_direction(
    tiny: Encoder, features: np.ndarray
) -> None:
    from gair_search.learning.from_files import _read_points

    client = QdrantClient(":memory:")
    fill(client, features * np.linspace(1, 9, SIZE, dtype=np.float32)[:, None], distance=models.Distance.DOT)
    read = _read_points(Engine.attach(client, NAME, tiny), "mine", [], [4, 5, 6])
    assert np.allclose(read.images, features[4:7], atol=1e-6)
    assert read.sources == [4, 5, 6]


def test_a_collection_of_our_own_made_with_other_weights_is_refused(tiny: Encoder) -> None:
    from gair_search.gallery.server import ServerGallery

    client = QdrantClient(":memory:")
    ServerGallery(client, "photos", "here").ensure(replace(tiny.embedder_id, weights="other"))
    engine = Engine.attach(client, "photos", tiny)
    for ask in (lambda: engine.search("a dress"), lambda: engine.similar(product(1))):
        with pytest.raises(EmbedderMismatchError, match="was made with"):
            ask()


def test_deleting_is_said_and_done(engine: Engine, client: QdrantClient, server: RestServer) -> None:
    server.written.clear()
    engine.delete([3, 99])
    assert len(server.written) <= 1  # none at all in the client's own engine
    assert client.count(NAME).count == SIZE - 1
