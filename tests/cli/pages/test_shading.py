"""Prompts shaded by token weight."""

import re

import pytest

from gair_search.cli.pages.shading import (
    ShadedPrompt,
    ShadedToken,
    shaded_lines,
    shades,
)


def test_shares_sum_up_to_1_and_the_largest_is_darkest() -> None:
    first, second = shades([[1, 1, 6], [1, 1]])
    assert [share for share, _ in first] == [1 / 8, 1 / 8, 3 / 4]
    assert [share for share, _ in second] == [1 / 2, 1 / 2]
    # the mean share is that of 2 prompts over 5 tokens, and twice that is more than the largest
    assert first[2][1] == pytest.approx(0.75 / 0.8)
    assert shades([[1, 1, 1, 1]]) == [[(0.25, 0.5)] * 4]
    assert shades([[1, 0, 0, 0, 0]])[0][:2] == [(1, 1), (0, 0)]


def test_the_terminal_shows_shades_and_breaks_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    tokens = [ShadedToken("[red]", 2.0, 1.0, 1.0), ShadedToken("dress", 0.5, 0.0, 0.0)] * 2
    lines = shaded_lines(ShadedPrompt(tokens), 20)
    assert len(lines) == 4
    assert "48;2;255;80;65m" in lines[0]  # darkest
    assert "48;2;255;245;240m" in lines[0]
    assert "[red]" in lines[0]
    assert "2.00" in lines[1]
    assert [re.sub(r"\x1b\[.*?m", "", line) for line in lines[:2]] == [
        " [red]   dress  ",
        " 2.00    0.50   ",
    ]
