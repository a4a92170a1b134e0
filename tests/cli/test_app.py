"""The commands together: errors for people and for programs, secrets, help."""

import json
from pathlib import Path

import pytest
from support.cli import Gair
from support.rest_server import rest_server


@pytest.mark.parametrize(
    ("args", "code", "kind", "said"),
    [
        (["query", "a (dog"], 1, "PromptError", "never closed"),
        (["query", "a <nothing>"], 1, "ConceptError", "unknown concept"),
        (["query", "a dog", "--where", "x=1"], 1, "FilterError", "no field x"),
        (["query", "a dog", "--gallery", "none"], 1, "GalleryError", "gair index FOLDER"),
        (["query", "a dog", "--model", "nonsense"], 1, "ModelError", "no architecture"),
        (["query", "a dog", "--device", "toaster"], 1, "ModelError", "--device cpu"),
        pytest.param(
            ["query", "a dog", "--url", "http://127.0.0.1:9"],
            1,
            "GalleryError",
            "could not be reached",
            marks=pytest.mark.slow,
        ),
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
    gair: Gair, indexed: Path, args: list[str], code: int, kind: str, said: str
) -> None:
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


def test_version_and_help(gair: Gair) -> None:
    assert gair("--version")[1] == "gair-search 0.1.0\n"
    code, out, _ = gair("--help")
    assert code == 0
    for command in ("index", "query", "similar", "status", "models", "concepts"):
        assert command in out
        assert gair(command, "--help")[0] == 0
