import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from support.points import point
from support.shop import IDS, PAYLOADS, PROMPT, attach_async, places

from gair_search import Engine, GairError, GalleryConfig
from gair_search.encoder.clip import Encoder
from gair_search.errors import FilterError, PromptError
from gair_search.gair.options import GairConfig

pytest.importorskip("haystack", reason="needs the extra haystack")

from haystack import Document, Pipeline, component
from haystack.core.errors import PipelineRuntimeError
from haystack.utils import Secret

from gair_search.integrations.haystack import HaystackRetriever

CHEAP = {"field": "meta.price", "operator": "<", "value": 30}


@component
class Titles:
    """What comes after a retriever."""

    @component.output_types(text=str)
    def run(self, documents: list[Document]) -> dict[str, str]:
        return {"text": ", ".join(str(one.content) for one in documents)}


def found(answer: dict[str, list[Document]]) -> list[tuple[str, float | None]]:
    return [(one.id, one.score) for one in answer["documents"]]


def pipeline(retriever: HaystackRetriever) -> Pipeline:
    made = Pipeline()
    made.add_component("retriever", retriever)
    made.add_component("titles", Titles())
    made.connect("retriever.documents", "titles.documents")
    return made


def test_documents_are_the_engines_hits(engine: Engine) -> None:
    hits = engine.search(PROMPT, 4)
    answer = HaystackRetriever(engine, top_k=4, text_field="title").run(PROMPT)
    assert found(answer) == places(hits)
    documents = answer["documents"]
    assert [one.content for one in documents] == [hit.payload["title"] for hit in hits]
    first = documents[0].meta
    assert (first["rank"], first["score"], first["id"], first["path"]) == (1, hits[0].score, 0, "/shop/0.jpg")
    assert first["product"] == {"name": "Rosa", "maker": "A"}
    (clashing,) = [one.meta for one in documents if "payload" in one.meta]
    assert clashing["payload"]["score"] == 4.5
    assert [Document.from_dict(one.to_dict()) for one in documents] == documents
    assert found(HaystackRetriever(engine).run(PROMPT, top_k=2)) == places(engine.search(PROMPT, 2))


def test_nothing_is_reported_of_the_tests() -> None:
    from haystack.telemetry import _telemetry

    assert _telemetry.telemetry is None


def test_in_a_pipeline(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # a run that fails makes a folder there
    made = pipeline(HaystackRetriever(engine, top_k=3, text_field="title", filters=CHEAP))
    assert made.run({"retriever": {"query": PROMPT}})["titles"]["text"] == "red dress, green hat, white mug"
    asked = {"query": PROMPT, "top_k": 1, "filters": {"field": "meta.price", "operator": ">", "value": 60}}
    assert made.run({"retriever": asked})["titles"]["text"] == "red boot"
    with pytest.raises(PipelineRuntimeError, match="never closed") as caught:
        made.run({"retriever": {"query": "a (dog"}})
    assert isinstance(caught.value.__cause__, PromptError)


def test_what_is_awaited_is_the_same(engine: Engine, encoder: Encoder) -> None:
    async def ask() -> None:
        async with await attach_async(encoder) as attached:
            for retriever in (HaystackRetriever(engine), HaystackRetriever(async_engine=attached)):
                await retriever.warm_up_async()
                answer = await retriever.run_async(PROMPT, CHEAP, 2)
                assert found(answer) == places(engine.search(PROMPT, 2, where="price<30"))
                several = await asyncio.gather(*(retriever.run_async(p, top_k=3) for p in (PROMPT, "a mug")))
                assert [found(one) for one in several] == [
                    places(engine.search(p, 3)) for p in (PROMPT, "a mug")
                ]

    asyncio.run(ask())


def test_filters_of_a_run_replace_the_components_own_and_the_rest_holds(engine: Engine) -> None:
    dear = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(gt=10))])
    retriever = HaystackRetriever(engine, filters=CHEAP, filter=dear, where="price!=12")
    assert found(retriever.run(PROMPT)) == places(
        engine.search(PROMPT, where="price<30 and price>10 and price!=12")
    )
    for empty in (None, {}):
        assert found(retriever.run(PROMPT, empty)) == found(retriever.run(PROMPT))
    hats = {"field": "meta.price", "operator": "in", "value": [7, 12, 50]}
    assert [key for key, _ in found(retriever.run(PROMPT, hats))] == ["4"]
    assert [key for key, _ in found(retriever.run(PROMPT, dear))] == ["0", "1", str(IDS[5]), "4"]
    with pytest.raises(FilterError, match="AND, OR, NOT"):
        retriever.run(PROMPT, {"operator": "XOR", "conditions": [CHEAP]})
    for given in (engine, {"db": "gallery"}):  # at once, though nothing is opened yet
        with pytest.raises(FilterError, match="operator"):
            HaystackRetriever(given, filters={"price": 3})


def test_options(engine: Engine) -> None:
    options: dict[str, Any] = {"min_score": 0.2, "group_by": "title", "with_payload": ["title"]}
    documents = HaystackRetriever(engine, **options).run(PROMPT)["documents"]
    assert [(one.id, one.score) for one in documents] == places(engine.search(PROMPT, **options))
    assert documents[0].meta.keys() == {"rank", "score", "id", "group", "path", "title"}
    with pytest.raises(GairError, match="expected an Engine"):
        HaystackRetriever()
    with pytest.raises(GairError, match="k = 0"):
        HaystackRetriever(engine, top_k=0).run(PROMPT)


