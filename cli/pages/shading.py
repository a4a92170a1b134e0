"""Prompts as text shaded by token weight, as in figure 2 of Kim et al. 2024."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from gair_search.cli.output import display_width, printable

if TYPE_CHECKING:
    from gair_search.indexer.explain import ExplainReport
    from gair_search.query.compiler import Query


@dataclass(frozen=True)
class ShadedToken:
    """A token, its weight, the weight's share of its prompt's sum, and how dark it is shown, 0..1."""

    text: str
    weight: float
    share: float
    shade: float


@dataclass(frozen=True)
class ShadedPrompt:
    """A prompt's tokens; the prompt in the query language, where that is worth showing, and whether it is exact."""

    tokens: list[ShadedToken]
    query: str = ""
    exact: bool = True


@dataclass(frozen=True)
class ShadedGroup:
    """The prompts of a class, and the paths of its images."""

    name: str
    prompts: list[ShadedPrompt]
    images: Sequence[str] = ()


def shades(prompts: Sequence[Sequence[float]]) -> list[list[tuple[float, float]]]:
    """Share and shade of each token weight.

    The weights of a prompt are normalised to sum up to 1; the largest share of all is darkest. Where no share
    is twice the mean, twice the mean would be: equal weights are of a middle shade.

    Returns:
        a prompt's (share, shade) a token, both in 0..1.
    """
    shares = [[weight / (sum(own) or 1) for weight in own] for own in prompts]
    flat = [share for own in shares for share in own]
    darkest = max([*flat, 2 * sum(flat) / max(len(flat), 1)], default=1.0) or 1.0
    return [[(share, share / darkest) for share in own] for own in shares]


def shaded_query(query: "Query") -> list[ShadedGroup]:
    """A compiled prompt's tokens."""
    (own,) = shades([[token.weight for token in query.tokens]])
    tokens = [ShadedToken(t.text, t.weight, *shade) for t, shade in zip(query.tokens, own, strict=True)]
    return [ShadedGroup("", [ShadedPrompt(tokens)])]


def shaded_report(report: "ExplainReport") -> list[ShadedGroup]:
    """The prompts of each class, with learned weights."""
    weights = report.weights
    each = iter(shades([prompt.weights for own in weights.prompts for prompt in own]))
    return [
        ShadedGroup(
            name,
            [
                ShadedPrompt(
                    [
                        ShadedToken(text, weight, *shade)
                        for text, weight, shade in zip(p.tokens, p.weights, next(each), strict=True)
                    ],
                    p.query,
                    p.exact,
                )
                for p in own
            ],
            report.images[name],
        )
        for name, own in zip(weights.classes, weights.prompts, strict=True)
    ]


def shaded_lines(prompt: ShadedPrompt, width: int) -> list[str]:
    """A prompt for a terminal: its tokens on a red ground, their weights below, in pairs of lines.

    Args:
        width: columns of the terminal; a prompt that is longer goes on in the next pair.
    """
    pairs = [("", "")]
    room = width
    for token in prompt.tokens:
        text, number = printable(token.text), f"{token.weight:.2f}"
        inside = max(display_width(text), len(number)) + 2
        if pairs[-1][0] and inside > room:
            pairs.append(("", ""))
            room = width
        left = (inside - display_width(text)) // 2
        cell = " " * left + text + " " * (inside - left - display_width(text))
        words, numbers = pairs[-1]
        words += typer.style(cell, fg="black", bg=_ground(token.shade)) + " "
        numbers += typer.style(f"{number:^{inside}} ", dim=True)
        pairs[-1] = words, numbers
        room -= inside + 1
    return [line for pair in pairs for line in pair]


def _ground(shade: float) -> tuple[int, int, int] | int:
    """The red of a shade in 0..1: sRGB, or the nearest of 256 colours where the terminal says no more."""
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return 255, round(245 - 165 * shade), round(240 - 175 * shade)
    return (231, 224, 217, 210, 203)[round(4 * shade)]
