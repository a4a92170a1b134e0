"""`gair bench fewshot`."""

import json
from pathlib import Path

import pytest
from support.cli import Gair
from support.photos import make_photos


@pytest.mark.slow
def test_fewshot_prints_three_tables_and_json(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i, name in enumerate(("dog", "vase")):
        make_photos(photos / name, 4, first=10 * i)
    told = ["--dataset", "folders", "--data", photos, "--model", f"local-dir:{tiny_folder}", "--seeds", "1"]
    told += ["--shots", "1,2,16", "--steps", "1", "--epochs", "1"]
    code, out, _ = gair("bench", "fewshot", *told, "--save-run", tmp_path / "runs")
    assert code == 0
    for line in ("| SToRI | base + descriptions | ", "| nonsense instead | ", "| MC-TI | "):
        assert line in out
    assert "2 classes, 4 pictures to classify" in out
    assert (tmp_path / "runs/fewshot.qrels").is_file()
    code, out, _ = gair("bench", "fewshot", *told, "--json")
    answer = json.loads(out)
    assert answer["settings"]["shots"] == [1, 2, 16]
    assert list(answer["named"]["rows"]["SToRI, base + descriptions"]) == ["1", "2"]  # those that exist
    code, _, err = gair("bench", "fewshot", "--shots", "1,none")
    assert code == 1
    assert "--shots 1,none" in err
    code, _, err = gair("bench", "fewshot", "--dataset", "caltech256")
    assert code == 1
    assert "--data FOLDER" in err
