"""The query language: a prompt as typed -> weighted spans. Pure Python, imports no torch.

The syntax is a strict subset of that of the Stable Diffusion web UIs: `(word:1.5)`, `(word)`,
`[word]`, nesting, `\\` escapes; and ours: `<name>` and a lone `*` for custom tokens.
"""

import math
import re
from dataclasses import dataclass

from gair_search.errors import PromptError

ROUND_WEIGHT = 1.1
"""Token weight of `(word)`; `[word]` has its reciprocal."""

MAX_WEIGHT = 1e6
"""Largest token weight, brackets multiplied; beyond it the attention's float32 loses every other word."""

MAX_CHARACTERS = 20_000
"""Longest prompt that is looked at; no context has room for a fraction of it."""

_ESCAPABLE = frozenset("()[]<>*\\")
_NAME = re.compile(r"<([A-Za-z0-9][A-Za-z0-9_.-]*)>")
_WEIGHT = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?))\s*\)", re.I)
_EXTRA_NETWORK = re.compile(r"<\s*(?:lora|lyco|hypernet)\s*:[^>]*>?", re.I)
_SCHEDULE = re.compile(r"\[[^\[\]]*:\s*[\d.]+\s*\]")
_ALTERNATION = re.compile(r"\[[^\[\]]*\|")
_KEYWORD = re.compile(r"(?<![^\s()\[\],])(AND|BREAK)(?![^\s()\[\],])")


@dataclass(frozen=True)
class Span:
    """A run of prompt text with one token weight.

    Attributes:
        text: the characters, escapes resolved; for a placeholder, as typed (`<my-dress>` or `*`).
        weight: token weight, >= 0 (SToRI's w_n); 1 leaves the text unchanged.
        start, end: the span's place in the prompt, `prompt[start:end]`.
        concept: the placeholder's concept name, `"*"` for the active concept, None for plain text.
    """

    text: str
    weight: float
    start: int
    end: int
    concept: str | None = None


@dataclass
class _Group:
    """An open bracket: where it stands and which pieces it holds from there on."""

    bracket: str
    position: int
    first: int


@dataclass
class _Piece:
    """A span under construction; its weight grows with every bracket that closes around it."""

    text: str
    start: int
    end: int
    concept: str | None = None
    weight: float = 1.0


def parse(prompt: str) -> list[Span]:
    """Parse a prompt into spans in reading order.

    Neighbouring text of equal weight comes back as one span, so a prompt without effective
    weights is a single span and encodes exactly as plain text.

    Args:
        prompt: the query as typed.

    Returns:
        at least one span with a positive weight.

    Raises:
        PromptError: with the place of the fault and what to write instead.
    """
    if len(prompt) > MAX_CHARACTERS:
        raise PromptError(
            f"the prompt has {len(prompt):,} characters; at most {MAX_CHARACTERS:,} are read", ""
        )
    _refuse_generator_syntax(prompt)
    pieces: list[_Piece] = []
    groups: list[_Group] = []
    i = 0
    while i < len(prompt):
        char = prompt[i]
        if char == "\\" and prompt[i + 1 : i + 2] in _ESCAPABLE:
            _add_text(pieces, prompt[i + 1], i, i + 2)
            i += 2
        elif char in "([":
            groups.append(_Group(char, i, len(pieces)))
            i += 1
        elif char in ")]":
            _close(prompt, pieces, groups, i, ROUND_WEIGHT if char == ")" else 1 / ROUND_WEIGHT)
            i += 1
        elif char == ":" and groups and groups[-1].bracket == "(" and (match := _WEIGHT.match(prompt, i)):
            _close(prompt, pieces, groups, match.end() - 1, _number(match, prompt))
            i = match.end()
        elif char == "<":
            pieces.append(_concept_piece(prompt, i))
            i = pieces[-1].end
        elif char == ">":
            raise PromptError(r'">" without "<"; write "\>" for the character', prompt, i)
        elif char == "*" and _stands_alone(prompt, i):
            pieces.append(_Piece("*", i, i + 1, "*"))
            i += 1
        else:
            _add_text(pieces, char, i, i + 1)
            i += 1
    if groups:
        opened = groups[-1]
        raise PromptError(
            f'"{opened.bracket}" is never closed; write "\\{opened.bracket}" for the character',
            prompt,
            opened.position,
        )
    return _spans(prompt, pieces)


