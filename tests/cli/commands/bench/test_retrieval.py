"""`gair bench retrieval`."""

import json
from pathlib import Path

from support.cli import Gair
from support.photos import make_photos


def test_retrieval_prints_a_row_a_method_and_json(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i, name in enumerate(("dog", "vase")):
        make_photos(photos / name, 5, first=10 * i)
    (photos / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\nvase,vase\n")
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
    told += ["--methods", "text only,PALAVRA second stage", "--attributes", "red,old"]
    code, out, _ = gair("bench", "retrieval", *told, "--out", tmp_path / "out")
    assert code == 0
    assert "| PALAVRA second stage | " in out
    assert "2 queries of 2 concepts, 1 seeds, 10 images in the gallery, 3 concept images" in out
    assert (tmp_path / "out/retrieval.md").is_file()
    code, out, _ = gair("bench", "retrieval", *told, "--json")
    answer = json.loads(out)
    assert list(answer["methods"]) == ["text only", "PALAVRA second stage"]
    assert answer["settings"]["attributes"] == ["red", "old"]
    code, out, _ = gair("bench", "retrieval", *told, "--redact-faces", "--shots", "2", "--json")
    answer = json.loads(out)
    assert (answer["settings"]["redact_faces"], answer["settings"]["shots"]) == (True, 2)
    assert answer["redacted"] == {"faces": 0, "photos": 0, "of photos": 4}
    code, _, err = gair("bench", "retrieval", "--methods", "magic")
    assert code == 1
    assert 'no method "magic"' in err


def test_faces_and_all_shots_where_there_are_none(gair: Gair) -> None:
    for told, said in ((["--redact-faces"], "no faces to redact"), (["--shots", "all"], "without end")):
        code, out, err = gair("bench", "retrieval", *told)
        assert (code, out) == (1, "")
        assert said in err
        assert "model:" not in err  # told before a model is loaded


def test_gair_takes_no_value_here(gair: Gair) -> None:
    code, _, err = gair("bench", "retrieval", "--dataset", "dreambooth", "--gair")
    assert code == 1
    assert "--data FOLDER" in err
