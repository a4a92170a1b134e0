"""`gair concepts import` and `export`."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.cli import Gair
from support.generator import MINI_WIDTH, TINY_WIDTH

from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.engine import Engine
from gair_search.query.compiler import compile_prompt, encode
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


def foreign(path: Path, width: int = MINI_WIDTH, n: int = 2) -> Path:
    """A web UI's file."""
    save_file({"emb_params": torch.randn(n, width, generator=torch.Generator().manual_seed(0))}, path)
    return path


@pytest.mark.parametrize(
    ("file", "layout"), [("x.safetensors", "diffusers"), ("x.safetensors", "webui"), ("x.pt", "webui")]
)
def test_out_and_in_again_is_the_same_query(
    gair: Gair, stored: Callable[..., CustomToken], tmp_path: Path, file: str, layout: str
) -> None:
    token = stored("my-dress")
    target = tmp_path / "out" / file

    def vector() -> bytes:
        with Engine.open("gair-mini", db=tmp_path / "db", device="cpu") as engine:
            return engine.compile("a (<my-dress>:1.3) on grass").vector.tobytes()

    before = vector()
    answer = json.loads(gair("concepts", "export", "my-dress", target, "--format", layout, "--json")[1])
    assert answer == {"concept": "my-dress", "file": str(target), "format": layout}
    assert gair("concepts", "rm", "my-dress", "--yes")[0] == 0
    code, out, err = gair("concepts", "import", target, "--model", "gair-mini")
    assert (code, err) == (0, "")
    assert out.startswith("<my-dress> is here: 2 vectors, for gair-mini\n")
    assert vector() == before
    again = TokenStore().get("my-dress")
    assert again.vectors.tobytes() == token.vectors.tobytes()
    assert (again.parent, again.facts["preset"]) == ("dress", "mini")
    assert again.facts["imported_from"] == file
    assert "text_tower_assumed" not in again.facts


def test_export_says_how_to_use_the_file_and_overwrites_on_demand(
    gair: Gair, stored: Callable[..., CustomToken], tmp_path: Path
) -> None:
    stored("my-dress")
    file = tmp_path / "x.safetensors"
    assert "load_textual_inversion" in gair("concepts", "export", "my-dress", file)[1]
    code, _, err = gair("concepts", "export", "my-dress", file, "--format", "webui")
    assert code == 1
    assert "--force" in err
    assert list(load_file(file)) == ["<my-dress>"]
    code, out, _ = gair("concepts", "export", "my-dress", file, "--format", "webui", "--force")
    assert code == 0
    assert "embeddings, and write x in prompts" in out
    assert list(load_file(file)) == ["emb_params"]
    assert gair("concepts", "export", "my-dress", tmp_path / "x.pt")[0] == 0
    assert gair("concepts", "export", "my-dress", tmp_path / "y.safetensors", "--format", "sdxl")[0] == 2


def test_diffusers_own_loader_takes_the_file(gair: Gair, tiny_folder: Path, tmp_path: Path) -> None:
    """The real pipeline, at random weights: the same rows, and the same conditioning as ours."""
    from diffusers import StableDiffusionPipeline

    name = f"local-dir:{tiny_folder}"
    assert gair("models", "export", name, tmp_path / "pipe")[0] == 0
    encoder = Encoder(resolve(name), "cpu")
    tower = encoder.text_tower
    vectors = np.random.default_rng(0).standard_normal((3, TINY_WIDTH)).astype(np.float32)
    token = CustomToken("my-dress", vectors, tower.table_hash, str(encoder.embedder_id), "dress")
    TokenStore().save(token)
    compiled = compile_prompt("a <my-dress> on grass", tower, lambda _: token)
    ours = encode(compiled, encoder).conditioning
    for file, extra in (
        ("d.safetensors", {}),
        ("w.safetensors", {"token": "<my-dress>"}),  # a web UI's file has no name but its own
        ("w.pt", {"token": "<my-dress>"}),
    ):
        layout = "diffusers" if file == "d.safetensors" else "webui"
        assert gair("concepts", "export", "my-dress", tmp_path / file, "--format", layout)[0] == 0
        pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "pipe")
        pipe.load_textual_inversion(str(tmp_path / file), **extra)
        rows = pipe.text_encoder.get_input_embeddings().weight.detach().numpy()[-3:]
        assert rows.tobytes() == vectors.tobytes()
        prompt = pipe.maybe_convert_prompt("a <my-dress> on grass", pipe.tokenizer)
        ids = pipe.tokenizer(prompt, return_tensors="pt").input_ids
        assert ids.shape[1] == ours.shape[1]
        with torch.inference_mode():
            theirs = pipe.text_encoder(ids).last_hidden_state
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_import_says_where_a_file_is_silent(gair: Gair, tmp_path: Path) -> None:
    file = foreign(tmp_path / "style.safetensors", n=1)
    code, out, err = gair("concepts", "import", file, "--parent", "style")
    assert code == 0
    assert out.startswith("<style> is here: 1 vector, for gair-mini\n")
    assert "does not say which text tower" in err
    assert TokenStore().get("style").parent == "style"
    assert "assumed" in gair("concepts", "show", "style")[1]
    code, out, _ = gair("concepts", "import", file, "--json")
    assert (code, json.loads(out)["error"]["type"]) == (1, "ConceptError")
    assert "there is a concept <style>" in json.loads(out)["error"]["message"]
    code, out, _ = gair("concepts", "import", file, "--force", "--json")
    answer = json.loads(out)
    assert (answer["concept"], answer["n_vectors"], answer["model"]) == ("style", 1, "gair-mini")
    assert (answer["text_tower_stated"], answer["file"]) == (False, str(TokenStore().path("style")))
    assert gair("concepts", "import", file, "--name", "another")[0] == 0
    gair("concepts", "export", "another", tmp_path / "out.pt")  # an assumption stays one on its way
    assert "does not say" in gair("concepts", "import", tmp_path / "out.pt", "--force")[2]
    assert TokenStore().names() == ["another", "style"]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_what_import_refuses_leaves_nothing_behind(
    gair: Gair, stored: Callable[..., CustomToken], tiny_folder: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Bomb(canary), 2))
    (tmp_path / "empty.pt").touch()
    stored("x")
    gair("concepts", "export", "x", tmp_path / "other.safetensors")
    gair("concepts", "rm", "x", "--yes")
    other = f"local-dir:{tiny_folder}"
    for file, extra, said in (
        ("code.pt", [], "to be run"),
        ("empty.pt", [], "is empty"),
        ("none.pt", [], "not there"),
        (foreign(tmp_path / "sd.safetensors", MINI_WIDTH + 1), [], f"takes {MINI_WIDTH}"),
        (foreign(tmp_path / "long.safetensors", n=74), [], "room for 70"),
        (foreign(tmp_path / "my style.safetensors"), [], "--name my-style"),
        ("other.safetensors", ["--model", other], "--model gair-mini"),
    ):
        code, out, err = gair("concepts", "import", tmp_path / file, *extra)
        assert (code, out) == (1, ""), file
        assert said in err
        assert "Traceback" not in err
    code, _, err = gair("concepts", "import", tmp_path / "sd.safetensors", "--model", "nonsense")
    assert code == 1
    assert "no architecture" in err
    assert not canary.exists()
    assert TokenStore().names() == []
    assert not [path for path in TokenStore().folder.iterdir() if path.name != "active"]
