"""`gair bench generation`."""

import json
from pathlib import Path

from support.cli import Gair
from support.photos import make_photos


def test_the_table_is_printed_and_written(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i, name in enumerate(("dog", "dog2", "vase")):
        make_photos(photos / name, 5, first=10 * i)
    (photos / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\ndog2,dog\nvase,vase\n")
    told = [
        "--dataset",
        "dreambooth",
        "--data",
        photos,
        "--model",
        f"local-dir:{tiny_folder}",
        "--seeds",
        "1",
    ]
    told += ["--methods", "text only", "--out", tmp_path / "out"]
    quick = ["--contexts", "in the snow,on a lawn", "--images", "1", "--draw-steps", "1"]
    code, out, _ = gair("bench", "generation", *told, *quick, "--limit", "2")
    assert code == 0
    assert "n = 2 concepts over 1 seeds, 2 contexts x 1 images each" in out
    assert (tmp_path / "out/generation-dog.png").is_file()
    code, out, _ = gair("bench", "generation", *told[:-2], *quick, "--json")
    assert json.loads(out)["settings"]["contexts"] == ["in the snow", "on a lawn"]
