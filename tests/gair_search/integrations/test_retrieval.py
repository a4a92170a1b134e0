import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from support.photos import picture
from support.shop import PAYLOADS, PROMPT, attach_async, places

from gair_search import Engine, GairError
from gair_search.encoder.clip import Encoder
from gair_search.errors import MissingPackageError
from gair_search.gallery import Hit
from gair_search.integrations.retrieval import Retrieval
from gair_search.query.terms import Text


def hit_with(payload: dict[str, object], group: str | None = None) -> Hit:
    path = payload.get("path")
    return Hit(2, 0.5, path if isinstance(path, str) else None, 7, payload, group)


@pytest.mark.slow
def test_the_framework_is_not_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, gair_search, gair_search.integrations.retrieval, gair_search.integrations.haystack_filters\n"
        "gair_search.Engine\n"
        "assert not {'langchain_core', 'llama_index', 'haystack', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("langchain", "langchain_core.documents", "langchain"),
        ("llama_index", "llama_index.core.base.base_retriever", "llama-index"),
        ("haystack", "haystack", "haystack"),
    ],
)
def test_a_missing_framework_says_what_installs_it(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as Python has it where a package can't be imported
    monkeypatch.delitem(sys.modules, f"gair_search.integrations.{module}", raising=False)
    with pytest.raises(MissingPackageError, match=rf"pip install 'gair-search\[{extra}\]'") as caught:
        importlib.import_module(f"gair_search.integrations.{module}")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, GairError)
    assert caught.value.name == package


def test_metadata_has_the_payload_and_ours_and_loses_neither(engine: Engine) -> None:
    retrieval = Retrieval(engine)
    own = {"rank": 2, "score": 0.5, "id": 7}
    assert retrieval.metadata(hit_with({"a": 1})) == own | {"a": 1}
    path = {"path": "/x.jpg"}
    assert retrieval.metadata(hit_with({"a": 1} | path)) == own | path | {"a": 1}
    assert retrieval.metadata(hit_with({"path": 3})) == own | {"path": 3}
    for name in ("rank", "score", "id"):
        payload = {name: "theirs", **path}
        assert retrieval.metadata(hit_with(payload)) == own | path | {"payload": payload}
    assert retrieval.metadata(hit_with({"a": 1}, "red")) == own | {"group": "red", "a": 1}
    clash = {"group": "theirs"}
    assert retrieval.metadata(hit_with(clash, "red")) == own | {"group": "red", "payload": clash}
    assert retrieval.metadata(hit_with(clash)) == own | clash
    for payload in PAYLOADS:  # the rule is the library's own, but for the path that is always there
        hit = hit_with(payload)
        assert {**retrieval.metadata(hit), **path} == {**hit.to_json(), **path}


def test_text_is_the_field_else_the_path_else_the_id(engine: Engine) -> None:
    def text(payload: dict[str, object], field: str | None) -> str:
        return Retrieval(engine, text_field=field).text(hit_with(payload))

    nested = {
        "product": {"name": "Rosa", "price": 3.5, "year": 1999},
        "tags": ["a", "b"],
        "path": "/x.jpg",
        "no": "",
    }
    assert text(nested, "product.name") == "Rosa"
    assert text(nested, "product.year") == "1999"
    assert text(nested, "tags") == "a\nb"
    assert text(nested, "no") == ""
    assert text(nested, None) == "/x.jpg"
    for field in ("product", "product.none", "product.name.x", "none"):
        assert text(nested, field) == "/x.jpg"
        assert text({"path": 3}, field) == "7"


def test_what_texts_are_made_of_is_fetched_whatever_the_metadata_has(engine: Engine) -> None:
    for chosen, fields in (
        (False, set()),
        ([], set()),
        (["price"], {"price"}),
        (["product.maker"], {"product"}),
    ):
        retrieval = Retrieval(engine, text_field="product.name", k=1, with_payload=chosen)
        (hit,) = retrieval.search(PROMPT)
        assert retrieval.text(hit) == "Rosa"
        assert retrieval.metadata(hit).keys() == {"rank", "score", "id", "path"} | fields
    (hit,) = Retrieval(engine, k=1, with_payload=["price"]).search(PROMPT)
    assert hit.payload.keys() == {"price", "path"}
    with pytest.raises(GairError, match='with_payload="price"'):
        Retrieval(engine, with_payload="price").search(PROMPT)


def test_every_option_reaches_the_search(engine: Engine, client: QdrantClient) -> None:
    from qdrant_client import models

    dear = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(gt=20))])
    for options in (
        {"k": 2},
        {"where": "price<30"},
        {"filter": dear},
        {"filter": dear, "where": "price<60"},
        {"min_score": 0.4},
        {"offset": 2},
        {"group_by": "sold"},
    ):
        expected = places(engine.search(PROMPT, **options))
        assert places(Retrieval(engine, **options).search(PROMPT)) == expected
        assert expected != places(engine.search(PROMPT))
    plus = [Text("a black bag", 3)]
    assert places(Retrieval(engine).search(PROMPT, plus)) == places(engine.search(PROMPT, plus=plus))
    for options in ({"concept": "none"}, {"gair": True}):
        with pytest.raises(GairError) as expected_error:
            engine.search("a *", **options)
        with pytest.raises(type(expected_error.value)) as caught:
            Retrieval(engine, **options).search("a *")
        assert str(caught.value) == str(expected_error.value)


def test_async_searches_are_the_async_engines_or_run_in_a_thread(engine: Engine, encoder: Encoder) -> None:
    async def ask() -> None:
        async with await attach_async(encoder) as attached:
            for retrieval in (Retrieval(None, attached, k=3), Retrieval(engine, k=3)):
                assert places(await retrieval.search_async(PROMPT)) == places(engine.search(PROMPT, 3))
            with pytest.raises(
                GairError, match="block its own event loop"
            ):  # the loop's own engine was asked
                Retrieval(None, attached).search(PROMPT)
            several = await asyncio.gather(
                *(Retrieval(None, attached, k=2).search_async(p) for p in ("a hat", "a mug"))
            )
            assert [places(hits) for hits in several] == [
                places(engine.search(p, 2)) for p in ("a hat", "a mug")
            ]

    asyncio.run(ask())


def test_what_is_awaited_is_asked_of_the_async_engine(
    engine: Engine, encoder: Encoder, tmp_path: Path
) -> None:
    picture(3).save(tmp_path / "x.png")

    async def ask() -> None:
        async with await attach_async(encoder) as attached:
            await attached.delete([0])  # so that the two can be told apart
            retrieval = Retrieval(engine, attached)
            for query in (PROMPT, tmp_path / "x.png"):
                assert [hit.id for hit in retrieval.search(query) if hit.id != 0] == [
                    hit.id for hit in await retrieval.search_async(query)
                ]
                assert len(retrieval.search(query)) == 6
                for two in (Retrieval(engine, k=2), Retrieval(engine, attached, k=2)):
                    assert len(two.search(query)) == len(await two.search_async(query)) == 2

    asyncio.run(ask())


def test_without_an_engine_nothing_is_retrieved(engine: Engine) -> None:
    for given in ((None, None), ("engine", None), (engine, engine)):
        with pytest.raises(GairError, match="expected an Engine"):
            Retrieval(*given)
    with pytest.raises(GairError, match="top_k: no such option; there are: concept, config, filter"):
        Retrieval(engine, top_k=3)
