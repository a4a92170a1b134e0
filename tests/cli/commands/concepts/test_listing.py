"""`gair concepts list`, `use` and `rm`."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.cli import Gair

from gair_search.engine import Engine
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


def test_list_shows_what_there_is_and_marks_the_active_one(
    gair: Gair, stored: Callable[..., CustomToken]
) -> None:
    assert gair("concepts", "list")[1] == (
        "no custom tokens yet; learn one with: gair learn NAME PHOTO... --parent WORD; "
        "or bring one in with: gair concepts import FILE\n"
    )
    assert json.loads(gair("concepts", "list", "--json")[1]) == {"active": None, "concepts": []}
    stored("my-dress", 3)
    stored("b", parent="")
    TokenStore().path("broken").write_bytes(b"nonsense")
    code, out, _ = gair("concepts", "use", "my-dress")
    assert (code, out) == (0, "* now stands for <my-dress>\n")
    assert "concepts  <b>, <broken>, <my-dress> (active)\n" in gair("status", "--model", "gair-mini")[1]
    assert json.loads(gair("status", "--model", "gair-mini", "--json")[1])["active"] == "my-dress"
    code, out, err = gair("concepts", "list")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["name", "vectors", "parent", "model", "made"]
    assert ["*", "my-dress", "3", "dress", "gair-mini", "2026-01-02"] in rows
    assert ["b", "2", "-", "gair-mini", "2026-01-02"] in rows
    assert next(row for row in rows if row[0] == "broken")[3] == "damaged,"
    assert (code, err) == (0, "")
    assert gair("concepts")[1] == out
    answer = json.loads(gair("concepts", "list", "--json")[1])
    assert answer == json.loads(gair("concepts", "--json")[1])
    assert answer["active"] == "my-dress"
    by_name = {row["name"]: row for row in answer["concepts"]}
    assert (by_name["my-dress"]["active"], by_name["b"]["active"]) == (True, False)
    assert (by_name["b"]["n_vectors"], by_name["b"]["model"]) == (2, "gair-mini")
    assert "is no custom token" in by_name["broken"]["error"]


def test_use_decides_what_the_star_stands_for(
    gair: Gair, stored: Callable[..., CustomToken], tmp_path: Path
) -> None:
    stored("a")
    stored("bb")
    assert json.loads(gair("concepts", "use", "bb", "--json")[1]) == {"active": "bb"}
    with Engine.open("gair-mini", db=tmp_path / "db", device="cpu") as engine:
        star, named, other = (engine.compile(f"a {word} dress").vector for word in ("*", "<bb>", "<a>"))
    assert np.array_equal(star, named)
    assert not np.array_equal(star, other)


def test_rm_asks_and_refuses_unknown_names(
    gair: Gair, stored: Callable[..., CustomToken], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "red-dress"):
        stored(name)
    code, out, _ = gair("concepts", "rm", "a", "red-dres", "--yes", "--json")
    assert code == 1
    assert "did you mean <red-dress>" in json.loads(out)["error"]["message"]
    for extra in ([], ["--json"]):  # nobody is there to be asked
        code, out, err = gair("concepts", "rm", "a", *extra)
        assert code == 1
        assert "say --yes" in out + err
    assert TokenStore().names() == ["a", "b", "red-dress"]
    assert gair("concepts", "rm", "a", "a", "-y") == (0, "removed <a>\n", "")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, err = gair("concepts", "rm", "b")
    assert (code, out.strip()) == (1, "")
    assert "remove <b> for good?" in err
    assert "nothing removed" in err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert gair("concepts", "rm", "b")[0] == 0
    assert json.loads(gair("concepts", "rm", "red-dress", "--yes", "--json")[1]) == {"removed": ["red-dress"]}
    assert TokenStore().names() == []


@pytest.mark.parametrize("command", ["list", "show", "use", "rm", "import", "export"])
def test_every_command_has_help_and_json(gair: Gair, command: str) -> None:
    code, out, _ = gair("concepts", command, "--help")
    assert code == 0
    assert "--json" in out
    if command != "list":
        assert gair("concepts", command)[0] == 2
        answer = gair("concepts", command, "nothing", *["there.pt"] * (command == "export"), "--json")
        assert (answer[0], json.loads(answer[1])["error"]["type"]) == (1, "ConceptError")
