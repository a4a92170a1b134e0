"""The papers' data sets in small, and where the tiny model stands for all of theirs."""

from pathlib import Path

import pytest
from support.papers_data import make_papers_data

from gair_search.benchmarks.reproduction.sources import Sources


@pytest.fixture(scope="session")
def papers_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made pictures in the official layouts; a test that changes them takes a copy."""
    return make_papers_data(tmp_path_factory.mktemp("papers") / "data")


@pytest.fixture
def made(papers_data: Path, tiny_folder: Path) -> Sources:
    """All sources, at random weights; the bundled model is the second judge."""
    model = f"local-dir:{tiny_folder}"
    return Sources(papers_data, model, model, str(tiny_folder / "generator"), "gair-mini")
