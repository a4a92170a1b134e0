"""Fixtures: an engine on a catalogue that gair-search did not make."""

from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient
from support.shop import make_catalogue

from gair_search import Engine
from gair_search.encoder.clip import Encoder
from gair_search.gallery import Hit


@pytest.fixture(scope="module")
def client(encoder: Encoder) -> QdrantClient:
    return make_catalogue(encoder)


@pytest.fixture
def engine(client: QdrantClient, encoder: Encoder) -> Iterator[Engine]:
    with Engine.attach(client, "catalogue", model=encoder) as opened:
        yield opened


@pytest.fixture
def asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options that the engine is searched with from now on; it finds nothing."""
    options: list[dict[str, Any]] = []

    def search(prompt: str, **told: Any) -> list[Hit]:
        options.append(told)
        return []

    monkeypatch.setattr(engine, "search", search)
    return options
