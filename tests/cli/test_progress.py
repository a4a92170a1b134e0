"""Bars on a real terminal's end, and none in a pipe."""

import os
import pty
import sys
import termios
from collections.abc import Iterator
from io import StringIO

import pytest

from gair_search.cli.progress import progress_bar


class Terminal:
    """Standard error on a pseudo terminal, and what a person there has seen."""

    def __init__(self) -> None:
        self.reader, writer = pty.openpty()
        termios.tcsetwinsize(writer, (24, 80))
        self.stream = os.fdopen(writer, "w")

    def seen(self) -> str:
        """Everything since the last look; closes nothing."""
        self.stream.flush()
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1 << 20).decode()
        except BlockingIOError:
            return ""


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    opened = Terminal()
    monkeypatch.setattr(sys, "stderr", opened.stream)
    yield opened
    opened.stream.close()
    os.close(opened.reader)


def test_a_terminal_shows_what_is_done_of_how_much_and_the_note(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("drawing", unit="images") as on_progress:
        assert "drawing" in terminal.seen()
        on_progress(2, 5)
        on_progress(3, 8, "loss 0.25")  # the total may grow
    last = terminal.seen().rstrip().split("\r")[-1]
    assert last.startswith("drawing:")
    assert "3/8" in last
    assert "images/s" in last
    assert "loss 0.25" in last
    assert capsys.readouterr().out == ""


def test_a_bar_may_wait_for_its_first_call_and_go_when_all_is_done(terminal: Terminal) -> None:
    with progress_bar("learning", on_first_call=True):
        assert terminal.seen() == ""
    assert terminal.seen() == ""
    with progress_bar("learning", on_first_call=True, keep=False) as on_progress:
        on_progress(1, 2)
        assert "learning" in terminal.seen()
    assert terminal.seen().rstrip("\r").endswith(" ")


def test_no_bar_is_drawn_in_a_pipe_or_where_none_is_wanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress_bar("drawing", quiet=True) as on_progress:
        on_progress(2, 5, "loss")
    assert terminal.seen() == ""
    monkeypatch.setattr(sys, "stderr", pipe := StringIO())
    for waits in (False, True):
        with progress_bar("drawing", on_first_call=waits) as on_progress:
            on_progress(2, 5, "loss")
    assert pipe.getvalue() == ""
