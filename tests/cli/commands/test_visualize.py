"""`gair visualize`: what a prompt looks like."""

import json
from pathlib import Path

import pytest
from PIL import Image
from support.cli import Gair, press_ctrl_c
from support.generator import tiny_token

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.tokens.facts import METHOD, PROMPT_TUNING
from gair_search.tokens.store import TokenStore

QUICK = ("--steps", "2", "--scheduler", "ddim", "--seed", "0")


def test_visualize_draws_the_grid(gair: Gair, ready: None, tmp_path: Path, tiny: Encoder) -> None:
    TokenStore().save(tiny_token(tiny, "tuned", **{METHOD: PROMPT_TUNING}))
    file = tmp_path / "grid.png"
    code, out, err = gair("visualize", "a <tuned> dress", "-o", file, *QUICK, "--candidates", "0,1")
    assert (code, out) == (0, f"grid: {file}\n")
    assert "note: <tuned> was learned by prompt tuning" in err
    with Image.open(file) as image:
        assert image.width == 14 + 2 * (192 + 14)
    code, out, _ = gair("visualize", "a dress", "-o", file, *QUICK, "--json")
    answer = json.loads(out)
    assert (answer["grid"], answer["concept"], len(answer["candidates"])) == (str(file), None, 1)
    assert "drawn as it is" in answer["warnings"][0]


def test_ctrl_c_just_stops(gair: Gair, ready: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "visualize", press_ctrl_c)
    code, out, err = gair("visualize", "a dress", "-o", tmp_path / "grid.png")
    assert (code, out, err.endswith("error: stopped\n")) == (130, "", True)
    assert not (tmp_path / "grid.png").exists()
