"""`gair bench speed`."""

import json
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c
from support.photos import make_photos

from gair_search.benchmarks.tables import speed


@pytest.mark.slow
def test_speed_prints_a_table_a_part_and_json(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
    told = [
        "--model",
        f"local-dir:{tiny_folder}",
        "--parts",
        "learning,gair",
        "--rounds",
        "3",
        "--steps",
        "1",
    ]
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


def test_ctrl_c_just_stops(gair: Gair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "speed", press_ctrl_c)
    code, out, err = gair("bench", "speed")
    assert (code, out, err.endswith("error: stopped\n")) == (130, "", True)
