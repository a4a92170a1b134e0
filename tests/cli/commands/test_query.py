"""`gair query`: words into hits, plainly and by GAIR."""

import io
import json
import sys
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c

from gair_search.engine import Engine

PROMPT = "a <my-dress> on (grass:1.5)"
QUICK = ("--steps", "2", "--scheduler", "ddim", "--seed", "0")


def test_a_prompt_finds_hits(gair: Gair, indexed: Path, home: Path) -> None:
    code, out, _ = gair("query", "a (red:1.5) blob", "-k", "3", "--json")
    answer = json.loads(out)
    assert list(answer) == ["prompt", "model", "gallery", "hits"]
    assert (answer["prompt"], answer["model"]) == ("a (red:1.5) blob", "gair-mini")
    assert answer["gallery"] == str(home / "galleries" / "photos")
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    assert {"rank", "score", "path", "width", "height", "size", "taken_at", "content_hash"} <= set(
        answer["hits"][0]
    )
    code, out, _ = gair("query", "a blob")
    assert code == 0
    assert out.count(".jpg") == 5


def test_a_pipe_gets_plain_lines(gair: Gair, photos: Path) -> None:
    odd = photos / (":cat:" * 20 + ".jpg")
    (photos / "000.jpg").rename(odd)
    gair("index", photos)
    rows = [line.split("\t") for line in gair("query", "a blob")[1].splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert str(odd) in [row[2] for row in rows]


def test_explain_shows_the_parse(gair: Gair, indexed: Path) -> None:
    _, out, _ = gair("query", "a (red dress:1.5)", "--explain", "--plus", "2:grass")
    rows = [line.split() for line in out.splitlines()]
    assert ["red", "1.50", "red", "dress"] in rows
    assert "+2.00 x grass" in out
    _, out, _ = gair("query", "a (red dress:1.5)", "--explain", "--json")
    tokens = json.loads(out)["explanation"]["tokens"]
    assert [(t["text"], t["weight"]) for t in tokens] == [("a", 1.0), ("red", 1.5), ("dress", 1.5)]


def test_prompts_from_a_file_and_from_standard_input(
    gair: Gair, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    (tmp_path / "q.txt").write_text("a (red) blob\n")
    assert json.loads(gair("query", f"@{tmp_path}/q.txt", "--json")[1])["prompt"] == "a (red) blob"
    monkeypatch.setattr(sys, "stdin", io.StringIO("from stdin\n"))
    assert json.loads(gair("query", "-", "--json")[1])["prompt"] == "from stdin"
    code, _, err = gair("query", "@/no/such/file")
    assert code == 1
    assert "can't be read from @/no/such/file" in err


def test_the_page_is_self_contained_and_escapes(gair: Gair, photos: Path, tmp_path: Path) -> None:
    (photos / "<b>&.jpg").write_bytes((photos / "000.jpg").read_bytes())
    gair("index", photos)
    page = tmp_path / "page.html"
    code, _, _ = gair("query", r"a (red:1.5) \<script\> [old]", "--html", page)
    assert code == 0
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 6
    assert '<mark class="up"' in html
    assert '<mark class="down"' in html
    assert "<script" not in html
    assert "&lt;b&gt;&amp;.jpg" in html
    assert "http://" not in html
    assert "https://" not in html
    (photos / "000.jpg").unlink()
    gair("similar", photos / "001.jpg", "--html", page)
    assert "file can&#39;t be read" in page.read_text() or "file can't be read" in page.read_text()
    for place in ("/proc/nothing/page.html", tmp_path / "no" / "page.html", tmp_path, "."):
        code, _, err = gair("query", "x", "--html", place)
        assert code == 1
        assert "can't be written" in err


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


def test_where_gair_cant_be_auto_searches_plainly(gair: Gair, ready: None, tmp_path: Path) -> None:
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


def test_slips_are_said_before_anything_is_drawn(gair: Gair, ready: None, tmp_path: Path) -> None:
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


def test_ctrl_c_just_stops(gair: Gair, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "check", press_ctrl_c)
    code, out, err = gair("query", "a blob")
    assert (code, out) == (130, "")
    assert err.endswith("error: stopped\n")
    answer = json.loads(gair("query", "a blob", "--json")[1])
    assert answer == {"error": {"type": "Interrupted", "message": "stopped"}}
