import importlib.util
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest
from support.photos import make_photos

from gair_search import Engine

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_search_backend_answers_many_at_once(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 6)
    with Engine.open(db=tmp_path / "gallery") as engine:
        engine.index(tmp_path / "photos")
        server = load("search_backend").make_server(engine, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(**query: object) -> dict:
            url = f"http://127.0.0.1:{server.server_port}/search?{urllib.parse.urlencode(query)}"
            return json.load(urllib.request.urlopen(url))

        answers: list[dict] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(q="a (red:1.5) blob", k=3))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert all(answer == answers[0] for answer in answers)
        assert [hit["rank"] for hit in answers[0]["hits"]] == [1, 2, 3]
        assert len(ask(q="a blob", where="path~003")["hits"]) == 1
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            ask(q="a (dog")
        assert "never closed" in json.load(refused.value)["error"]
        server.shutdown()
        server.server_close()


def test_the_demos_photos_are_there_to_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {path.name for path in load("demo").sample_photos().iterdir()}
    assert {"chelsea.png", "coffee.png", "flower.jpg"} <= names


def test_a_stranger_s_catalogue_is_searched_in_ten_lines() -> None:
    """From gair-search's import to the first hit, as the example has it."""
    lines = (EXAMPLES / "attach.py").read_text("utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.strip().startswith("from gair_search import"))
    end = next(i for i, line in enumerate(lines) if i > begin and "engine.search(" in line)
    assert len([line for line in lines[begin : end + 1] if line.strip()]) <= 10


@pytest.mark.slow
def test_the_catalogue_s_concept_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Products 0 to 7 are the dress in eight places; it is learned from three of them."""
    load("attach").main()
    weighted, learned = capsys.readouterr().out.split("<my-dress> in the snow\n")
    assert weighted.count("product ") == 3
    found = [int(line.split("product ")[1].split(",")[0]) for line in learned.splitlines()]
    assert len(found) == 3
    assert set(found) <= set(range(8))
