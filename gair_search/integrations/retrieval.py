"""`Retrieval`: what the retrievers of all frameworks have in common. Imports none of the frameworks."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gair_search.async_engine import AsyncEngine
from gair_search.engine import Engine
from gair_search.errors import GairError, MissingPackageError
from gair_search.gallery import Hit, SearchOptions
from gair_search.gallery.payload import values_at

if TYPE_CHECKING:
    from gair_search.query.terms import Term

PROMPT_OPTIONS = ("concept", "gair", "config")
"""Options of `Engine.search` that an image has no use for."""

OPTIONS = ("k", *PROMPT_OPTIONS, *SearchOptions.__annotations__)
"""What a retriever can be asked for, as `Engine.search` can."""


class Retrieval:
    """An engine, and how it is searched for a framework: its hits, their texts and their metadata."""

    def __init__(
        self,
        engine: Engine | None,
        async_engine: AsyncEngine | None = None,
        text_field: str | None = None,
        image_field: str | None = None,
        **options: Any,
    ) -> None:
        """Say what is searched, and how.

        Args:
            engine: by default the async engine's own.
            async_engine: answers the async searches; without, a thread does.
            text_field: payload field whose texts become the text of a hit, dots for nested objects.
            image_field: payload field that says where the image is.
            options: those of `OPTIONS`.

        Raises:
            GairError: there is no engine, or an option is none of these.
        """
        found = async_engine.engine if engine is None and isinstance(async_engine, AsyncEngine) else engine
        if not isinstance(found, Engine) or not isinstance(async_engine, AsyncEngine | None):
            raise GairError(
                f"engine: expected an Engine, or an AsyncEngine as async_engine, not {type(engine).__name__} and "
                f"{type(async_engine).__name__}"
            )
        if unknown := sorted(options.keys() - set(OPTIONS)):
            raise GairError(f"{', '.join(unknown)}: no such option; there are: {', '.join(sorted(OPTIONS))}")
        self.engine, self.async_engine = found, async_engine
        self.text_field, self.image_field = text_field, image_field
        self._chosen: bool | Sequence[str] = options.get("with_payload", True)
        self._options = options | {"with_payload": self._fetched()}

    def search(self, query: str | Path, plus: "Sequence[str | Term]" = ()) -> list[Hit]:
        """The hits of a prompt or, for a path object, of an image; errors as of `Engine.search`."""
        if isinstance(query, Path):
            return self.engine.similar(query, **self._image_options())
        return self.engine.search(query, plus=plus, **self._options)

    async def search_async(self, query: str | Path, plus: "Sequence[str | Term]" = ()) -> list[Hit]:
        """As `search`, beside the event loop."""
        if self.async_engine is None:
            return await asyncio.to_thread(self.search, query, plus)
        if isinstance(query, Path):
            return await self.async_engine.similar(query, **self._image_options())
        return await self.async_engine.search(query, plus=plus, **self._options)

    def text(self, hit: Hit) -> str:
        """What is in the text field, a line for each element of a list; where nothing is, the path, else the id."""
        found = values_at(hit.payload, self.text_field) if self.text_field else []
        return "\n".join(str(value) for value in found) if found else hit.label

    def image(self, hit: Hit) -> str | None:
        """What is in the image field; None where that is no text."""
        found = values_at(hit.payload, self.image_field) if self.image_field else []
        return found[0] if found and isinstance(found[0], str) else None

    def metadata(self, hit: Hit) -> dict[str, Any]:
        """Rank, score, id, group and path, and the payload's fields.

        Where a field has one of these names, the payload stands apart as `payload`, and nothing of it is lost: the
        rule of `Hit.to_json`.
        """
        own: dict[str, Any] = {"rank": hit.rank, "score": hit.score, "id": hit.id}
        if hit.group is not None:
            own["group"] = hit.group
        payload = {key: value for key, value in hit.payload.items() if self._is_chosen(key)}
        clash = own.keys() & payload.keys()
        if hit.path is not None:
            own["path"] = hit.path
        return {**own, "payload": payload} if clash else {**own, **payload}

    def _image_options(self) -> dict[str, Any]:
        """The options that an image's search has."""
        return {name: value for name, value in self._options.items() if name not in PROMPT_OPTIONS}

    def _fetched(self) -> bool | Sequence[str]:
        """Which fields are fetched: those that were chosen, and what texts and images are read from."""
        if self._chosen is True or isinstance(self._chosen, str):  # a string is refused by the engine
            return self._chosen
        needed = [field for field in ("path", self.text_field, self.image_field) if field]
        return sorted({*(self._chosen or ()), *map(_first_step, needed)})

    def _is_chosen(self, field: str) -> bool:
        """Whether the metadata has this top-level field of the payload."""
        if isinstance(self._chosen, bool):
            return self._chosen
        return field in map(_first_step, self._chosen)


def _first_step(field: str) -> str:
    """The top-level field that a path into the payload begins with."""
    return field.split(".")[0].removesuffix("[]")


def missing_package(error: ImportError, package: str, extra: str) -> MissingPackageError:
    """What to raise where a framework can't be imported: the package's name, and the extra that installs it."""
    return MissingPackageError(
        f"{package} can't be imported ({error}): pip install 'gair-search[{extra}]'", name=error.name
    )
