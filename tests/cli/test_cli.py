import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.photos import make_photos
from support.rest_server import rest_server

from gair_search.cli import output
from gair_search.images.folders import Skipped

Gair = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 5)
    return tmp_path / "photos"


def test_index_then_query_then_similar_then_status(gair: Gair, photos: Path, home: Path) -> None:
    code, out, err = gair("index", photos)
    assert code == 0
    assert "5 images found: 5 embedded" in out
    assert "model: gair-mini (bundled)" in err
    assert "gair models pull ViT-L-14/openai" in err
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
    code, out, _ = gair("similar", photos / "000.jpg", "--json", "-k", "2")
    assert str(photos / "000.jpg") not in [hit["path"] for hit in json.loads(out)["hits"]]
    code, out, _ = gair("status", "--json")
    assert (json.loads(out)["images"], json.loads(out)["fits"]) == (5, True)
    code, out, _ = gair("status")
    assert "5 images" in out
    assert "made with gair-mini, 640 dimensions" in out


def test_a_pipe_gets_plain_lines(gair: Gair, photos: Path) -> None:
    odd = photos / (":cat:" * 20 + ".jpg")
    (photos / "000.jpg").rename(odd)
    gair("index", photos)
    rows = [line.split("\t") for line in gair("query", "a blob")[1].splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert str(odd) in [row[2] for row in rows]


def test_skipped_files_make_exit_code_3(gair: Gair, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"hello")
    code, out, _ = gair("index", photos)
    assert code == 3
    assert f"skipped {photos / 'bad.jpg'}: not an image" in out
    code, out, _ = gair("index", photos, "--json")
    assert code == 3
    report = json.loads(out)
    assert (report["found"], report["unchanged"]) == (6, 5)
    assert report["skipped"][0]["path"] == str(photos / "bad.jpg")


def test_explain_shows_the_parse(gair: Gair, photos: Path) -> None:
    gair("index", photos)
    _, out, _ = gair("query", "a (red dress:1.5)", "--explain", "--plus", "2:grass")
    rows = [line.split() for line in out.splitlines()]
    assert ["red", "1.50", "red", "dress"] in rows
    assert "+2.00 x grass" in out
    _, out, _ = gair("query", "a (red dress:1.5)", "--explain", "--json")
    tokens = json.loads(out)["explanation"]["tokens"]
    assert [(t["text"], t["weight"]) for t in tokens] == [("a", 1.0), ("red", 1.5), ("dress", 1.5)]


def test_prompts_from_a_file_and_from_standard_input(
    gair: Gair, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    gair("index", photos)
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


@pytest.mark.parametrize(
    ("args", "code", "kind", "said"),
    [
        (["query", "a (dog"], 1, "PromptError", "never closed"),
        (["query", "a <nothing>"], 1, "ConceptError", "unknown concept"),
        (["query", "a dog", "--where", "x=1"], 1, "FilterError", "no field x"),
        (["query", "a dog", "--gallery", "none"], 1, "GalleryError", "gair index FOLDER"),
        (["query", "a dog", "--model", "nonsense"], 1, "ModelError", "no architecture"),
        (["query", "a dog", "--device", "toaster"], 1, "ModelError", "--device cpu"),
        (["query", "a dog", "--url", "http://127.0.0.1:9"], 1, "GalleryError", "could not be reached"),
        (["query", "a dog", "-k", "0"], 2, "UsageError", "-k"),
        (["query", "a dog", "--nonsense"], 2, "UsageError", "--nonsense"),
        (["query"], 2, "UsageError", "PROMPT"),
        (["index", "/no/such/folder"], 1, "GairError", "does not exist"),
        (["similar", "/no/such/image.jpg"], 1, "ImageError", "No such file"),
        (["similar", "x.jpg", "--gallery", "none"], 1, "GalleryError", "gair index FOLDER"),
        (["models", "pull", "ViT-B-32/nonsense"], 1, "ModelError", "is no model"),
    ],
)
def test_errors_for_people_and_for_programs(
    gair: Gair, photos: Path, args: list[str], code: int, kind: str, said: str
) -> None:
    gair("index", photos)
    ended, out, err = gair(*args, "--json")
    answer = json.loads(out)
    assert (ended, answer["error"]["type"]) == (code, kind)
    assert said in answer["error"]["message"]
    ended, out, err = gair(*args)
    assert ended == code
    assert said in err
    assert "Traceback" not in err


def test_the_api_key_never_appears(gair: Gair, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIR_API_KEY", "very-secret")
    with rest_server(api_key="another") as server:
        for args in (["query", "x"], ["index", photos], ["status"]):
            for extra in ([], ["--json"]):
                code, out, err = gair(*args, "--url", server.url, *extra)
                assert code == 1
                assert "very-secret" not in out + err
                assert "GAIR_API_KEY" in out + err
        server.api_key = "very-secret"
        monkeypatch.setenv("GAIR_URL", server.url)
        code, out, err = gair("index", photos)
        assert code == 0
        assert f"{server.url} (photos) holds 5 images" in out
        assert "very-secret" not in out + err


def test_an_interruption_says_how_to_go_on(photos: Path, home: Path) -> None:
    """Ctrl-C in a real process, while it indexes with workers."""
    make_photos(photos, 600)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "gair"), "index", str(photos), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GAIR_HOME": str(home)},
        start_new_session=True,
        # a shell's background jobs, and so perhaps this one, are born deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    made = home / "galleries" / "photos" / "gair.json"
    deadline = time.monotonic() + 60
    while not made.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on from there" in err
    assert "Traceback" not in err


def test_models_lists_and_marks_the_default(gair: Gair) -> None:
    code, out, _ = gair("models")
    assert code == 0
    assert "ViT-L-14/openai" in out
    assert out.count("<- default") == 1
    rows = json.loads(gair("models", "--json")[1])["models"]
    assert {"name": "gair-mini", "state": "bundled", "default": True} in rows


def test_models_export_writes_a_folder_for_diffusers(gair: Gair, tmp_path: Path) -> None:
    from support.generator import tiny_model

    name, target = f"local-dir:{tiny_model(tmp_path / 'model')}", tmp_path / "out" / "pipe"
    code, out, err = gair("models", "export", name, target)
    assert (code, err) == (0, "")
    assert str(target) in out
    assert "StableDiffusionPipeline.from_pretrained" in out
    assert {"model_index.json", "text_encoder", "tokenizer", "unet"} <= {p.name for p in target.iterdir()}
    code, out, _ = gair("models", "export", name, tmp_path / "other", "--json")
    assert (code, json.loads(out)) == (0, {"model": name, "folder": str(tmp_path / "other")})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    code, out, _ = gair("models", "export", name, tmp_path / "mine", "--json")
    assert (code, json.loads(out)["error"]["type"]) == (1, "ModelError")
    assert "not this pipeline's folder" in json.loads(out)["error"]["message"]
    shutil.rmtree(tmp_path / "model" / "generator")
    code, _, err = gair("models", "export", name, tmp_path / "third")
    assert code == 1
    assert "has no generator" in err
    assert gair("models", "export", name)[0] == 2


def test_version_and_help(gair: Gair) -> None:
    assert gair("--version")[1] == "gair-search 0.1.0\n"
    code, out, _ = gair("--help")
    assert code == 0
    for command in ("index", "query", "similar", "status", "models", "concepts"):
        assert command in out
        assert gair(command, "--help")[0] == 0


def test_many_skipped_files_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_skipped([Skipped(f"{i}.jpg", "broken") for i in range(22)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  skipped 0.jpg: broken"
    assert lines[20:] == ["  and 2 more; --json lists them all"]
