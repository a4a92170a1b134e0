"""`gair bench recognition`."""

from pathlib import Path

from support.cli import Gair
from support.photos import make_photos


def test_the_table_is_printed_and_runs_are_written(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
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
    code, out, _ = gair(
        "bench", "recognition", *told, "--loss-weights", "none", "--save-run", tmp_path / "runs"
    )
    assert code == 0
    assert "of n = 3 concepts over 1 seeds (2 with pictures of the parent)" in out
    assert "Table 1" not in out
    assert (tmp_path / "runs/recognition.qrels").is_file()
