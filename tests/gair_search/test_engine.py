import threading
from pathlib import Path

import numpy as np
import pytest
from support.photos import encoded, make_photos, picture
from support.rest_server import rest_server

from gair_search import Engine, GairError
from gair_search.errors import (
    ConceptError,
    EmbedderMismatchError,
    FilterError,
    GalleryError,
    ImageError,
    PromptError,
)
from gair_search.query.terms import Image, Text
from gair_search.tokens.custom_token import CustomToken


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 6)
    return tmp_path / "photos"


@pytest.fixture
def engine(tmp_path: Path, photos: Path) -> Engine:
    opened = Engine.open(db=tmp_path / "gallery")
    opened.index(photos)
    return opened


def test_an_image_finds_itself_first_and_similar_leaves_it_out(engine: Engine, photos: Path) -> None:
    path = photos / "002.jpg"
    found = engine.gallery.search(engine.encoder.encode_files([path])[0], 1)[0]
    assert (found.path, round(found.score, 4)) == (str(path), 1.0)
    hits = engine.similar(path, 3)
    assert str(path) not in [hit.path for hit in hits]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_search_scores_are_cosine_similarities(engine: Engine) -> None:
    query = engine.compile("a (red:1.5) blob")
    hits = engine.search(query, 6)
    vectors = engine.gallery.vectors([hit.id for hit in hits])
    assert [hit.score for hit in hits] == pytest.approx(
        [vectors[h.id] @ query.vector for h in hits], abs=1e-5
    )
    assert [hit.path for hit in engine.search("a (red:1.5) blob", 6)] == [hit.path for hit in hits]
    assert len(engine.search("a blob", 6, where="path~003")) == 1
    assert engine.search("a blob", 6, min_score=0.999) == []


