"""`gair bench preference`."""

import json
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c

from gair_search.benchmarks.tables import preference


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
    assert (answer["bench"], answer["settings"]["seeds"], answer["files"]) == ("preference", [20], [])
    assert answer["SToRI"]["table 3"]["n"] == 3


def test_a_missing_data_set_is_one_message(gair: Gair, tmp_path: Path) -> None:
    code, _, err = gair("bench", "preference", "--dataset", "cub", "--data", tmp_path)
    assert code == 1
    assert "CUB_200_2011.tgz" in err
    code, _, err = gair("bench", "preference", "--seeds", "none")
    assert code == 1
    assert "--seeds none" in err


def test_ctrl_c_keeps_finished_parts(gair: Gair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "preference", press_ctrl_c)
    code, out, err = gair("bench", "preference")
    assert (code, out) == (130, "")
    assert err.endswith("error: stopped; finished parts are kept, and the same command goes on from there\n")
