import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gair_search.cli import bench

from gair_search.errors import GairError

Gair = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("1", (0,)), ("0,4", (0, 4)), ("4,", (4,)), ("0,", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert bench._seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "", ",", "1,1", "-1,2", "one", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(GairError, match="--seeds"):
        bench._seeds(text)


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
