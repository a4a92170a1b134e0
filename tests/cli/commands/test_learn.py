"""`gair learn` as a user runs it: photos in, a concept out."""

import json
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from support.cli import Gair, press_ctrl_c

from gair_search.benchmarks.fashion_world import instance, render, scene
from gair_search.engine import Engine
from gair_search.learning.report import read_quality
from gair_search.tokens import facts
from gair_search.tokens.store import TokenStore


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`dress/`: five renderings of one dress; `others/`: eight of other things."""
    root = tmp_path_factory.mktemp("photos")
    dress = instance(1, "test", kind="dress")
    for folder in ("dress", "others", "vase"):
        (root / folder).mkdir()
    for i in range(5):
        render(scene(i, "test", item=dress), 96).save(root / "dress" / f"{i}.png")
        render(scene(i, "test", item=instance(2, "test", kind="vase")), 96).save(root / "vase" / f"{i}.png")
    for i in range(10, 18):
        render(scene(i, "test"), 96).save(root / "others" / f"{i}.png")
    return root


def test_learns_from_photos_and_a_gallery(gair: Gair, photos: Path, tmp_path: Path):
    db = ("--db", tmp_path / "db", "--model", "gair-mini")
    assert gair("index", photos / "others", *db)[0] == 0
    tuning = ("--method", "prompt-tuning", "--steps", "6", "--vectors", "2")
    code, out, _ = gair("learn", "my-dress", photos / "dress", "--parent", "dress", *tuning, *db, "--json")
    assert code == 0
    told = json.loads(out)
    token = TokenStore().get("my-dress")
    assert token.vectors.shape == (2, 256)
    assert token.parent == "dress"
    assert token.facts[facts.METHOD] == facts.PROMPT_TUNING
    assert len(facts.attributes(token)) == 100
    assert np.linalg.norm(facts.concept_features(token)) <= 1
    assert told["quality"] == read_quality(token)
    assert 0 <= told["quality"]["separation"] <= 1
    assert told["losses"][-1]["step"] == 6
    # the same command gives the same token, and does not replace one unasked
    code, out, _ = gair("learn", "my-dress", photos / "dress", "--parent", "dress", *tuning, *db, "--json")
    assert code == 1
    assert "there is a concept <my-dress>" in json.loads(out)["error"]["message"]
    assert (
        gair("learn", "my-dress", photos / "dress", "--parent", "dress", *tuning, *db, "--force", "--json")[0]
        == 0
    )
    assert np.array_equal(TokenStore().get("my-dress").vectors, token.vectors)
    code, out, _ = gair("query", "a photo of a <my-dress> dress", *db, "--json")
    assert code == 0
    assert len(json.loads(out)["hits"]) == 8
    code, out, _ = gair("concepts", "show", "my-dress")
    assert code == 0
    assert "AUC on 1 photo and 2 negatives that were left out" in out
    assert "composition" in out
    more = ("--all-photos", "--force")
    code, out, _ = gair("learn", "my-dress", photos / "dress", "--parent", "dress", *tuning, *db, *more)
    assert code == 0
    assert "2 vectors, 6 steps\n" in out
    assert "separation from the parent: not measured" in out


def test_a_folder_of_negatives_and_a_broken_photo(gair: Gair, photos: Path, tmp_path: Path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no more")
    args = (
        "--parent",
        "dress",
        "--negatives",
        photos / "others",
        "--method",
        "prompt-tuning",
        "--steps",
        "2",
    )
    code, out, _ = gair("learn", "d", photos / "dress", broken, *args, "--attributes", "red,old,worn")
    assert code == 3
    assert f"skipped {broken}" in out
    assert facts.attributes(TokenStore().get("d")) == ["red", "old", "worn"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["joint", "textual-inversion"])
def test_with_a_generator(gair: Gair, photos: Path, tiny_folder: Path, tmp_path: Path, method: str):
    model = f"local-dir:{tiny_folder}"
    args = (
        "--parent",
        "dress",
        "--negatives",
        "generated",
        "--method",
        method,
        "--steps",
        "2",
        "--vectors",
        "3",
    )
    code, _, err = gair("learn", "d", photos / "dress", *args, "--model", model)
    assert code == 0, err
    token = TokenStore().get("d")
    assert token.facts[facts.METHOD] == method.replace("-", " ")
    # what we wrote is diffusers' own format
    folder = tmp_path / "sd"
    assert gair("models", "export", model, folder)[0] == 0
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.load_textual_inversion(TokenStore().path("d"))
    assert {"<d>", "<d>_1", "<d>_2"} <= set(pipe.tokenizer.get_added_vocab())


def test_without_negatives_it_says_what_to_do(gair: Gair, photos: Path, tmp_path: Path):
    args = ("--parent", "dress", "--method", "prompt-tuning", "--db", tmp_path / "db", "--model", "gair-mini")
    code, _, err = gair("learn", "d", photos / "dress", *args)
    assert code == 1
    assert "0 negative images" in err
    assert "--negatives FOLDER" in err
    assert TokenStore().names() == []


def test_bad_input(gair: Gair, photos: Path, tmp_path: Path):
    model = ("--model", "gair-mini")
    assert gair("learn", "d", *model)[0] == 2
    assert gair("learn", "d", photos / "dress", *model)[0] == 2
    assert gair("learn", *model)[0] == 2
    code, _, err = gair("learn", "no name", photos / "dress", "--parent", "dress", *model)
    assert code == 1
    assert "is no name for a concept" in err
    code, _, err = gair("learn", "d", tmp_path / "gone.jpg", "--parent", "dress", *model)
    assert code == 1
    assert "gone.jpg is not there" in err
    (tmp_path / "empty").mkdir()
    code, _, err = gair(
        "learn", "d", tmp_path / "empty", "--parent", "dress", "--method", "prompt-tuning", *model
    )
    assert code == 1
    assert "no photo to learn from" in err
    code, _, err = gair("learn", "d", photos / "dress", "--parent", "dress", "--attributes", "red", *model)
    assert code == 1
    assert "two or more" in err


def test_several_together(gair: Gair, photos: Path, tmp_path: Path):
    both = tmp_path / "both"
    both.mkdir()
    for name in ("dress", "vase"):
        (both / name).symlink_to(photos / name)
    tuning = ("--method", "prompt-tuning", "--steps", "20", "--vectors", "1", "--model", "gair-mini")
    code, out, _ = gair("learn", "--multi", both, *tuning, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["concepts"] == ["dress", "vase"]
    assert told["accuracy"] == 1  # of two photos, one of each
    assert TokenStore().names() == ["dress", "vase"]
    assert gair("learn", "--multi", both, *tuning)[0] == 1  # they are there
    assert gair("learn", "--multi", photos / "dress", *tuning)[0] == 1  # no folders in it


def test_ctrl_c_before_anything_is_learned(gair: Gair, photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Engine, "learn", press_ctrl_c)
    monkeypatch.setattr(Engine, "learn_together", press_ctrl_c)
    for args in (("d", photos / "dress", "--parent", "dress"), ("--multi", photos)):
        code, out, err = gair("learn", *args, "--model", "gair-mini")
        assert (code, out) == (130, "")
        assert err.endswith("error: stopped; nothing was learned yet, and nothing is kept\n")
        assert "goes on" not in err
