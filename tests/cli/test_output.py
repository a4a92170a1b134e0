"""What commands print."""

import pytest

from gair_search.cli import output
from gair_search.images.folders import Skipped


def test_many_skipped_files_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_skipped([Skipped(f"{i}.jpg", "broken") for i in range(22)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  skipped 0.jpg: broken"
    assert lines[20:] == ["  and 2 more; --json lists them all"]
