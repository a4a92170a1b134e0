"""Figures need matplotlib, which is an extra."""

import sys

import pytest

from gair_search.benchmarks.harness.figures import new_figure
from gair_search.errors import GairError


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GairError, match=r"pip install 'gair-search\[bench\]'"):
        new_figure(1)
