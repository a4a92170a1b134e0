"""Fixture: the `gair` command in this process."""

import sys
from collections.abc import Callable

import pytest

from gair_search.cli import app

Gair = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gair(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gair:
    """Runs the command in this process: (exit code, standard output, standard error)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gair", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        code = ended.value.code
        assert isinstance(code, int)
        return (code, *capsys.readouterr())

    return run
