"""`LlamaIndexRetriever`: a retriever of LlamaIndex. Needs llama-index-core, which the extra `llama-index` installs."""

from pathlib import Path
from typing import Any, Literal, Unpack

from gair_search.async_engine import AsyncEngine
from gair_search.engine import Engine
from gair_search.gair.options import GairConfig
from gair_search.gallery import Hit, SearchOptions
from gair_search.integrations.retrieval import Retrieval, missing_package
from gair_search.query.terms import Image, Term

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise missing_package(error, "llama-index-core", "llama-index") from error


class LlamaIndexRetriever(BaseRetriever):
    """Nodes of LlamaIndex for the images that fit a query.

    A query is a prompt. Of a `QueryBundle`, `custom_embedding_strs` are prompts that add up, and `image_path` is an
    image that is added to the prompt, or asked for alone; its `embedding` may be of another model and is not used.

    A node's metadata has the payload's fields, and `rank`, `score`, `id` and `path`; where the payload has a field of
    such a name, it stands apart as `payload`. Errors are those of `Engine.search`.

    >>> retriever = LlamaIndexRetriever(engine, similarity_top_k=5, text_field="title", where="price<20")
    >>> nodes = retriever.retrieve("a (red:1.3) dress")
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        async_engine: AsyncEngine | None = None,
        similarity_top_k: int = 10,
        text_field: str | None = None,
        image_field: str | None = "path",
        concept: str | None = None,
        gair: bool | Literal["auto"] = False,
        gair_config: GairConfig | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
        **options: Unpack[SearchOptions],
    ) -> None:
        """Retrieve from an engine.

        Args:
            engine: answers `retrieve`; by default the async engine's own.
            async_engine: answers `aretrieve`; without, a thread with `engine` does.
            similarity_top_k: number of nodes.
            text_field: payload field that becomes the node's text, dots for nested objects; by default, and where an
                image has no such field, the path, else the id.
            image_field: payload field with the image's path or http(s) address. What has it becomes an `ImageNode`,
                anything else a `TextNode`. LlamaIndex opens it where a multimodal model is to see the image: None
                where you don't trust who wrote the payload.
            concept, gair: as for `Engine.search`. gair_config: its `config`.
            callback_manager, verbose: LlamaIndex's own.
            options: see `SearchOptions`; `with_payload` says what the metadata has of the payload.

        Raises:
            GairError: there is no engine, or an option is none.
        """
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        self._retrieval = Retrieval(
            engine,
            async_engine,
            text_field,
            image_field,
            k=similarity_top_k,
            concept=concept,
            gair=gair,
            config=gair_config,
            **options,
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """What `retrieve` returns."""
        return self._as_nodes(self._retrieval.search(*_read_query(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """What `aretrieve` returns."""
        return self._as_nodes(await self._retrieval.search_async(*_read_query(query_bundle)))

    def _as_nodes(self, hits: list[Hit]) -> list[NodeWithScore]:
        """Hits as nodes, each of its kind."""
        nodes: list[NodeWithScore] = []
        for hit in hits:
            shared: dict[str, Any] = {
                "id_": str(hit.id),
                "text": self._retrieval.text(hit),
                "metadata": self._retrieval.metadata(hit),
            }
            place = self._retrieval.image(hit)
            if place is None:
                node = TextNode(**shared)
            else:
                is_address = place.lower().startswith(("http://", "https://"))
                node = ImageNode(**shared, **{"image_url" if is_address else "image_path": place})
            nodes.append(NodeWithScore(node=node, score=hit.score))
        return nodes


def _read_query(bundle: QueryBundle) -> tuple[str | Path, list[str | Term]]:
    """A query as what is searched for and what is added to it."""
    prompts = [prompt for prompt in bundle.embedding_strs if prompt.strip()]
    if bundle.image_path is None:
        return (prompts[0] if prompts else bundle.query_str), list(prompts[1:])
    image = Path(bundle.image_path)
    return (prompts[0], [*prompts[1:], Image(image)]) if prompts else (image, [])
