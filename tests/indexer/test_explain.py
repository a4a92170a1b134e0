import json
from pathlib import Path

import numpy as np
import pytest
from support.photos import dreambooth, make_photos

from gair_search.benchmarks.fashion_world import instance, render, scene
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError, PromptError
from gair_search.images.reading import load_pixels
from gair_search.indexer.explain import class_name, explain_folder, read_prompts
from gair_search.learning.stori import TokenWeightsConfig
from gair_search.learning.token_weights import TokenWeights

QUICK = TokenWeightsConfig(epochs=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Dresses in two colours, three pictures a class."""
    for color in ("red", "blue"):
        own = tmp_path / "classes" / f"{color}_dress"
        own.mkdir(parents=True)
        for s in range(3):
            item = instance(s, "test", color=color, pattern="plain", kind="dress")
            render(scene(s, "test", item=item), 128).convert("RGB").save(own / f"{s}.png")
    return tmp_path / "classes"


def test_a_folder_a_class_becomes_weights(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    images: list[tuple[int, int]] = []
    epochs: list[tuple[int, str]] = []
    report = explain_folder(
        folder,
        encoder,
        preset=QUICK,
        on_progress=lambda done, total, note="": images.append((done, total)),
        on_epoch=lambda done, total, note: epochs.append((done, note)),
    )
    assert report.weights.classes == ("blue dress", "red dress")
    assert [p[0].prompt for p in report.weights.prompts] == [
        "a photo of a blue dress",
        "a photo of a red dress",
    ]
    assert report.images["red dress"] == [str(folder / "red_dress" / f"{s}.png") for s in range(3)]
    assert (images, epochs) == (
        [(i, 6) for i in range(1, 7)],
        [(i, f"loss {loss:.4f}") for i, loss in enumerate(report.losses, start=1)],
    )
    assert len(epochs) == 3
    assert report.accuracy == 1
    assert report.weights.embedder == str(encoder.embedder_id)
    (tmp_path / "report.json").write_text(json.dumps(report.to_json()))
    loaded = TokenWeights.load(tmp_path / "report.json", encoder.text_tower)
    assert np.array_equal(loaded.classifier, report.weights.classifier)
    assert loaded.facts["epochs"] == 3


def test_prompts_of_ones_own_and_templates(encoder: Encoder, folder: Path) -> None:
    report = explain_folder(
        folder,
        encoder,
        {"red_dress": ["something red", "a gown"]},
        templates=["one {}", "two {}"],
        preset=QUICK,
    )
    blue, red = report.weights.prompts
    assert [p.prompt for p in blue] == ["one blue dress", "two blue dress"]
    assert [p.prompt for p in red] == ["something red", "a gown"]


def test_broken_images_are_told_and_skipped(encoder: Encoder, folder: Path) -> None:
    (folder / "red_dress" / "bad.jpg").write_bytes(b"hello")
    (folder / "loose.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("not an image, not missed")
    (folder / "empty").mkdir()
    (folder / "hats").mkdir()
    (folder / "hats" / "bad.png").write_bytes(b"")
    report = explain_folder(folder, encoder, preset=QUICK)
    assert report.weights.classes == ("blue dress", "red dress")
    reasons = {Path(s.path).name: s.reason for s in report.skipped}
    assert list(reasons) == ["empty", "loose.jpg", "bad.png", "bad.jpg", "hats"]
    assert "no image is in it" in reasons["empty"]
    assert "no folder of a class" in reasons["loose.jpg"]
    assert "class is left out" in reasons["hats"]
    assert len(report.images["red dress"]) == 3


@pytest.mark.parametrize(
    ("prompts", "templates", "said"),
    [
        ({"red dres": ["x"]}, ["{}"], 'prompts for "red dres", .* did you mean red dress'),
        ({}, ["a photo"], 'template "a photo": expected {}'),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    encoder: Encoder, folder: Path, prompts: dict, templates: list[str], said: str
) -> None:
    with pytest.raises(GairError, match=said):
        explain_folder(folder, encoder, prompts, templates=templates)
    with pytest.raises(PromptError, match="takes 75"):
        explain_folder(folder, encoder, {"red dress": ["word " * 76]})


def test_folders_that_hold_no_classes_are_refused(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "none", folder / "red_dress" / "0.png"):
        with pytest.raises(GairError, match="is no folder"):
            explain_folder(place, encoder)
    with pytest.raises(GairError, match="holds 0 folders with images"):
        explain_folder(folder / "red_dress", encoder)
    make_photos(folder / "red-dress", 1)
    with pytest.raises(GairError, match='two folders for the class "red dress"'):
        explain_folder(folder, encoder)


def test_all_images_broken_is_an_error(encoder: Encoder, folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(GairError, match=r"none of 6 images can be read; the first: the file is empty"):
        explain_folder(folder, encoder)


def test_class_names() -> None:
    assert [class_name(n) for n in ("pink_sunglasses", "t-shirt", "a__b", "_")] == [
        "pink sunglasses",
        "t shirt",
        "a b",
        "_",
    ]


def test_prompts_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    file.write_text('{"dress": ["a", "b"], "hat": "c"}')
    assert read_prompts(file) == {"dress": ["a", "b"], "hat": ["c"]}
    for bad in ("[]", "{}", '{"a": []}', '{"a": [1]}', '{"a": 1}', "no json"):
        file.write_text(bad)
        with pytest.raises(GairError, match=r"expected prompts by class|is no JSON"):
            read_prompts(file)
    with pytest.raises(GairError, match="can't be read"):
        read_prompts(tmp_path / "none.json")


def test_real_photos(encoder: Encoder, tmp_path: Path) -> None:
    """Four subjects of the DreamBooth photos, two photos each to learn from, the others to judge by."""
    subjects = ("berry_bowl", "colorful_sneaker", "fancy_boot", "pink_sunglasses")
    for subject in subjects:
        paths = sorted((dreambooth() / subject).glob("*.jpg"))
        for part, own in (("learn", paths[:2]), ("test", paths[2:])):
            (tmp_path / part / subject).mkdir(parents=True)
            for path in own:
                (tmp_path / part / subject / path.name).symlink_to(path)
    report = explain_folder(tmp_path / "learn", encoder, preset=TokenWeightsConfig(epochs=20))
    assert report.losses[-1] < report.losses[0]
    assert report.accuracy >= report.accuracy_before
    held_out = sorted((tmp_path / "test").glob("*/*.jpg"))
    pixels = np.stack([load_pixels(path, encoder.preprocessing) for path in held_out])
    named = [report.weights.classes[i] for i in report.weights.classify(encoder.encode_pixels(pixels))]
    rightly = np.mean([name == class_name(p.parent.name) for name, p in zip(named, held_out, strict=True)])
    assert rightly > 0.5  # chance is 0.25
