"""`LangchainRetriever`: a retriever of LangChain. Needs langchain-core, which the extra `langchain` installs."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict

from gair_search.async_engine import AsyncEngine
from gair_search.engine import Engine
from gair_search.gair.options import GairConfig
from gair_search.gallery import Hit
from gair_search.integrations.retrieval import OPTIONS, Retrieval, missing_package

try:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise missing_package(error, "langchain-core", "langchain") from error


class LangchainRetriever(BaseRetriever):
    """Documents of LangChain for the images that fit a prompt.

    A document's metadata has the payload's fields, and `rank`, `score`, `id` and `path`; where the payload has a
    field of such a name, it stands apart as `payload`. Errors are those of `Engine.search`.

    >>> retriever = LangchainRetriever(engine=engine, k=5, text_field="title", where="price<20")
    >>> documents = retriever.invoke("a (red:1.3) dress")

    What is chosen here may be changed for one call: `retriever.invoke(prompt, k=3)`, `retriever.bind(where=...)`.

    Attributes:
        engine: answers what is not awaited; by default the async engine's own.
        async_engine: answers what is awaited; without, a thread with `engine` does.
        text_field: payload field that becomes the page's content, dots for nested objects; by default, and where an
            image has no such field, the path, else the id.
        k: number of documents.
        concept, gair: as for `Engine.search`. gair_config: its `config`.
        where, filter, min_score, offset, group_by: as for `Engine.search`.
        with_payload: whether the metadata has the payload; or which fields of it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    engine: Engine | None = None
    async_engine: AsyncEngine | None = None
    text_field: str | None = None
    k: int = 10
    concept: str | None = None
    gair: bool | Literal["auto"] = False
    gair_config: GairConfig | None = None
    where: str | None = None
    filter: Any = None
    min_score: float | None = None
    offset: int = 0
    group_by: str | None = None
    with_payload: bool | Sequence[str] = True

    def model_post_init(self, context: Any) -> None:
        """Refuse what is no engine. Raises GairError."""
        super().model_post_init(context)
        self._retrieval({})

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **changes: Any) -> list[Document]:
        """What `invoke` returns; `changes` hold for this call."""
        retrieval = self._retrieval(changes)
        return _as_documents(retrieval, retrieval.search(query))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, **changes: Any
    ) -> list[Document]:
        """What `ainvoke` returns."""
        retrieval = self._retrieval(changes)
        return _as_documents(retrieval, await retrieval.search_async(query))

    def _retrieval(self, changes: dict[str, Any]) -> Retrieval:
        """The search, with what is changed for one call. Raises GairError: no engine, or no such option."""
        own = {name: getattr(self, name) for name in ("engine", "async_engine", "text_field")}
        asked = {name: getattr(self, "gair_config" if name == "config" else name) for name in OPTIONS}
        told = {name: value for name, value in changes.items() if name != "verbose"}  # LangChain's own
        if "gair_config" in told:
            told["config"] = told.pop("gair_config")
        return Retrieval(**{**own, **asked, **told})


def _as_documents(retrieval: Retrieval, hits: list[Hit]) -> list[Document]:
    """Hits as documents."""
    return [Document(retrieval.text(hit), id=str(hit.id), metadata=retrieval.metadata(hit)) for hit in hits]
