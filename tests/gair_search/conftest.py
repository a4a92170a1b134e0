"""Fixtures: a token of the tiny model, and an engine that has both."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.generator import tiny_token
from support.points import point

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.gallery import GalleryConfig
from gair_search.generation.generator import Generator
from gair_search.tokens.custom_token import CustomToken


@pytest.fixture
def token(tiny: Encoder) -> CustomToken:
    return tiny_token(tiny)


@pytest.fixture
def engine(tiny: Encoder, generator: Generator, token: CustomToken, tmp_path: Path) -> Iterator[Engine]:
    """An engine with one concept, and a gallery of eight unit vectors."""
    with Engine.open(tiny.spec.name, db=tmp_path / "gallery") as opened:
        opened._encoder, opened._generator = tiny, generator
        opened.tokens.save(token)
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(8, tiny.spec.embed_dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        opened.gallery.create(tiny.spec.embedder_id, GalleryConfig())
        opened.gallery.upsert([point(i, vector.tolist()) for i, vector in enumerate(vectors)])
        yield opened
