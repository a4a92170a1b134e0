"""A model that learns and draws at once."""

import shutil

import pytest
from support.generator import tiny_generator

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The bundled CLIP with a tiny generator at random weights."""
    folder = tmp_path_factory.mktemp("model")
    bundled = models.resolve("gair-mini").folder
    assert bundled is not None
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        shutil.copy(bundled / name, folder)
    tiny_generator(folder / "generator", 256)
    return Encoder(models.resolve(f"local-dir:{folder}"), "cpu")
