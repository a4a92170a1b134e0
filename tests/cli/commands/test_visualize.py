import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.generator import tiny_model, tiny_token
from support.photos import make_photos
from support.points import point

from gair_search.cli.pages import grid, hits
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.engine import Engine
from gair_search.errors import GairError
from gair_search.gair.result import Candidate, GairResult
from gair_search.gallery import GalleryConfig, Hit
from gair_search.generation.generator import Sampling
from gair_search.query.compiler import Query, Token
from gair_search.tokens.facts import METHOD, PROMPT_TUNING
from gair_search.tokens.store import TokenStore

Gair = Callable[..., tuple[int, str, str]]
PROMPT = "a <my-dress> on (grass:1.5)"
QUICK = ("--steps", "2", "--scheduler", "ddim", "--seed", "0")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return Encoder(resolve(f"local-dir:{folder}"), "cpu")


@pytest.fixture
def ready(model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model is the default, with one concept, and a gallery of four photos at random vectors."""
    monkeypatch.setenv("GAIR_MODEL", model.spec.name)
    TokenStore().save(tiny_token(model))
    rng = np.random.default_rng(0)
    with Engine.open() as engine:
        engine.gallery.create(model.spec.embedder_id, GalleryConfig())
        engine.gallery.upsert(
            [
                point(i, rng.normal(size=16).tolist(), path=str(path), width=96, height=64)
                for i, path in enumerate(make_photos(tmp_path / "photos", 4))
            ]
        )


def seen(selected: float = 0.5, *, excluded: bool = False, seeds: int = 2) -> GairResult:
    """A result as GAIR gives it, of plain colours."""
    candidates = []
    for w in (0.0, 0.5, 1.0):
        images = np.full((seeds, 16, 16, 3), round(200 * w), np.uint8)
        gone = excluded and w == 1.0
        scores = (None, None) if gone else (w, 1 - w)
        candidates.append(Candidate(w, images, *scores, seeds if gone else 0))
    query = Query(PROMPT, np.zeros(3, np.float32), (Token("a", 1.0, 0, 1),), ((1.0, PROMPT),), selected)
    return GairResult(
        selected,
        False,
        tuple(candidates),
        query,
        "my-dress",
        ("red", "<b>old"),
        np.zeros(3, np.float32),
        np.zeros(3, np.float32),
        Sampling("ddim", 2),
        tuple(range(seeds)),
        18,
        0,
        ("mind the <gap>",),
    )


def test_the_grid_shows_each_image_and_frames_the_selected_column() -> None:
    result = seen(0.5)
    pixels = np.asarray(grid.draw_grid(result)).astype(int)
    side, pad = grid.SIDE, 14
    top = 2 * pad + 18
    mark = np.array([0xD6, 0x5C, 0x24])
    for column, candidate in enumerate(result.candidates):
        left = pad + column * (side + pad)
        for row in range(2):
            cell = pixels[top + row * (side + pad) :, left : left + side][:side]
            assert (cell[5:-5, 5:-5] == candidate.images[row, 0, 0]).all()
        framed = (pixels[top + 20, left - 5 : left] == mark).all(1).any()
        assert framed == (candidate.mixing_weight == 0.5)
    plain = np.asarray(grid.draw_grid(seen(1.0))).astype(int)
    assert not (plain[top + 20, pad + side + 2 : pad + side + 10] == mark).all(1).any()


def test_grids_are_written_by_their_suffix(tmp_path: Path) -> None:
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("new/c.webp", "WEBP")):
        grid.write_grid(tmp_path / name, seen(excluded=True))
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    with pytest.raises(GairError, match=r'"\.txt" is no suffix of a picture; expected \.png'):
        grid.write_grid(tmp_path / "a.txt", seen())
    (tmp_path / "file").write_text("x")
    with pytest.raises(GairError, match="can't be written"):
        grid.write_grid(tmp_path / "file" / "a.png", seen())


def test_the_page_shows_what_gair_saw_and_escapes_it(tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path, 1)
    hit = Hit(1, 0.5, str(photo), "1", {"path": str(photo), "width": 96, "height": 64})
    result, file = seen(excluded=True), tmp_path / "page.html"
    hits.write_hits(file, [hit], "tiny", "here", query=result.query, result=result)
    html = file.read_text()
    assert html.count("data:image/jpeg;base64,") == 3 * 2 + 1
    assert html.count('class="selected"') == 1
    assert html.index("w = 0.5") < html.index("selected</div>") < html.index("w = 1<")
    assert html.count("<dt>object</dt>") == html.count("<dt>context</dt>") == 2
    assert "2 of 2 blank" in html
    assert "mind the &lt;gap&gt;" in html
    assert "&lt;b&gt;old" in html
    assert "<b>old" not in html
    hits.write_hits(file, [hit], "tiny", "here", query=result.query, note="searched without GAIR")
    html = file.read_text()
    assert "What the query looks like" not in html
    assert '<p class="note">searched without GAIR</p>' in html


def test_query_with_gair_searches_with_what_it_selects(gair: Gair, ready: None, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    code, out, err = gair("query", PROMPT, "--gair", *QUICK[:4], "--seeds", "0,1", "--html", file, "--json")
    assert (code, "error" in err) == (0, False)
    answer = json.loads(out)
    scores = {one["mixing_weight"]: one["score"] for one in answer["candidates"]}
    assert {0.0, 0.6, 0.8, 1.0} <= set(scores)
    assert [one["mixing_weight"] for one in answer["candidates"] if one["context_only"]] == [0.0]
    assert scores[answer["selected_weight"]] == max(score for w, score in scores.items() if w)
    for one in answer["candidates"]:
        assert one["score"] == min(one["object_score"], one["context_score"])
    assert answer["seeds"] == [0, 1]
    assert answer["sampling"]["steps"] == 2
    assert len(answer["hits"]) == 4
    html = file.read_text()
    assert html.count("data:image/jpeg;base64,") == 2 * len(scores) + 4
    assert "http://" not in html
    # the same weight by hand gives the same hits, and draws nothing
    by_hand = json.loads(gair("query", PROMPT, "--mixing-weight", answer["selected_weight"], "--json")[1])
    assert by_hand["selected_weight"] == answer["selected_weight"]
    assert "candidates" not in by_hand
    assert [hit["path"] for hit in by_hand["hits"]] == [hit["path"] for hit in answer["hits"]]
    code, out, err = gair("query", PROMPT, "--gair", *QUICK, "--candidates", "0,0.5,1")
    assert out.count(".jpg") == 4
    assert [line.split()[-5] for line in err.splitlines() if "object" in line] == ["0", "0.5", "1"]
    assert sum(line.startswith("->") for line in err.splitlines()) == 1


def test_where_gair_cant_be_auto_searches_plainly(
    gair: Gair, ready: None, tmp_path: Path, model: Encoder
) -> None:
    code, out, err = gair("query", "a dress", "--gair")
    assert (code, out) == (1, "")
    assert "GAIR mixes a concept with its attributes, and the prompt has none" in err
    plain = json.loads(gair("query", "a dress", "--json")[1])["hits"]
    answer = json.loads(gair("query", "a dress", "--gair=auto", "--json", "--html", tmp_path / "p.html")[1])
    assert answer["hits"] == plain
    assert answer["selected_weight"] is None
    assert answer["warnings"][0].startswith("searched without GAIR: GAIR mixes a concept")
    assert "searched without GAIR" in (tmp_path / "p.html").read_text()
    code, out, err = gair("query", PROMPT, "--gair=auto", "--generator", "/no/such/folder")
    assert (code, out.count(".jpg")) == (0, 4)
    assert "note: searched without GAIR: there is no generator /no/such/folder" in err


def test_visualize_draws_the_grid(gair: Gair, ready: None, tmp_path: Path, model: Encoder) -> None:
    TokenStore().save(tiny_token(model, "tuned", **{METHOD: PROMPT_TUNING}))
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


def test_slips_are_told_before_anything_is_drawn(gair: Gair, ready: None, tmp_path: Path) -> None:
    for code, said, args in (
        (2, "--gair=maybe", ("query", PROMPT, "--gair=maybe")),
        (2, "--steps says how images are drawn", ("query", PROMPT, "--steps", "3")),
        (2, "--mixing-weight", ("query", PROMPT, "--mixing-weight", "1.5")),
        (1, "mixing weight 2.0: expected 0", ("query", PROMPT, "--gair", "--candidates", "0,2")),
        (1, '"0;1" can\'t be read as numbers', ("query", PROMPT, "--gair", "--seeds", "0;1")),
        (1, "and not both", ("query", PROMPT, "--gair", "--mixing-weight", "0.5", "--candidates", "0")),
        (1, "colour", ("query", PROMPT, "--gair", "--where", "colour=red")),
        (1, "no suffix of a picture", ("visualize", PROMPT, "-o", tmp_path / "grid.txt")),
        (1, "expected one of ddim", ("visualize", PROMPT, "-o", tmp_path / "g.png", "--scheduler", "euler")),
    ):
        got, out, err = gair(*args)
        assert got == code, (args, err)
        assert said in err
        assert out == ""
    assert not list(tmp_path.glob("g*.png"))
