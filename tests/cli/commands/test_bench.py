import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.generator import tiny_model
from support.photos import make_photos

from gair_search.cli.commands.bench import options as bench
from gair_search.errors import GairError

Gair = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("1", (0,)), ("0,4", (0, 4)), ("4,", (4,)), ("0,", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert bench.parse_seeds(text) == seeds


def test_shots() -> None:
    assert [bench.parse_shots(text) for text in (None, "5", " 12 ", "all", "All")] == [
        None,
        5,
        12,
        "all",
        "all",
    ]
    for text in ("0", "-1", "", "1,2", "few", "1.5", "²"):
        with pytest.raises(GairError, match="--shots"):
            bench.parse_shots(text)


@pytest.mark.parametrize("text", ["0", "-1", "", ",", "1,1", "-1,2", "one", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(GairError, match="--seeds"):
        bench.parse_seeds(text)


def test_preference_prints_tables_and_json_and_writes_files(gair: Gair, home: Path, tmp_path: Path) -> None:
    small = ["--seeds", "1", "--limit", "1", "--five", "0", "--per-category", "1"]
    code, out, err = gair("bench", "preference", *small, "--save-run", tmp_path / "runs")
    assert code == 0
    assert "model: gair-mini" in err
    assert "| paper, CLIP: AP |" in out
    assert "n = 3 controlled attributes, seeds: 1;" in out
    assert (tmp_path / "runs/preference.qrels").is_file()
    assert (home / "bench/features").is_dir()
    code, out, _ = gair("bench", "preference", *small, "--json")
    answer = json.loads(out)
    assert (answer["bench"], answer["settings"]["seeds"], answer["files"]) == ("preference", [0], [])
    assert answer["SToRI"]["table 3"]["n"] == 3


def test_a_missing_data_set_is_one_message(gair: Gair, tmp_path: Path) -> None:
    code, _, err = gair("bench", "preference", "--dataset", "cub", "--data", tmp_path)
    assert code == 1
    assert "CUB_200_2011.tgz" in err
    code, _, err = gair("bench", "preference", "--seeds", "none")
    assert code == 1
    assert "--seeds none" in err


def test_retrieval_prints_a_row_a_method_and_json(gair: Gair, tmp_path: Path) -> None:
    photos, model = tmp_path / "photos", tiny_model(tmp_path / "tiny")
    for i, name in enumerate(("dog", "vase")):
        make_photos(photos / name, 5, first=10 * i)
    (photos / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\nvase,vase\n")
    told = ["--dataset", "dreambooth", "--data", photos, "--model", f"local-dir:{model}", "--seeds", "1"]
    told += ["--methods", "text only,PALAVRA second stage", "--attributes", "red,old"]
    code, out, _ = gair("bench", "retrieval", *told, "--out", tmp_path / "out")
    assert code == 0
    assert "| PALAVRA second stage | " in out
    assert "n = 2 queries over 1 seeds, 10 images in the gallery, 3 concept images" in out
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


def test_recognition_and_generation_print_their_tables(gair: Gair, tmp_path: Path) -> None:
    photos, model = tmp_path / "photos", tiny_model(tmp_path / "tiny")
    for i, name in enumerate(("dog", "dog2", "vase")):
        make_photos(photos / name, 5, first=10 * i)
    (photos / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\ndog2,dog\nvase,vase\n")
    told = ["--dataset", "dreambooth", "--data", photos, "--model", f"local-dir:{model}", "--seeds", "1"]
    told += ["--methods", "text only", "--out", tmp_path / "out"]
    code, out, _ = gair(
        "bench", "recognition", *told, "--loss-weights", "none", "--save-run", tmp_path / "runs"
    )
    assert code == 0
    assert "of n = 3 concepts over 1 seeds (2 with pictures of the parent)" in out
    assert "Table 1" not in out
    assert (tmp_path / "runs/recognition.qrels").is_file()
    quick = ["--contexts", "in the snow,on a lawn", "--images", "1", "--draw-steps", "1"]
    code, out, _ = gair("bench", "generation", *told, *quick, "--limit", "2")
    assert code == 0
    assert "n = 2 concepts over 1 seeds, 2 contexts x 1 images each" in out
    assert (tmp_path / "out/generation-dog.png").is_file()
    code, out, _ = gair("bench", "generation", *told[:-2], *quick, "--json")
    assert json.loads(out)["settings"]["contexts"] == ["in the snow", "on a lawn"]


def test_lists_of_pairs_and_loss_weights() -> None:
    assert bench.parse_pairs("red_teapot=teapot, mug = coffee mug", "--parents") == {
        "red_teapot": "teapot",
        "mug": "coffee mug",
    }
    assert bench.parse_pairs(None, "--parents") == {}
    assert bench.parse_loss_weights("0:1, 1:0.1") == ((0.0, 1.0), (1.0, 0.1))
    assert (bench.parse_loss_weights("none"), bench.parse_loss_weights(None)) == ((), None)
    for text in ("", "1", "1:2:3", "a:1", "-1:1", "0:0", "inf:1", "nan:1"):
        with pytest.raises(GairError, match="--loss-weights"):
            bench.parse_loss_weights(text)
    with pytest.raises(GairError, match="--parents teapot: teapot is not of the form"):
        bench.parse_pairs("teapot", "--parents")


def test_gair_takes_no_value_here(gair: Gair) -> None:
    code, _, err = gair("bench", "retrieval", "--dataset", "dreambooth", "--gair")
    assert code == 1
    assert "--data FOLDER" in err


def test_fewshot_prints_three_tables_and_json(gair: Gair, tmp_path: Path) -> None:
    photos, model = tmp_path / "photos", tiny_model(tmp_path / "tiny")
    for i, name in enumerate(("dog", "vase")):
        make_photos(photos / name, 4, first=10 * i)
    told = ["--dataset", "folders", "--data", photos, "--model", f"local-dir:{model}", "--seeds", "1"]
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


def test_speed_prints_a_table_a_part_and_json(gair: Gair, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "tiny")
    told = ["--model", f"local-dir:{model}", "--parts", "learning,gair", "--rounds", "3", "--steps", "1"]
    told += ["--queries", "1", "--draw-steps", "1", "--photos", make_photos(tmp_path / "photos", 2)[0]]
    code, out, _ = gair("bench", "speed", *told, "--out", tmp_path / "out")
    assert code == 0
    assert "| gair-search | " in out
    assert "| plain loop of 11 | " in out
    assert "1 photos" in out
    assert (tmp_path / "out/speed.md").read_text() in out
    code, out, _ = gair("bench", "speed", *told, "--parts", "gair", "--json")
    answer = json.loads(out)
    assert answer["settings"]["parts"] == ["gair"]
    assert answer["gair"]["ways"]["plain loop of 11"]["images"] == 11
    code, _, err = gair("bench", "speed", "--parts", "learning_speed")
    assert code == 1
    assert 'no part "learning_speed"; there are: text, indexing, learning, gair' in err