def test_concept_and_gair_reach_the_search(engine: Engine, asked: list[dict[str, Any]]) -> None:
    config = GairConfig(mixing_weight=0.6)
    HaystackRetriever(engine, concept="my-dress", gair="auto", gair_config=config).run("a *")
    assert [(one["concept"], one["gair"], one["config"]) for one in asked] == [("my-dress", "auto", config)]


@pytest.fixture
def folder(encoder: Encoder, tmp_path: Path) -> Iterator[Path]:
    """An embedded gallery with the catalogue's payloads."""
    vectors = encoder.encode_texts([payload["title"] for payload in PAYLOADS])
    with Engine.open("gair-mini", db=tmp_path / "gallery") as opened:
        opened.gallery.create(opened.spec.embedder_id, GalleryConfig())
        opened.gallery.upsert(
            [
                point(i, vector.tolist(), **payload)
                for i, (vector, payload) in enumerate(zip(vectors, PAYLOADS, strict=True))
            ]
        )
    return tmp_path / "gallery"


def test_a_pipeline_is_written_and_loaded_again(folder: Path) -> None:
    key = models.FieldCondition(key="price", match=models.MatchValue(value=12))
    retriever = HaystackRetriever(
        {"db": folder, "model": "gair-mini"},
        top_k=3,
        filters={"operator": "NOT", "conditions": [{"field": "meta.price", "operator": "==", "value": 7}]},
        filter=models.Filter(must_not=[key]),
        text_field="title",
        where="price<60",
        concept="my-dress",
        gair=False,
        min_score=0.01,
        with_payload=("title",),
    )
    text = pipeline(retriever).dumps()
    loaded = Pipeline.loads(text, allowed_modules=["gair_search.*", Titles.__module__])
    again = loaded.get_component("retriever")
    assert isinstance(again, HaystackRetriever)
    assert loaded.dumps() == text
    assert retriever.to_dict()["init_parameters"]["engine"] == {"db": str(folder), "model": "gair-mini"}
    assert (again.concept, again.min_score, again.top_k) == ("my-dress", 0.01, 3)
    with pytest.raises(PromptError):  # Edge opens a folder once, and nothing was opened by loading
        retriever.run("a (dog")
    documents = retriever.run(PROMPT)["documents"]
    retriever.close()
    assert [one.content for one in documents] == ["red dress", "blue dress", "black bag"]
    assert loaded.run({"retriever": {"query": PROMPT}}, include_outputs_from={"retriever"})["retriever"] == {
        "documents": documents
    }
    again.close()


def test_filters_of_qdrant_are_written_too(folder: Path) -> None:
    chosen = models.Filter(
        should=[
            models.FieldCondition(key="price", range=models.Range(gte=3)),
            models.FieldCondition(key="made", range=models.DatetimeRange(gt="2024-01-01T00:00:00Z")),
            models.Filter(must=[models.HasIdCondition(has_id=[3])]),
        ]
    )
    data = HaystackRetriever({"db": str(folder)}, filters=chosen).to_dict()
    assert HaystackRetriever.from_dict(data).filters == chosen
    assert HaystackRetriever.from_dict(data).to_dict() == data


def test_no_secret_is_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"url": "http://localhost:6333", "collection": "catalogue"}
    with_key = HaystackRetriever(place | {"api_key": Secret.from_env_var("MY_KEY")})
    monkeypatch.setenv("MY_KEY", "hush")
    data = with_key.to_dict()
    assert "hush" not in str(data)
    assert data["init_parameters"]["engine"]["api_key"]["env_vars"] == ["MY_KEY"]
    assert HaystackRetriever.from_dict(data).engine["api_key"].resolve_value() == "hush"
    assert data == with_key.to_dict()
    with pytest.raises(GairError, match="expected a Secret") as caught:
        HaystackRetriever(place | {"api_key": "hush"})
    assert "hush" not in str(caught.value)
    with pytest.raises(ValueError, match="Cannot serialize"):
        HaystackRetriever(place | {"api_key": Secret.from_token("hush")}).to_dict()
    for url in ("http://me:hush@localhost:6333", "http://localhost:6333?key=hush"):
        with pytest.raises(GairError, match="can't be written") as caught:
            HaystackRetriever({"url": url}).to_dict()
        assert "hush" not in str(caught.value)
    for retriever in (HaystackRetriever(engine), HaystackRetriever({"generator": object()})):
        with pytest.raises(GairError, match="can't be written"):
            retriever.to_dict()
    with pytest.raises(GairError, match="gair_config"):
        HaystackRetriever(place, gair_config=GairConfig()).to_dict()


def test_the_secret_is_what_opens_the_engine(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    asked: list[dict[str, Any]] = []

    def open_engine(**told: Any) -> Engine:
        asked.append(told)
        return engine

    monkeypatch.setattr(Engine, "open", open_engine)
    retriever = HaystackRetriever({"url": "http://x", "api_key": Secret.from_token("hush")}, top_k=1)
    assert asked == []
    retriever.warm_up()
    assert found(retriever.run(PROMPT)) == places(engine.search(PROMPT, 1))
    assert asked == [{"url": "http://x", "api_key": "hush"}]


def test_arguments_that_open_no_engine_are_told(tmp_path: Path) -> None:
    with pytest.raises(GairError, match=r"expected the arguments of Engine\.open: .*colour"):
        HaystackRetriever({"db": tmp_path, "colour": "red"}).warm_up()
