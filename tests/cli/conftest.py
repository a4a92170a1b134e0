"""Fixtures: the `gair` command in this process, photos, and a machine with a tiny model and a concept."""

import sys
from pathlib import Path

import numpy as np
import pytest
from support.cli import Gair
from support.generator import tiny_token
from support.photos import make_photos
from support.points import point

from gair_search.cli import app
from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.gallery import GalleryConfig
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
