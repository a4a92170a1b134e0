"""Fixture: options that measure on a tiny data set in DreamBooth's layout."""

from pathlib import Path

import pytest
from support.photos import make_photos


@pytest.fixture
def on_dreambooth(tiny_folder: Path, tmp_path: Path) -> list[str]:
    """Three subjects of two classes, five photos each, one seed, the tiny model."""
    photos = tmp_path / "photos"
    for i, name in enumerate(("dog", "dog2", "vase")):
        make_photos(photos / name, 5, first=10 * i)
    (photos / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\ndog2,dog\nvase,vase\n")
    model = ["--model", f"local-dir:{tiny_folder}"]
    return ["--dataset", "dreambooth", "--data", str(photos), *model, "--seeds", "1"]
