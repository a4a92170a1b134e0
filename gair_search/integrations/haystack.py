"""`HaystackRetriever`: a component of Haystack. Needs haystack-ai, which the extra `haystack` installs."""

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from qdrant_client import models

from gair_search.async_engine import AsyncEngine
from gair_search.engine import Engine
from gair_search.errors import GairError
from gair_search.gair.options import GairConfig
from gair_search.gallery import Hit
from gair_search.gallery.server import strip_secrets
from gair_search.integrations.haystack_filters import read_filters
from gair_search.integrations.retrieval import Retrieval, missing_package

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret
except ImportError as error:
    raise missing_package(error, "haystack-ai", "haystack") from error

_QDRANT_FILTER = models.Filter.model_fields.keys()


@component
class HaystackRetriever:
    """Documents of Haystack for the images that fit a query, which is a prompt.

    A document's meta has the payload's fields, and `rank`, `score`, `id` and `path`; where the payload has a field of
    such a name, it stands apart as `payload`. Errors are those of `Engine.search`; a pipeline wraps them.

    >>> retriever = HaystackRetriever(engine, top_k=5, text_field="title")
    >>> retriever.run("a (red:1.3) dress", filters={"field": "meta.price", "operator": "<", "value": 20})["documents"]

    A pipeline is written to a file (`to_dict`) where `engine` is given as what opens one, and loaded with
    `allowed_modules=["gair_search.*"]`.
    """

    def __init__(
        self,
        engine: Engine | Mapping[str, Any] | None = None,
        *,
        async_engine: AsyncEngine | None = None,
        top_k: int = 10,
        filters: dict[str, Any] | models.Filter | None = None,
        text_field: str | None = None,
        concept: str | None = None,
        gair: bool | Literal["auto"] = False,
        gair_config: GairConfig | None = None,
        where: str | None = None,
        filter: models.Filter | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        with_payload: bool | Sequence[str] = True,
    ) -> None:
        """Retrieve from an engine.

        Args:
            engine: answers `run`; by default the async engine's own. Or the arguments of `Engine.open`, as
                `{"url": "http://localhost:6333", "collection": "catalogue", "model": "ViT-B-32/openai"}`: then it is
                opened by `warm_up`, or when first needed, and closed by `close`. An `api_key` is a Haystack `Secret`.
            async_engine: answers `run_async`; without, a thread with `engine` does.
            top_k: number of documents.
            filters: Haystack's, see `haystack_filters.read_filters`, or one of Qdrant's; those of a run replace them.
            text_field: payload field that becomes the content, dots for nested objects; by default, and where an image
                has no such field, the path, else the id.
            concept, gair: as for `Engine.search`. gair_config: its `config`.
            where, filter: as for `Engine.search`; they hold beside `filters`, in every run.
            min_score, group_by: as for `Engine.search`.
            with_payload: whether meta has the payload; or which fields of it.

        Raises:
            GairError: there is no engine, or its API key is no Secret. FilterError: as `read_filters`.
        """
        self.engine, self.async_engine, self.text_field = engine, async_engine, text_field
        self.top_k, self.filters, self.filter = top_k, filters, filter
        self.concept, self.gair, self.gair_config = concept, gair, gair_config
        self.where, self.min_score, self.group_by = where, min_score, group_by
        self.with_payload = with_payload
        self._opened: Engine | None = None
        self._lock = threading.Lock()
        read_filters(filters, text_field)
        if isinstance(engine, Mapping):
            key = engine.get("api_key")
            if key is not None and not isinstance(key, Secret):
                raise GairError(
                    'api_key: expected a Secret of Haystack, as Secret.from_env_var("GAIR_API_KEY")'
                )
        else:
            self._retrieval(None, None)

    def warm_up(self) -> None:
        """Open the engine, where it is given as the arguments of `Engine.open`, and load its model; errors as there."""
        engine = self._open_engine() or (self.async_engine.engine if self.async_engine else None)
        if engine is not None:
            _ = engine.encoder

    async def warm_up_async(self) -> None:
        """As `warm_up`, beside the event loop."""
        await asyncio.to_thread(self.warm_up)

    def close(self) -> None:
        """Close the engine where it was opened here."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def to_dict(self) -> dict[str, Any]:
        """The component as plain values, without secrets.

        Raises:
            GairError: an open engine, which is given as an object, has no such form; nor has an address with a
                password. ValueError: nor has a Secret that holds its text.
        """
        if self.async_engine is not None or not isinstance(self.engine, Mapping):
            raise GairError(
                "an engine that is open can't be written down: give the arguments of Engine.open as engine, as "
                '{"url": ..., "collection": ..., "model": ...}'
            )
        if self.gair_config is not None:
            raise GairError("gair_config can't be written down: it may hold images")
        filters = _write_filter(self.filters) if isinstance(self.filters, models.Filter) else self.filters
        written: dict[str, Any] = default_to_dict(
            self,
            engine={name: _write_argument(name, value) for name, value in self.engine.items()},
            top_k=self.top_k,
            filters=filters,
            text_field=self.text_field,
            concept=self.concept,
            gair=self.gair,
            where=self.where,
            filter=_write_filter(self.filter) if self.filter is not None else None,
            min_score=self.min_score,
            group_by=self.group_by,
            with_payload=self.with_payload
            if isinstance(self.with_payload, bool)
            else list(self.with_payload),
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` wrote down; errors as of the constructor."""
        told = dict(data.get("init_parameters", {}))
        if isinstance(told.get("engine"), Mapping):
            opening = dict(told["engine"])
            if isinstance(opening.get("api_key"), Mapping):
                opening["api_key"] = Secret.from_dict(dict(opening["api_key"]))
            told["engine"] = opening
        for name in ("filter", "filters"):
            written = told.get(name)
            if isinstance(written, Mapping) and (name == "filter" or written.keys() <= _QDRANT_FILTER):
                told[name] = models.Filter.model_validate(written) if written else None
        restored: Self = default_from_dict(cls, {**data, "init_parameters": told})
        return restored

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | models.Filter | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Search.

        Args:
            query: a prompt, as for `Engine.search`.
            filters: in the place of the component's own. top_k: the same.

        Returns:
            `documents`, best first.

        Raises:
            as `Engine.search`; FilterError: as `read_filters`.
        """
        retrieval = self._retrieval(filters, top_k)
        return {"documents": _as_documents(retrieval, retrieval.search(query))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | models.Filter | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, beside the event loop."""
        retrieval = await asyncio.to_thread(self._retrieval, filters, top_k)  # it may open the engine
        return {"documents": _as_documents(retrieval, await retrieval.search_async(query))}

    def _retrieval(self, filters: dict[str, Any] | models.Filter | None, top_k: int | None) -> Retrieval:
        """The search of one run."""
        asked = read_filters(filters or self.filters, self.text_field)
        both = asked if self.filter is None else self.filter
        if asked is not None and self.filter is not None:
            both = models.Filter(must=[self.filter, asked])
        return Retrieval(
            self._open_engine(),
            self.async_engine,
            self.text_field,
            k=self.top_k if top_k is None else top_k,
            concept=self.concept,
            gair=self.gair,
            config=self.gair_config,
            where=self.where,
            filter=both,
            min_score=self.min_score,
            group_by=self.group_by,
            with_payload=self.with_payload,
        )

    def _open_engine(self) -> Engine | None:
        """The engine; opened once where it is given as arguments."""
        if not isinstance(self.engine, Mapping):
            return self.engine
        with self._lock:
            if self._opened is None:
                told = dict(self.engine)
                if isinstance(key := told.get("api_key"), Secret):
                    told["api_key"] = key.resolve_value()
                try:
                    self._opened = Engine.open(**told)
                except TypeError as error:
                    raise GairError(f"engine: expected the arguments of Engine.open: {error}") from error
            return self._opened


def _as_documents(retrieval: Retrieval, hits: list[Hit]) -> list[Document]:
    """Hits as documents."""
    return [
        Document(id=str(hit.id), content=retrieval.text(hit), meta=retrieval.metadata(hit), score=hit.score)
        for hit in hits
    ]


def _write_argument(name: str, value: Any) -> Any:
    """An argument of `Engine.open` as a plain value. Raises GairError: it would give away a secret, or has no form."""
    if isinstance(value, Secret):
        return value.to_dict()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if not isinstance(value, str | int | float | bool | None):
        raise GairError(f"{name}: a {type(value).__name__} can't be written down")
    if name == "url" and isinstance(value, str) and strip_secrets(value) != value:
        raise GairError(
            "url: an address with a password or a query can't be written down; api_key takes a Secret"
        )
    return value


def _write_filter(filter: models.Filter) -> dict[str, Any]:
    """A filter of Qdrant's as plain values."""
    written: dict[str, Any] = filter.model_dump(mode="json", exclude_none=True)
    return written
