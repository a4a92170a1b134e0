"""Galleries and tokens that somebody sent: their models are followed only where the user chose them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.cli import Gair
from support.generator import tiny_token
from support.photos import make_photos

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.tokens.store import TokenStore


def spoil(folder: Path, marker: Path) -> None:
    (folder / "marker.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nfrom transformers import BertTokenizer as Marker\n"
    )
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {
        "hf_tokenizer_name": "x",
        "tokenizer_kwargs": {"trust_remote_code": True},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    facts = {"tokenizer_class": "Marker", "auto_map": {"AutoTokenizer": ["marker.Marker", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def test_a_gallery_somebody_sent(
    gair: Gair, own_tiny_folder: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(tmp_path / "photos", 2)
    name, db, marker = f"local-dir:{own_tiny_folder}", tmp_path / "gallery", tmp_path / "ran"
    assert gair("index", tmp_path / "photos", "--db", db, "--model", name)[0] == 0
    assert gair("query", "a dog", "--db", db)[0] == 0  # everyday use asks for nothing more
    monkeypatch.setenv("GAIR_HOME", str(tmp_path / "another"))  # and now it is somebody else's
    spoil(own_tiny_folder, marker)
    for command in (["query", "a dog"], ["status"], ["index", tmp_path / "photos"]):
        code, _, told = gair(*command, "--db", db)
        assert code == 1
        assert f"names the model {name}, which you have not used before" in told
        assert f"--model {name}" in told
    code, _, told = gair("query", "a dog", "--db", db, "--model", name)
    assert (code, "trust_remote_code is true" in told) == (1, True)
    assert not marker.exists()


def test_a_token_somebody_sent(
    gair: Gair, own_tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, marker = f"local-dir:{own_tiny_folder}", tmp_path / "ran"
    token = tiny_token(Encoder(models.resolve(name), "cpu"))
    TokenStore().save(token)
    for spoilt in (False, True):
        answer = json.loads(gair("concepts", "show", "my-dress", "--json")[1])
        assert f"<my-dress> names the model {name}, which you have not" in answer["nearest_words_missing"]
        if not spoilt:
            clean = shutil.copytree(own_tiny_folder, tmp_path / "clean")
            spoil(own_tiny_folder, marker)
    assert gair("concepts", "show", "my-dress", "--html", tmp_path / "x.html")[0] == 0
    monkeypatch.setenv("GAIR_MODEL", name)
    answer = json.loads(gair("concepts", "show", "my-dress", "--json")[1])
    assert "trust_remote_code is true" in answer["nearest_words_missing"]
    assert not marker.exists()
    monkeypatch.delenv("GAIR_MODEL")
    # brought in for a model that is named then and there, it is shown with that one from now on
    shutil.rmtree(own_tiny_folder)
    clean.rename(own_tiny_folder)
    file = TokenStore().path("my-dress").rename(tmp_path / "my-dress.safetensors")
    assert gair("concepts", "import", file, "--model", name)[0] == 0
    assert json.loads(gair("concepts", "show", "my-dress", "--json")[1])["nearest_words"]
    assert np.isfinite(TokenStore().get("my-dress").vectors).all()
