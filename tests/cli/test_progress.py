"""Bars on a real terminal, and none in a pipe."""

import contextlib
from io import StringIO

import pytest
from support.terminal import terminal

from gair_search.cli.progress import progress_bar


def test_a_terminal_shows_what_is_done_of_how_much_and_the_note(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal("stderr") as screen:
        with progress_bar("drawing", unit="images") as on_progress:
            assert "drawing" in screen.read()
            on_progress(2, 5)
            on_progress(3, 8, "loss 0.25")  # the total may grow
        last = screen.read().rstrip().split("\r")[-1]
    assert last.startswith("drawing:")
    assert "3/8" in last
    assert " images/s" in last
    assert "loss 0.25" in last
    assert capsys.readouterr() == ("", "")


def test_a_bar_may_wait_for_its_first_call_and_go_when_all_is_done() -> None:
    with terminal("stderr") as screen:
        with progress_bar("learning", on_first_call=True):
            pass
        assert screen.read() == ""
        with progress_bar("learning", on_first_call=True, keep=False) as on_progress:
            assert screen.read() == ""
            on_progress(1, 2)
            assert "learning" in screen.read()
        assert screen.read().rstrip("\r").endswith(" ")  # wiped out


def test_no_bar_is_drawn_in_a_pipe_or_where_none_is_wanted() -> None:
    with terminal("stderr") as screen:
        with progress_bar("drawing", quiet=True) as on_progress:
            on_progress(2, 5, "loss")
        assert screen.read() == ""
    with contextlib.redirect_stderr(StringIO()) as pipe:
        for waits in (False, True):
            with progress_bar("drawing", on_first_call=waits) as on_progress:
                on_progress(2, 5, "loss")
    assert pipe.getvalue() == ""
