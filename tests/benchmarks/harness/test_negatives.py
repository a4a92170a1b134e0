"""Where a table's negatives come from."""

from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.negatives import DRAWN, GALLERY, NegativeImages
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError


def never() -> np.ndarray:
    raise AssertionError


def test_sources(tiny: Encoder, tmp_path: Path) -> None:
    work = Work("table", {}, tmp_path / "work")
    gallery = NegativeImages(GALLERY, tiny, None, work).pool("dress", lambda: np.eye(16, dtype=np.float32))
    assert not gallery.as_they_are
    assert gallery.features.shape == (16, 16)
    files = make_photos(tmp_path / "others", 5)
    folder = NegativeImages(str(tmp_path / "others"), tiny, None, work)
    for parent in ("dress", "vase"):  # whatever the parent is
        own = folder.pool(parent, never)
        assert own.as_they_are
        assert np.allclose(own.features, tiny.encode_files(files), atol=1e-4)
    with pytest.raises(
        GairError, match=r"takes a generator: it is away; .*--negatives gallery, or --negatives FOLDER"
    ):
        NegativeImages(DRAWN, tiny, None, work, "it is away")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GairError, match="drawn, gallery, or a folder of photos"):
        NegativeImages(str(tmp_path / "empty"), tiny, None, work)
