"""`gair models`: which there are, and handing their generators on."""

import json
import shutil
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c

from gair_search.encoder import download


def test_models_lists_and_marks_the_default(gair: Gair) -> None:
    code, out, _ = gair("models")
    assert code == 0
    assert "ViT-L-14/openai" in out
    assert out.count("<- default") == 1
    rows = json.loads(gair("models", "--json")[1])["models"]
    assert {"name": "gair-mini", "state": "bundled", "default": True} in rows


def test_models_export_writes_a_folder_for_diffusers(
    gair: Gair, own_tiny_folder: Path, tmp_path: Path
) -> None:
    name, target = f"local-dir:{own_tiny_folder}", tmp_path / "out" / "pipe"
    code, out, err = gair("models", "export", name, target)
    assert (code, err) == (0, "")
    assert str(target) in out
    assert "StableDiffusionPipeline.from_pretrained" in out
    assert {"model_index.json", "text_encoder", "tokenizer", "unet"} <= {p.name for p in target.iterdir()}
    code, out, _ = gair("models", "export", name, tmp_path / "other", "--json")
    assert (code, json.loads(out)) == (0, {"model": name, "folder": str(tmp_path / "other")})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    code, out, _ = gair("models", "export", name, tmp_path / "mine", "--json")
    assert (code, json.loads(out)["error"]["type"]) == (1, "ModelError")
    assert "not this pipeline's folder" in json.loads(out)["error"]["message"]
    shutil.rmtree(own_tiny_folder / "generator")
    code, _, err = gair("models", "export", name, tmp_path / "third")
    assert code == 1
    assert "has no generator" in err
    assert gair("models", "export", name)[0] == 2


def test_ctrl_c_just_stops(gair: Gair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "pull", press_ctrl_c)
    code, out, err = gair("models", "pull", "ViT-L-14/openai")
    assert (code, out, err.endswith("error: stopped\n")) == (130, "", True)
