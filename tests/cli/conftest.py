"""Fixtures: the `gair` command in this process, photos, and a machine with a tiny model and a concept."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.cli import Gair
from support.generator import MINI_WIDTH, tiny_token
from support.photos import make_photos
from support.points import point

from gair_search.cli import app
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.gallery import GalleryConfig
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


@pytest.fixture
def gair(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gair:
    """Runs the command in this process: (exit code, standard output, standard error)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gair", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        code = ended.value.code
        assert isinstance(code, int)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def indexed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five `photos/`, and `home/` with their gallery; a test takes a copy."""
    root = tmp_path_factory.mktemp("indexed")
    make_photos(root / "photos", 5)
    with Engine.open("gair-mini", db=root / "home/galleries/photos", device="cpu") as engine:
        engine.index(root / "photos", workers=0)
    return root


@pytest.fixture
def indexed(indexed_once: Path, home: Path) -> Path:
    """A folder of five photos that are in the gallery, and are not to be changed."""
    shutil.copytree(indexed_once / "home", home)
    return indexed_once / "photos"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of five photos."""
    make_photos(tmp_path / "photos", 5)
    return tmp_path / "photos"


@pytest.fixture
def ready(tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model is the default, with one concept, and a gallery of four photos at random vectors."""
    monkeypatch.setenv("GAIR_MODEL", tiny.spec.name)
    TokenStore().save(tiny_token(tiny))
    rng = np.random.default_rng(0)
    with Engine.open() as engine:
        engine.gallery.create(tiny.spec.embedder_id, GalleryConfig())
        engine.gallery.upsert(
            [
                point(i, rng.normal(size=16).tolist(), path=str(path), width=96, height=64)
                for i, path in enumerate(make_photos(tmp_path / "photos", 4))
            ]
        )


@pytest.fixture
def stored(encoder: Encoder) -> Callable[..., CustomToken]:
    """Stores a token of the bundled model."""

    def store(name: str, n: int = 2, parent: str = "dress") -> CustomToken:
        vectors = np.random.default_rng(len(name)).standard_normal((n, MINI_WIDTH)).astype(np.float32) * 0.05
        embedder, facts = (
            str(encoder.embedder_id),
            {"preset": "mini", "learned_at": "2026-01-02T03:04:05+00:00"},
        )
        token = CustomToken(name, vectors, encoder.text_tower.table_hash, embedder, parent, facts)
        TokenStore().save(token)
        return token

    return store
