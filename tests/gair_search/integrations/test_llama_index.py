import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.photos import picture
from support.shop import PROMPT, attach_async, places

from gair_search import Engine, GairError
from gair_search.encoder.clip import Encoder
from gair_search.errors import FilterError, ImageError, PromptError
from gair_search.gair.options import GairConfig
from gair_search.query.terms import Image

pytest.importorskip("llama_index.core", reason="needs the extra llama-index")

from llama_index.core.base.response.schema import Response
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode

from gair_search.integrations.llama_index import LlamaIndexRetriever


def found(nodes: list[NodeWithScore]) -> list[tuple[str, float | None]]:
    return [(one.node_id, one.score) for one in nodes]


def test_nodes_are_the_engines_hits(engine: Engine) -> None:
    hits = engine.search(PROMPT)
    nodes = LlamaIndexRetriever(engine, text_field="title").retrieve(PROMPT)
    assert found(nodes) == places(hits)
    assert [one.text for one in nodes] == [hit.payload["title"] for hit in hits]
    first = nodes[0].metadata
    assert (first["rank"], first["score"], first["id"], first["path"]) == (
        1,
        nodes[0].score,
        0,
        "/shop/0.jpg",
    )
    assert first["product"] == {"name": "Rosa", "maker": "A"}
    (clashing,) = [one.metadata for one in nodes if "payload" in one.metadata]
    assert clashing["payload"]["score"] == 4.5
    assert [one.text for one in LlamaIndexRetriever(engine).retrieve(PROMPT)] == [hit.label for hit in hits]


def test_images_are_named_where_a_field_says_where_they_are(engine: Engine) -> None:
    nodes = {one.node_id: one.node for one in LlamaIndexRetriever(engine).retrieve(PROMPT)}
    assert {key for key, node in nodes.items() if type(node) is TextNode} == {"2", "3"}
    file, address = nodes["0"], nodes["4"]
    assert isinstance(file, ImageNode)
    assert isinstance(address, ImageNode)
    assert (file.image_path, file.image_url) == ("/shop/0.jpg", None)
    assert (address.image_path, address.image_url) == (None, "https://shop.example/4.jpg")
    for field, kind in ((None, TextNode), ("product.name", ImageNode)):
        nodes = LlamaIndexRetriever(
            engine, image_field=field, similarity_top_k=2, with_payload=False
        ).retrieve(PROMPT)
        assert {type(one.node) for one in nodes} == {kind}
        assert nodes[0].metadata.keys() == {"rank", "score", "id", "path"}


def test_what_is_awaited_is_the_same(engine: Engine, encoder: Encoder, tmp_path: Path) -> None:
    picture(3).save(tmp_path / "x.png")
    queries = [PROMPT, *(QueryBundle(text, image_path=str(tmp_path / "x.png")) for text in ("", "a mug"))]

    async def ask() -> None:
        async with await attach_async(encoder) as attached:
            here = LlamaIndexRetriever(engine, similarity_top_k=3)
            for retriever in (here, LlamaIndexRetriever(async_engine=attached, similarity_top_k=3)):
                several = await asyncio.gather(*(retriever.aretrieve(query) for query in queries))
                assert [found(nodes) for nodes in several] == [
                    found(here.retrieve(query)) for query in queries
                ]

    asyncio.run(ask())


def test_options(engine: Engine) -> None:
    options = {"where": "price>=20", "min_score": 0.2, "group_by": "title"}
    nodes = LlamaIndexRetriever(engine, similarity_top_k=2, **options).retrieve(PROMPT)
    assert found(nodes) == places(engine.search(PROMPT, 2, **options))
    assert nodes[0].metadata["group"] == "red dress"
    with pytest.raises(GairError, match=r"^top_k: no such option"):
        LlamaIndexRetriever(engine, top_k=3)


def test_concept_and_gair_reach_the_search(engine: Engine, asked: list[dict[str, Any]]) -> None:
    config = GairConfig(mixing_weight=0.6)
    LlamaIndexRetriever(engine, concept="my-dress", gair="auto", gair_config=config).retrieve("a *")
    assert [(one["concept"], one["gair"], one["config"]) for one in asked] == [("my-dress", "auto", config)]


def test_a_bundle_may_have_several_prompts_and_an_image(engine: Engine, tmp_path: Path) -> None:
    retriever, path = LlamaIndexRetriever(engine), tmp_path / "x.png"
    picture(3).save(path)
    several = QueryBundle("a dress", custom_embedding_strs=["a red dress", "a hat", " "])
    assert found(retriever.retrieve(several)) == places(engine.search("a red dress", plus=["a hat"]))
    both = QueryBundle("a dress", image_path=str(path))
    assert found(retriever.retrieve(both)) == places(engine.search("a dress", plus=[Image(path)]))
    assert found(retriever.retrieve(QueryBundle("", image_path=str(path)))) == places(engine.similar(path))
    foreign = QueryBundle(PROMPT, embedding=np.ones(engine.spec.embed_dim).tolist())
    assert found(retriever.retrieve(foreign)) == places(engine.search(PROMPT))


def test_a_query_engine_answers_from_the_nodes(engine: Engine) -> None:
    retriever = LlamaIndexRetriever(engine, similarity_top_k=2, text_field="title", image_field=None)
    answer = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query("a red dress")
    assert isinstance(answer, Response)
    assert found(answer.source_nodes) == places(engine.search("a red dress", 2))
    assert "blue dress" in str(answer.response)  # the mock says its prompt


def test_errors_are_the_engines(engine: Engine) -> None:
    with pytest.raises(PromptError):
        LlamaIndexRetriever(engine).retrieve("a (dog")
    with pytest.raises(FilterError):
        asyncio.run(LlamaIndexRetriever(engine, where="colour=red").aretrieve("a dog"))
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        LlamaIndexRetriever(engine).retrieve(QueryBundle("a dog", image_path="gone.jpg"))
    with pytest.raises(GairError, match="expected an Engine"):
        LlamaIndexRetriever()
