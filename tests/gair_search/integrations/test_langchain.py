import asyncio
import json
from typing import Any

import pytest
from support.shop import PROMPT, attach_async, places

from gair_search import Engine, GairError
from gair_search.encoder.clip import Encoder
from gair_search.errors import FilterError, PromptError
from gair_search.gair.options import GairConfig

pytest.importorskip("langchain_core", reason="needs the extra langchain")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from gair_search.integrations.langchain import LangchainRetriever


def found(documents: list[Document]) -> list[tuple[str | None, float]]:
    return [(document.id, document.metadata["score"]) for document in documents]


def test_documents_are_the_engines_hits(engine: Engine) -> None:
    retriever = LangchainRetriever(engine=engine, k=4, text_field="title")
    hits = engine.search(PROMPT, 4)
    documents = retriever.invoke(PROMPT)
    assert found(documents) == places(hits)
    assert [document.page_content for document in documents] == [hit.payload["title"] for hit in hits]
    first = documents[0].metadata
    assert (first["rank"], first["id"], first["path"]) == (1, 0, "/shop/0.jpg")
    assert first["product"] == {"name": "Rosa", "maker": "A"}
    clashing = next(document.metadata for document in documents if "payload" in document.metadata)
    assert clashing["payload"]["score"] == 4.5
    assert json.loads(dumps(documents))[0]["kwargs"]["id"] == "0"
    assert LangchainRetriever(engine=engine, k=1).invoke(PROMPT)[0].page_content == "/shop/0.jpg"


def test_what_is_awaited_is_the_same(engine: Engine, encoder: Encoder) -> None:
    async def ask() -> None:
        async with await attach_async(encoder) as attached:
            for retriever in (
                LangchainRetriever(engine=engine, k=3),
                LangchainRetriever(async_engine=attached, k=3),
                LangchainRetriever(engine=engine, async_engine=attached, k=3),
            ):
                assert found(await retriever.ainvoke(PROMPT)) == places(engine.search(PROMPT, 3))
                both = await retriever.abatch([PROMPT, "a mug"])
                assert [found(one) for one in both] == [
                    places(engine.search(p, 3)) for p in (PROMPT, "a mug")
                ]
                assert found(await retriever.ainvoke(PROMPT, k=1)) == places(engine.search(PROMPT, 1))

    asyncio.run(ask())


def test_in_chains_and_batches(engine: Engine) -> None:
    retriever = LangchainRetriever(engine=engine, k=2, text_field="title")
    join = RunnableLambda(lambda documents: ", ".join(one.page_content for one in documents))
    assert (retriever | join).invoke(PROMPT) == "red dress, blue dress"
    chain = {"context": retriever | join, "question": RunnablePassthrough()} | RunnableLambda(str)
    assert chain.invoke("a green hat").startswith("{'context': 'green hat, ")
    prompts = ["a mug", "a bag", "a red (boot:1.5)"]
    assert [found(one) for one in retriever.batch(prompts)] == [places(engine.search(p, 2)) for p in prompts]
    cheap = retriever.bind(where="price<10") | join
    assert cheap.invoke(PROMPT) == "white mug"
    fewer = retriever.configurable_fields(k=ConfigurableField("k"))
    assert len(fewer.with_config(configurable={"k": 1}).invoke(PROMPT)) == 1


def test_options_of_the_retriever_and_of_one_call(engine: Engine) -> None:
    retriever = LangchainRetriever(engine=engine, where="price>=20", min_score=0.2, with_payload=["price"])
    hits = engine.search(PROMPT, where="price>=20", min_score=0.2)
    documents = retriever.invoke(PROMPT)
    assert found(documents) == places(hits)
    assert [document.metadata["price"] for document in documents] == [hit.payload["price"] for hit in hits]
    assert documents[0].metadata.keys() == {"rank", "score", "id", "path", "price"}
    assert found(retriever.invoke(PROMPT, where=None, k=5, min_score=None)) == places(
        engine.search(PROMPT, 5)
    )
    assert retriever.invoke(PROMPT, text_field="title", verbose=True)[0].page_content == "red dress"
    with pytest.raises(GairError, match="top_k: no such option"):
        retriever.invoke(PROMPT, top_k=3)


def test_concept_and_gair_reach_the_search(engine: Engine, asked: list[dict[str, Any]]) -> None:
    chosen, other = GairConfig(mixing_weight=0.6), GairConfig(mixing_weight=0.8)
    retriever = LangchainRetriever(engine=engine, concept="my-dress", gair="auto", gair_config=chosen)
    retriever.invoke("a *")
    retriever.invoke("a *", concept="other", gair=True, gair_config=other)
    told = [(one["concept"], one["gair"], one["config"]) for one in asked]
    assert told == [("my-dress", "auto", chosen), ("other", True, other)]


def test_errors_are_the_engines(engine: Engine) -> None:
    with pytest.raises(PromptError):
        LangchainRetriever(engine=engine).invoke("a (dog")
    with pytest.raises(FilterError):
        asyncio.run(LangchainRetriever(engine=engine, where="colour=red").ainvoke("a dog"))
    with pytest.raises(GairError, match="expected an Engine"):
        LangchainRetriever()
    with pytest.raises(ValidationError, match="top_k"):
        LangchainRetriever(engine=engine, top_k=3)


def test_callbacks_see_the_documents(engine: Engine) -> None:
    class Listener(BaseCallbackHandler):
        def on_retriever_end(self, documents: list[Document], **_: object) -> None:
            heard.extend(documents)

    heard: list[Document] = []
    documents = LangchainRetriever(engine=engine, k=2).invoke(PROMPT, {"callbacks": [Listener()]})
    assert heard == documents
    assert len(heard) == 2
