"""Models that galleries name: none is followed that the user did not choose."""

import shutil
from pathlib import Path

import pytest
from support.photos import make_photos
from support.strangers import tokenizer_by_flag

from gair_search import Engine
from gair_search.encoder import models, trust
from gair_search.errors import ModelError


@pytest.fixture
def gallery(folder: Path, tmp_path: Path) -> Path:
    """A gallery that was made with that model by someone else: on a machine with another home."""
    make_photos(tmp_path / "photos", 3)
    with Engine.open(f"local-dir:{folder}", db=tmp_path / "gallery") as engine:
        engine.index(tmp_path / "photos")
    trust._file().unlink()
    return tmp_path / "gallery"


def test_a_gallery_may_name_a_model_and_only_one_that_the_user_chose_is_followed(
    gallery: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"local-dir:{folder}"
    said = f"the gallery at .*gallery.* names the model {name}, which you have not used.*--model {name}"
    for _ in range(2):  # being refused is not choosing
        with pytest.raises(ModelError, match=said):
            Engine.open(db=gallery)
    with Engine.open("gair-mini", db=gallery) as other:
        assert other.model == "gair-mini"
    with pytest.raises(ModelError, match=said):
        Engine.open(db=gallery)
    monkeypatch.setenv("GAIR_MODEL", name)
    with Engine.open(db=gallery) as engine:
        assert engine.model == name
    monkeypatch.delenv("GAIR_MODEL")
    with Engine.open(db=gallery) as engine:  # chosen once
        assert engine.search("a dog", 1)
    for damaged in (b"", b"\xff\xfe", b"[]", b'{"models": 3}', b"[" * 100_000):
        trust._file().write_bytes(damaged)
        with pytest.raises(ModelError, match=said):
            Engine.open(db=gallery)
    Engine.open(name, db=gallery).close()
    with Engine.open(db=gallery) as engine:
        assert engine.model == name


def test_other_weights_at_a_chosen_place_are_not_followed(gallery: Path, folder: Path) -> None:
    name = f"local-dir:{folder}"
    Engine.open(name, db=gallery).close()
    with (folder / "open_clip_model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=f"have changed since you used it.*--model {name}"):
        Engine.open(db=gallery)
    shutil.rmtree(folder)  # nothing to follow: told as ever, by whoever searches
    with Engine.open(db=gallery) as engine:
        assert engine.status()["fits"] is False


def test_which_names_are_followed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "open_clip_model.safetensors"
    for name in ("gair-mini", "ViT-L-14/openai", "ViT-B-32/nonsense"):
        trust.require_chosen(name, "x")
    for name in (
        f"local-dir:{folder}",
        f"RN50:{weights}",
        "hf-hub:someone/model",
        "hf-hub:a/b/c",
        "local-dir:",
        "local-dir:\0",
        "local-dir:/" + "a" * 5000,
        ":",
    ):
        with pytest.raises(ModelError, match="not used"):
            trust.require_chosen(name, "x")
    trust.remember(models.resolve(f"RN50:{weights}"))
    trust.require_chosen(f"RN50:{weights}", "x")
    with pytest.raises(ModelError):
        trust.require_chosen(f"local-dir:{folder}", "x")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GAIR_MODEL", "local-dir:.")
    trust.require_chosen(f"local-dir:{folder}", "x")
    monkeypatch.setenv("GAIR_MODEL", "local-dir:/none")
    with pytest.raises(ModelError):
        trust.require_chosen(f"local-dir:{folder}", "x")


def test_choices_are_remembered_side_by_side_and_a_home_that_cant_be_written_is_no_fault(
    folder: Path, tiny_folder: Path, home: Path
) -> None:
    for own in (folder, tiny_folder):
        trust.remember(models.resolve(f"local-dir:{own}"))
    for own in (folder, tiny_folder):
        trust.require_chosen(f"local-dir:{own}", "x")
    shutil.rmtree(home)
    home.write_text("no folder")
    trust.remember(models.resolve(f"local-dir:{folder}"))


def test_a_gallery_of_a_stranger_runs_nothing_even_when_its_model_is_chosen(
    gallery: Path, folder: Path, marker: Path
) -> None:
    tokenizer_by_flag(folder, marker)
    with pytest.raises(ModelError, match="not used"):
        Engine.open(db=gallery)
    with pytest.raises(ModelError, match="trust_remote_code"):
        Engine.open(f"local-dir:{folder}", db=gallery)
    with Engine.open("gair-mini", db=gallery) as engine:
        assert engine.status()["fits"] is False
    assert not marker.exists()