def _concept_piece(prompt: str, i: int) -> _Piece:
    """The placeholder `<name>` that opens at `i`. Raises PromptError where none does."""
    name = _NAME.match(prompt, i)
    if name is None:
        raise PromptError(
            r'"<" opens the name of a custom token, as in "<my-dress>"; write "\<" for the character',
            prompt,
            i,
        )
    return _Piece(name[0], i, name.end(), name[1])


def escape(text: str) -> str:
    """Text as a prompt that means just its characters."""
    return "".join(f"\\{char}" if char in _ESCAPABLE else char for char in text)


def _refuse_generator_syntax(prompt: str) -> None:
    """Raise on web-UI syntax that steers a sampler over time and so has no meaning in one query vector."""
    masked = re.sub(r"\\.", "..", prompt)
    for pattern, what, advice in (
        (_EXTRA_NETWORK, "an extra network", "it changes a generator's weights, and a search has none"),
        (_SCHEDULE, "prompt scheduling", "a query has no sampling steps to switch at; weigh with (text:0.5)"),
        (_ALTERNATION, "alternation", "a query has no sampling steps to alternate over"),
        (_KEYWORD, "a composition keyword", "add whole queries with --plus; for the word, use lower case"),
    ):
        if found := pattern.search(masked):
            raise PromptError(f'"{found[0]}" is {what}, not supported here: {advice}', prompt, found.start())


def _number(match: re.Match[str], prompt: str) -> float:
    """The token weight after a colon. Raises PromptError where it is negative, NaN or infinite."""
    weight = float(match[1])
    if weight < 0 or not math.isfinite(weight):
        raise PromptError(
            f"token weight {match[1]}: weights are finite and >= 0; --minus subtracts a query",
            prompt,
            match.start(1),
        )
    return weight


def _close(prompt: str, pieces: list[_Piece], groups: list[_Group], position: int, factor: float) -> None:
    """Close the innermost bracket at `position` and multiply `factor` into all that it holds."""
    closing = prompt[position]
    opening = "(" if closing == ")" else "["
    if not groups or groups[-1].bracket != opening:
        raise PromptError(
            f'"{closing}" without "{opening}"; write "\\{closing}" for the character', prompt, position
        )
    group = groups.pop()
    held = pieces[group.first :]
    if not any(piece.concept or piece.text.strip() for piece in held):
        raise PromptError(
            f'nothing stands between the brackets; write "\\{opening}\\{closing}" for the characters',
            prompt,
            group.position,
        )
    for piece in held:
        piece.weight *= factor


def _stands_alone(prompt: str, i: int) -> bool:
    """Whether the `*` at `i` is a placeholder: nothing but space, brackets or punctuation around it."""
    before, after = prompt[i - 1 : i] if i else "", prompt[i + 1 : i + 2]
    return (not before or before.isspace() or before in "([,;") and (
        not after or after.isspace() or after in ")]:,.;!?"
    )


def _add_text(pieces: list[_Piece], text: str, start: int, end: int) -> None:
    """Append text to the last piece where nothing stands between them (a bracket would), else begin one."""
    last = pieces[-1] if pieces else None
    if last and last.concept is None and last.end == start:
        last.text += text
        last.end = end
    else:
        pieces.append(_Piece(text, start, end))


def _spans(prompt: str, pieces: list[_Piece]) -> list[Span]:
    """Merge neighbouring texts of equal weight, drop blank ones, and check that something is left."""
    merged: list[_Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last and last.concept is None and piece.concept is None and last.weight == piece.weight:
            last.text += piece.text
            last.end = piece.end
        else:
            merged.append(piece)
    spans = [Span(p.text, p.weight, p.start, p.end, p.concept) for p in merged if p.concept or p.text.strip()]
    if not spans:
        raise PromptError("the prompt is empty; write what the picture should show", prompt)
    if not any(span.weight > 0 for span in spans):
        raise PromptError("every word has weight 0, so nothing is left to search for", prompt)
    if heavy := next((span for span in spans if not span.weight <= MAX_WEIGHT), None):
        raise PromptError(
            f"a token weight of {heavy.weight:.3g}; at most {MAX_WEIGHT:g} makes sense (nested weights multiply)",
            prompt,
            heavy.start,
        )
    return spans
