"""What commands print."""

import pytest
from support.terminal import terminal

from gair_search.cli import output
from gair_search.gallery import Hit
from gair_search.images.folders import Skipped


def test_many_skipped_files_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_skipped([Skipped(f"{i}.jpg", "broken") for i in range(22)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  skipped 0.jpg: broken"
    assert lines[20:] == ["  and 2 more; --json lists them all"]


def test_columns_stand_below_each_other_whatever_the_script() -> None:
    rows = [
        ("rank", "name", "x"),
        ("1", "\u88d9\u5b50", "y"),
        ("10", "e\u0301te\u0301", "z"),
    ]  # a dress; summer
    lines = output.align(rows, right={0})
    assert lines == ["rank  name  x", "   1  \u88d9\u5b50  y", "  10  e\u0301te\u0301   z"]
    assert [output.display_width(line) for line in lines] == [13, 13, 13]


def test_hits_are_a_table_on_a_terminal_and_steer_nothing() -> None:
    hits = [Hit(1, 0.25, "/photos/a.jpg", "1", {}), Hit(2, 0.125, "/photos/\x1b[2Jb.jpg", "2", {})]
    with terminal("stdout") as screen:
        output.print_hits(hits)
        header, *lines = screen.read().splitlines()
    assert header == "\x1b[2mrank  score  path\x1b[0m"
    assert lines == ["   1  0.250  /photos/a.jpg", "   2  0.125  /photos/\ufffd[2Jb.jpg"]


def test_ctrl_c_becomes_what_is_left_of_the_work() -> None:
    with pytest.raises(output.StoppedError, match="half is kept"), output.if_interrupted("half is kept"):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="other"), output.if_interrupted("half is kept"):
        raise ValueError("other")
