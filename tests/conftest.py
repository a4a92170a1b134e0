"""Fixtures: a home of its own for every test, the bundled model, galleries of each kind."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.gallery.base import Gallery

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator

# the same examples in every run, however slow the machine is
settings.register_profile("gair", deadline=None, derandomize=True)
settings.load_profile("gair")

# the frameworks that we have retrievers for report their use unless told not to, Haystack from its import on
os.environ |= {
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`GAIR_HOME` in the test's own folder, and no setting of the developer's own."""
    for variable in ("GAIR_URL", "GAIR_API_KEY", "GAIR_MODEL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GAIR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The bundled model on the CPU."""
    return Encoder(models.resolve("gair-mini"), "cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder, with a generator, at random weights; a test that changes it takes a copy."""
    from support.generator import tiny_model

    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def own_tiny_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_folder`, to be changed at will."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Encoder:
    """The tiny model on the CPU."""
    return Encoder(models.resolve(f"local-dir:{tiny_folder}"), "cpu")


@pytest.fixture(scope="session")
def generator(tiny: Encoder) -> "Generator":
    """The tiny model's generator."""
    from gair_search.generation.generator import Generator

    return Generator.load(tiny)


@pytest.fixture(params=["edge", "memory", "http"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gallery]:
    """An empty gallery: embedded, through the client's in-memory engine, and over real HTTP."""
    from qdrant_client import QdrantClient
    from support.rest_server import rest_server

    from gair_search.gallery.embedded import EmbeddedGallery
    from gair_search.gallery.server import ServerGallery

    if request.param == "edge":
        opened: Gallery = EmbeddedGallery(tmp_path / "gallery")
        yield opened
        opened.close()
    elif request.param == "memory":
        yield ServerGallery(QdrantClient(":memory:"), "photos", "memory")
    else:
        with rest_server() as server:
            opened = ServerGallery.connect(server.url, "photos")
            yield opened
            opened.close()
