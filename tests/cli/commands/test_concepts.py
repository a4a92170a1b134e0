import io
import json
import os
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.generator import TINY_WIDTH, tiny_model

from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.engine import Engine
from gair_search.learning.report import affinity
from gair_search.query.compiler import compile_prompt, encode
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore

Gair = Callable[..., tuple[int, str, str]]
MINI_WIDTH = resolve("gair-mini").config["text_cfg"]["width"]


@pytest.fixture
def stored(encoder: Encoder) -> Callable[..., CustomToken]:
    """Stores a token of the bundled model."""

    def store(name: str, n: int = 2, parent: str = "dress") -> CustomToken:
        vectors = np.random.default_rng(len(name)).standard_normal((n, MINI_WIDTH)).astype(np.float32) * 0.05
        embedder, facts = (
            str(encoder.embedder_id),
            {"preset": "mini", "learned_at": "2026-01-02T03:04:05+00:00"},
        )
        token = CustomToken(name, vectors, encoder.text_tower.table_hash, embedder, parent, facts)
        TokenStore().save(token)
        return token

    return store


def foreign(path: Path, width: int = MINI_WIDTH, n: int = 2) -> Path:
    """A web UI's file."""
    save_file({"emb_params": torch.randn(n, width, generator=torch.Generator().manual_seed(0))}, path)
    return path


def test_list_shows_what_there_is_and_marks_the_active_one(
    gair: Gair, stored: Callable[..., CustomToken]
) -> None:
    assert gair("concepts", "list")[1] == (
        "no custom tokens yet; learn one with: gair learn NAME PHOTO... --parent WORD; "
        "or bring one in with: gair concepts import FILE\n"
    )
    assert json.loads(gair("concepts", "list", "--json")[1]) == {"active": None, "concepts": []}
    stored("my-dress", 3)
    stored("b", parent="")
    TokenStore().path("broken").write_bytes(b"nonsense")
    code, out, _ = gair("concepts", "use", "my-dress")
    assert (code, out) == (0, "* now stands for <my-dress>\n")
    assert "concepts  <b>, <broken>, <my-dress> (active)\n" in gair("status", "--model", "gair-mini")[1]
    assert json.loads(gair("status", "--model", "gair-mini", "--json")[1])["active"] == "my-dress"
    code, out, err = gair("concepts", "list")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["name", "vectors", "parent", "model", "made"]
    assert ["*", "my-dress", "3", "dress", "gair-mini", "2026-01-02"] in rows
    assert ["b", "2", "-", "gair-mini", "2026-01-02"] in rows
    assert next(row for row in rows if row[0] == "broken")[3] == "damaged,"
    assert (code, err) == (0, "")
    assert gair("concepts")[1] == out
    answer = json.loads(gair("concepts", "list", "--json")[1])
    assert answer == json.loads(gair("concepts", "--json")[1])
    assert answer["active"] == "my-dress"
    by_name = {row["name"]: row for row in answer["concepts"]}
    assert (by_name["my-dress"]["active"], by_name["b"]["active"]) == (True, False)
    assert (by_name["b"]["n_vectors"], by_name["b"]["model"]) == (2, "gair-mini")
    assert "is no custom token" in by_name["broken"]["error"]


def test_show_tells_all_facts_and_the_nearest_words(
    gair: Gair, stored: Callable[..., CustomToken], encoder: Encoder
) -> None:
    token = stored("my-dress")
    facts = json.loads(gair("concepts", "show", "my-dress", "--json")[1])
    assert (facts["parent"], facts["active"], facts["width"]) == ("dress", True, MINI_WIDTH)
    assert (facts["text_tower"], facts["text_tower_assumed"]) == (encoder.text_tower.table_hash, False)
    assert facts["facts"]["preset"] == "mini"
    assert np.allclose(facts["norms"], np.linalg.norm(token.vectors, axis=1))
    assert [len(row) for row in facts["nearest_words"]] == [5, 5]
    assert -1 <= facts["nearest_words"][0][0]["cosine"] <= 1
    code, out, _ = gair("concepts", "show", "my-dress")
    assert code == 0
    assert "<my-dress>, the active one" in out
    assert "preset" in out
    assert str(TokenStore().path("my-dress")) in out
    assert facts["nearest_words"][1][0]["word"] in out