def test_similar_leaves_the_image_out_through_a_link_too(
    engine: Engine, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(photos)
    hits = engine.similar(tmp_path / "link" / "002.jpg", 6)
    assert str(photos / "002.jpg") not in [hit.path for hit in hits]
    assert len(hits) == 5


def test_a_slip_of_the_pen_leaves_no_gallery_behind(tmp_path: Path, photos: Path) -> None:
    for device, folder in (("toaster", photos), (None, tmp_path / "none")):
        with Engine.open(db=tmp_path / "new", device=device) as opened, pytest.raises(GairError):
            opened.index(folder)
    assert not (tmp_path / "new").exists()


def test_plus_and_minus_take_text_and_images(engine: Engine, photos: Path) -> None:
    image = photos / "004.jpg"
    assert engine.search("a blob", 1, plus=[Image(image, 50)])[0].path == str(image)
    assert engine.search("a blob", 6, minus=[Image(image, 50)])[-1].path == str(image)
    query = engine.compile("a dog", plus=[Text("a cat", 2)], minus=[Text("grass", 0.5)])
    dog, cat, grass = engine.encoder.encode_texts(["a dog", "a cat", "grass"])
    total = dog + 2 * cat - 0.5 * grass
    assert np.allclose(query.vector, total / np.linalg.norm(total), atol=1e-6)
    assert query.terms == ((1.0, "a dog"), (2.0, "a cat"), (-0.5, "grass"))
    with pytest.raises(PromptError, match="minus subtracts"):
        engine.compile("x", plus=[Text("y", -1)])
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        engine.compile("x", plus=[Image(Path("gone.jpg"))])


def test_custom_tokens_by_name_and_as_the_active_concept(engine: Engine) -> None:
    tower = engine.encoder.text_tower
    vectors = tower.token_table[tower.token_ids("dress")].numpy().copy()
    engine.tokens.save(CustomToken("my-dress", vectors, tower.table_hash))
    plain = engine.compile("a dress on grass").vector
    for prompt in ("a <my-dress> on grass", "a * on grass"):
        assert np.allclose(engine.compile(prompt).vector, plain, atol=1e-6)
    engine.tokens.save(CustomToken("other", vectors + 1, tower.table_hash))
    with pytest.raises(ConceptError, match="<my-dress>, <other>"):
        engine.compile("a *")
    assert np.allclose(engine.compile("a * on grass", concept="my-dress").vector, plain, atol=1e-6)


def test_bad_input_is_told(engine: Engine) -> None:
    for error, ask in (
        (PromptError, lambda: engine.search("a (dog")),
        (FilterError, lambda: engine.search("a dog", where="colour=red")),
        (ConceptError, lambda: engine.search("a <nothing>")),
        (ImageError, lambda: engine.similar("/no/such/image.jpg")),
        (GairError, lambda: engine.index("/no/such/folder")),
        (GairError, lambda: engine.search("a dog", k=-1)),
    ):
        with pytest.raises(error):
            ask()


def test_a_missing_gallery_is_told_and_a_search_makes_none(tmp_path: Path) -> None:
    with Engine.open(db=tmp_path / "none") as engine, pytest.raises(GalleryError, match="gair index"):
        engine.search("a dog")
    assert not (tmp_path / "none").exists()


def test_another_embedder_is_refused_and_the_gallerys_own_is_the_default(
    tmp_path: Path, engine: Engine, photos: Path
) -> None:
    import json
    import shutil

    folder = shutil.copytree(
        Path(engine.encoder.spec.architecture.removeprefix("local-dir:")), tmp_path / "m"
    )
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "squash"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    engine.close()
    other = f"local-dir:{folder}"
    with Engine.open(other, db=tmp_path / "gallery") as mismatched:
        assert mismatched.status()["fits"] is False
        for ask in (lambda: mismatched.search("x"), lambda: mismatched.index(photos)):
            with pytest.raises(EmbedderMismatchError) as caught:
                ask()
            assert "made with gair-mini" in str(caught.value)
            assert other in str(caught.value)
    with Engine.open(other, db=tmp_path / "second") as second:
        second.index(photos)
    with Engine.open(db=tmp_path / "second") as again:
        assert again.model == other
        assert again.status()["fits"] is True


def test_threads_may_search_one_engine(engine: Engine) -> None:
    prompts = ["a dog", "a (red:1.5) dress", "grass", "a photo of the sea"]
    expected = {p: [h.path for h in engine.search(p, 3)] for p in prompts}
    wrong: list[str] = []

    def ask(prompt: str) -> None:
        wrong.extend(
            prompt for _ in range(10) if [h.path for h in engine.search(prompt, 3)] != expected[prompt]
        )

    threads = [threading.Thread(target=ask, args=(p,)) for p in prompts * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_library_prints_nothing(tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Engine.open(db=tmp_path / "quiet") as engine:
        engine.index(photos)
        engine.search("a dog")
        engine.similar(photos / "000.jpg")
        engine.status()
    assert capfd.readouterr() == ("", "")


def test_the_same_code_serves_a_server(tmp_path: Path, photos: Path, engine: Engine) -> None:
    with rest_server() as server, Engine.open(url=server.url) as served:
        assert served.index(photos).embedded == 6
        (photos / "000.jpg").rename(photos / "moved.jpg")
        report = served.index(photos)
        assert (report.reused, report.moved, report.total) == (1, 1, 6)
        engine.index(photos)
        ours, theirs = engine.search("a dog", 6), served.search("a dog", 6)
        assert [h.path for h in ours] == [h.path for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)


def test_a_prompt_with_an_image_suffix_inside_text_is_text(engine: Engine, tmp_path: Path) -> None:
    """Only what ends like an image file is taken for one."""
    assert engine.compile("x", plus=["a jpg of a dog"]).terms[1] == (1.0, "a jpg of a dog")
    (tmp_path / "q.png").write_bytes(encoded(picture(9), "PNG"))
    assert engine.compile("x", plus=[str(tmp_path / "q.png")]).terms[1][1].endswith("q.png")


def test_explain_learns_without_a_gallery(tmp_path: Path) -> None:
    from gair_search.learning.stori import TokenWeightsConfig

    for first, name in enumerate(("cat", "dog")):
        make_photos(tmp_path / "classes" / name, 2, first=2 * first)
    with Engine.open("gair-mini", db=tmp_path / "none") as opened:
        report = opened.explain(tmp_path / "classes", {"cat": ["a cat"]}, preset=TokenWeightsConfig(epochs=1))
    assert [p[0].prompt for p in report.weights.prompts] == ["a cat", "a photo of a dog"]
    assert not (tmp_path / "none").exists()
