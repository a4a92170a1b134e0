"""`gair explain`: a prompt as it is read, and weights learned from images."""

import json
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c
from support.photos import make_photos

from gair_search.engine import Engine
from gair_search.learning.token_weights import TokenWeights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_photos(tmp_path / "classes" / "red_thing", 2)
    make_photos(tmp_path / "classes" / "blue-thing", 2, first=2)
    return tmp_path / "classes"


def test_a_prompt_is_shaded_token_by_token(gair: Gair, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, _ = gair("explain", "a (red dress:1.5) <b", "--html", page)
    assert code == 1
    code, out, _ = gair("explain", r"a (red dress:1.5) \<b\>", "--html", page)
    assert code == 0
    assert ["red", "1.50", "red", "dress"] in [line.split() for line in out.splitlines()]
    html = page.read_text()
    assert ">red</mark><sub>1.5</sub>" in html
    assert "<b>" not in html
    code, out, _ = gair("explain", "a (red:2)", "--json")
    answer = json.loads(out)
    assert (answer["model"], [t["weight"] for t in answer["tokens"]]) == ("gair-mini", [1, 2])


def test_learned_weights_in_a_pipe_as_json_as_a_page_and_as_a_file(
    gair: Gair, folder: Path, tmp_path: Path
) -> None:
    page, kept = tmp_path / "page.html", tmp_path / "weights.json"
    options = ("--epochs", "2", "--html", page, "--save", kept)
    code, out, err = gair("explain", "--learn", folder, *options)
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["blue thing", "red thing"]
    learned = TokenWeights.load(kept)
    prompt = learned.prompts[1][0]
    assert prompt.tokens == ("a", "photo", "of", "a", "red", "thing")
    assert rows[1][1] == " ".join(f"{t}:{w:.4g}" for t, w in zip(prompt.tokens, prompt.weights, strict=True))
    assert rows[1][2] == prompt.query
    assert "4 images of 2 classes" in err
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 4
    assert f"<sub>{prompt.weights[4]:.3g}</sub>" in html
    assert "http" not in html
    code, out, _ = gair("explain", "--learn", folder, "--epochs", "2", "--json")
    answer = json.loads(out)
    assert answer["classes"][1]["prompts"][0]["query"] == prompt.query
    assert answer["images"] == {"blue thing": 2, "red thing": 2}
    assert len(answer["losses"]) == 2


def test_what_was_learned_works_as_a_query(gair: Gair, folder: Path) -> None:
    _, out, _ = gair("explain", "--learn", folder, "--epochs", "2", "--json")
    prompt = json.loads(out)["classes"][0]["prompts"][0]
    _, out, _ = gair("explain", prompt["query"], "--json")
    weights = [token["weight"] for token in json.loads(out)["tokens"]]
    assert weights == pytest.approx([token["weight"] for token in prompt["tokens"]], rel=1e-3)


def test_prompts_from_a_file_and_broken_images(gair: Gair, folder: Path, tmp_path: Path) -> None:
    (folder / "red_thing" / "bad.jpg").write_bytes(b"hello")
    (tmp_path / "p.json").write_text('{"red_thing": ["one", "two"], "blue thing": "three"}')
    arguments = ("explain", "--learn", folder, "--epochs", "1", "--prompts", tmp_path / "p.json")
    code, out, err = gair(*arguments)
    assert code == 3
    assert [line.split("\t")[0] for line in out.splitlines()] == ["blue thing", "red thing", "red thing"]
    assert f"skipped {folder}/red_thing/bad.jpg: not an image" in err
    code, out, _ = gair(*arguments, "--json")
    assert code == 3
    assert json.loads(out)["skipped"][0]["path"] == str(folder / "red_thing" / "bad.jpg")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "give a PROMPT, or --learn"),
        (["x", "--learn", "."], 2, "give a PROMPT, or --learn"),
        (["x", "--save", "y"], 2, "go with --learn"),
        (["a (dog"], 1, "never closed"),
        (["--learn", "/no/such"], 1, "is no folder"),
        (["--learn", ".", "--prompts", "/no/such"], 1, "can't be read"),
        (["--learn", ".", "--learning-rate", "0"], 1, "positive learning rate"),
    ],
)
def test_errors(gair: Gair, args: list[str], code: int, said: str) -> None:
    ended, out, _ = gair("explain", *args, "--json")
    assert ended == code
    assert said in json.loads(out)["error"]["message"]


def test_ctrl_c_just_stops(gair: Gair, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "explain", press_ctrl_c)
    code, out, err = gair("explain", "--learn", folder)
    assert (code, out, err.endswith("error: stopped\n")) == (130, "", True)