def test_show_as_a_page(
    gair: Gair, stored: Callable[..., CustomToken], encoder: Encoder, tmp_path: Path
) -> None:
    plain = stored("my-dress", 3)
    told = {"separation": 0.875, "norm_lowest": 0.25, "norm_highest": 0.5, "composition": 0.625}
    known = {"attributes": "red, old, striped", "quality": json.dumps(told)}
    losses = {"held_out": "[[5, 0.9], [10, 0.3], [15, 0.5]]", "evil": "<script>alert(1)</script>"}
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    page = tmp_path / "page.html"
    code, out, _ = gair("concepts", "show", "my-dress", "--html", page)
    assert code == 0
    assert out.endswith(f"page: {page}\n")
    html = page.read_text()
    assert "<h1>&lt;my-dress&gt;</h1>" in html
    assert "<b>0.875</b>separation" in html
    assert "<b>0.62</b>composition" in html
    assert "0.250 to 0.500" in html
    assert html.count('<div class="norm">') == 3
    labels, cosines = affinity(TokenStore().get("my-dress"), encoder.text_tower, ["red", "old", "striped"])
    assert html.count('scope="col"') == len(labels) == 4
    for i, label in enumerate(labels):
        shown, shade = label.replace("<", "&lt;").replace(">", "&gt;"), min(max(cosines[i, 3], 0) / 0.4, 1)
        assert f'--shade: {shade:.2f}" title="{shown}, &lt;my-dress&gt;: {cosines[i, 3]:.3f}"' in html
    assert '<polyline points="0.0,0.0 300.0,140.0 600.0,93.3 "/>' in html
    assert '<circle cx="300.0" cy="140.0" r="5"/>' in html  # the lowest
    losses["step"] = "15"  # learned with others: the last step's
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    assert gair("concepts", "show", "my-dress", "--html", page)[0] == 0
    assert '<circle cx="600.0" cy="93.3" r="5"/>' in page.read_text()
    losses["step"] = "stopped after 10"
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    assert gair("concepts", "show", "my-dress", "--html", page)[0] == 0
    assert "<polyline" in page.read_text()
    assert "<circle" not in page.read_text()
    assert (
        json.loads(gair("concepts", "show", "my-dress", "--json")[1])["nearest_words"][0][0]["word"] in html
    )
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(src|href)=|url\(|https?:", html)  # nothing is fetched
    assert gair("concepts", "show", "my-dress", "--html", tmp_path / "none" / "x.html")[0] == 1


def test_a_page_of_a_token_that_says_little(gair: Gair, tmp_path: Path, encoder: Encoder) -> None:
    page = tmp_path / "page.html"
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "ViT-B-32:/none.pt"))
    assert gair("concepts", "show", "x", "--html", page)[0] == 0
    html = page.read_text()
    assert "Not measured" in html
    assert "which you have not used before" in html
    assert '<section id="affinity"' not in html
    assert '<section id="losses"' not in html
    # a foreign token is compared with the attributes that its parent suggests
    facts = {"quality": '{"separation": 1}', "held_out": "[[1, NaN]]"}
    rows, tower = np.zeros((1, MINI_WIDTH), np.float32), encoder.text_tower.table_hash
    TokenStore().save(CustomToken("x", rows, tower, "gair-mini", "dress", facts))
    code, out, _ = gair("concepts", "show", "x", "--html", page)
    assert code == 0
    assert "separation" not in out
    html = page.read_text()
    assert html.count('scope="col"') == 21
    assert "Not measured" in html
    assert "The band is the range" in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).lower()


def test_show_without_the_model_and_with_hostile_text(gair: Gair) -> None:
    facts = {"evil\x1b[2J": "\x1b[31mred\x07"}
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "ViT-B-32:/none.pt", facts=facts))
    code, out, _ = gair("concepts", "show", "x")
    assert code == 0
    assert "not known here; the file of <x> names the model ViT-B-32:/none.pt, which you have not used" in out
    assert "\x1b" not in out
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "gair-mini"))
    answer = json.loads(gair("concepts", "show", "x", "--json")[1])
    assert answer["nearest_words"] is None
    assert "not the token's own" in answer["nearest_words_missing"]


def test_use_decides_what_the_star_stands_for(
    gair: Gair, stored: Callable[..., CustomToken], tmp_path: Path
) -> None:
    stored("a")
    stored("bb")
    assert json.loads(gair("concepts", "use", "bb", "--json")[1]) == {"active": "bb"}
    with Engine.open("gair-mini", db=tmp_path / "db", device="cpu") as engine:
        star, named, other = (engine.compile(f"a {word} dress").vector for word in ("*", "<bb>", "<a>"))
    assert np.array_equal(star, named)
    assert not np.array_equal(star, other)


def test_rm_asks_and_refuses_unknown_names(
    gair: Gair, stored: Callable[..., CustomToken], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "red-dress"):
        stored(name)
    code, out, _ = gair("concepts", "rm", "a", "red-dres", "--yes", "--json")
    assert code == 1
    assert "did you mean <red-dress>" in json.loads(out)["error"]["message"]
    for extra in ([], ["--json"]):  # nobody is there to be asked
        code, out, err = gair("concepts", "rm", "a", *extra)
        assert code == 1
        assert "say --yes" in out + err
    assert TokenStore().names() == ["a", "b", "red-dress"]
    assert gair("concepts", "rm", "a", "a", "-y") == (0, "removed <a>\n", "")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, err = gair("concepts", "rm", "b")
    assert (code, out.strip()) == (1, "")
    assert "remove <b> for good?" in err
    assert "nothing removed" in err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert gair("concepts", "rm", "b")[0] == 0
    assert json.loads(gair("concepts", "rm", "red-dress", "--yes", "--json")[1]) == {"removed": ["red-dress"]}
    assert TokenStore().names() == []


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


def test_diffusers_own_loader_takes_the_file(gair: Gair, tmp_path: Path) -> None:
    """The real pipeline, at random weights: the same rows, and the same conditioning as ours."""
    from diffusers import StableDiffusionPipeline

    name = f"local-dir:{tiny_model(tmp_path / 'model')}"
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
    gair: Gair, stored: Callable[..., CustomToken], tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Bomb(canary), 2))
    (tmp_path / "empty.pt").touch()
    stored("x")
    gair("concepts", "export", "x", tmp_path / "other.safetensors")
    gair("concepts", "rm", "x", "--yes")
    other = f"local-dir:{tiny_model(tmp_path / 'model')}"
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


@pytest.mark.parametrize("command", ["list", "show", "use", "rm", "import", "export"])
def test_every_command_has_help_and_json(gair: Gair, command: str) -> None:
    code, out, _ = gair("concepts", command, "--help")
    assert code == 0
    assert "--json" in out
    if command != "list":
        assert gair("concepts", command)[0] == 2
        answer = gair("concepts", command, "nothing", *["there.pt"] * (command == "export"), "--json")
        assert (answer[0], json.loads(answer[1])["error"]["type"]) == (1, "ConceptError")
