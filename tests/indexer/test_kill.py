"""`kill -9` at 20 random moments of an index run, then resume: the gallery of an undisturbed run, each time."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

from gair_search.gallery.embedded import EmbeddedGallery

KILLS = 20


def content(folder: Path) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
    gallery = EmbeddedGallery(folder)
    records = {r.id: dict(r.payload) for r in gallery.records()}
    vectors = gallery.vectors(list(records))
    gallery.close()
    return records, vectors


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_gallery(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 40)
    zygote = Path(__file__).parent.parent / "support" / "zygote.py"
    command = [sys.executable, str(zygote), str(tmp_path / "photos"), str(tmp_path / "out"), "7", str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(trials) == KILLS
    assert sum(trial["left"] for trial in trials) == 0, "worker processes outlived their killed parent"
    records, vectors = content(tmp_path / "out" / "undisturbed")
    assert len(records) == 40
    for trial in range(KILLS):
        killed_records, killed_vectors = content(tmp_path / "out" / f"killed-{trial}")
        assert killed_records == records
        for i, vector in vectors.items():
            assert np.allclose(killed_vectors[i], vector, atol=1e-5)
