import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gair_search.errors import PromptError
from gair_search.query.language import MAX_CHARACTERS, MAX_WEIGHT, Span, escape, parse


def read(prompt: str) -> list[tuple[str, float]]:
    return [(span.text, round(span.weight, 4)) for span in parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a dog", [("a dog", 1.0)]),
        ("a (brick wall:1.5)", [("a ", 1.0), ("brick wall", 1.5)]),
        ("(red)", [("red", 1.1)]),
        ("[old]", [("old", 0.9091)]),
        ("((red))", [("red", 1.21)]),
        ("((red dress:2) on grass:0.5)", [("red dress", 1.0), (" on grass", 0.5)]),
        ("(red: 1.5 )", [("red", 1.5)]),
        ("(red:.5)", [("red", 0.5)]),
        ("(red:1e1)", [("red", 10.0)]),
        ("(red:0) dress", [("red", 0.0), (" dress", 1.0)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("a: b", [("a: b", 1.0)]),
        ("(red:1)dish", [("reddish", 1.0)]),
        ("(red)dish", [("red", 1.1), ("dish", 1.0)]),
        ("[(red:1.1)]", [("red", 1.0)]),
        (r"a \(red\) \[x\] \<y\> \* \\", [(r"a (red) [x] <y> * \ ".rstrip(), 1.0)]),
        (r"a\b", [(r"a\b", 1.0)]),
        ("5*3 **", [("5*3 **", 1.0)]),
        ("black and white", [("black and white", 1.0)]),
        ("band BREAKfast", [("band BREAKfast", 1.0)]),
    ],
)
def test_spans_and_weights(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert read(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "concept", "weight"),
    [
        ("a <my-dress> here", "my-dress", 1.0),
        ("a (<my-dress>:1.4)", "my-dress", 1.4),
        ("a * dress", "*", 1.0),
        ("*", "*", 1.0),
        ("a (*:2), please", "*", 2.0),
        ("like *.", "*", 1.0),
    ],
)
def test_placeholders(prompt: str, concept: str, weight: float) -> None:
    (found,) = [span for span in parse(prompt) if span.concept]
    assert (found.concept, round(found.weight, 4)) == (concept, weight)
    assert prompt[found.start : found.end] == found.text


@pytest.mark.parametrize(
    ("prompt", "position", "said"),
    [
        ("a (red", 2, 'write "\\("'),
        ("a red)", 5, 'write "\\)"'),
        ("a red]", 5, 'without "["'),
        ("(a]", 2, 'without "["'),
        ("x (:1.2)", 2, "nothing stands between"),
        ("x ()", 2, "nothing stands between"),
        ("x [ ]", 2, "nothing stands between"),
        ("(a:-1)", 3, "token weight -1: weights are finite and >= 0; --minus subtracts"),
        ("(a:nan)", 3, "finite"),
        ("(a:-inf)", 3, "finite"),
        ("(a:1e999)", 3, "finite"),
        ("", None, "empty"),
        (" \n ", None, "empty"),
        ("a (dog:1e39)", 3, "at most 1e+06"),
        ("x" * 20_001, None, "20,001 characters"),
        ("(a:0) (b:0)", None, "every word has weight 0"),
        ("[a:b:0.5]", 0, "prompt scheduling"),
        ("x [a:0.5]", 2, "prompt scheduling"),
        ("[a|b]", 0, "alternation"),
        ("a AND b", 2, "--plus"),
        ("a BREAK b", 2, "composition keyword"),
        ("x <lora:thing:1>", 2, "extra network"),
        ("a < b", 2, r'write "\<"'),
        ("a > b", 2, r'write "\>"'),
        ("<my dress>", 0, "name of a custom token"),
    ],
)
def test_errors_say_where_and_what(prompt: str, position: int | None, said: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse(prompt)
    assert said in str(caught.value)
    assert caught.value.position == position
    assert caught.value.prompt in (prompt, "")
    if position is not None:
        line, caret = str(caught.value).split("\n")[-2:]
        assert caret.index("^") - 2 == position
        assert line[2:] == prompt


def test_caret_stands_under_wide_characters_and_on_the_right_line() -> None:
    with pytest.raises(PromptError) as caught:
        parse("a dog\n日本 (x")
    assert str(caught.value).split("\n")[1:] == ["  日本 (x", "       ^"]


def test_deep_nesting_multiplies_without_recursion() -> None:
    (span,) = parse("((((red))))")
    assert span.weight == pytest.approx(1.1**4)
    assert parse("[[red]]")[0].weight == pytest.approx(1 / 1.1**2)
    with pytest.raises(PromptError, match="nested weights multiply"):
        parse("(" * 8000 + "red" + ")" * 8000)


def test_spans_say_where_they_stand() -> None:
    """Text with its escapes, without the brackets around it; a placeholder with its own."""
    prompt = r"a \(red\) (<it>:2) * <other> (big dog)"
    found = [(span.text, prompt[span.start : span.end], span.concept, span.weight) for span in parse(prompt)]
    assert found == [
        ("a (red) ", r"a \(red\) ", None, 1.0),
        ("<it>", "<it>", "it", 2.0),
        ("*", "*", "*", 1.0),
        ("<other>", "<other>", "other", 1.0),
        ("big dog", "big dog", None, 1.1),
    ]
    for prompt in (r"a\*", r"\*", r"a \(b\)", "ab"):
        (span,) = parse(prompt)
        assert (span.start, span.end) == (0, len(prompt))
    (merged,) = parse("(red:1) dish")
    assert (merged.text, merged.start, merged.end) == ("red dish", 1, 12)


def test_the_innermost_open_bracket_is_named() -> None:
    with pytest.raises(PromptError, match=r'"\[" is never closed') as caught:
        parse("(a [b")
    assert caught.value.position == 3


@pytest.mark.parametrize("n", [20_000, 20_001])
def test_the_longest_prompt_that_is_read(n: int) -> None:
    if n > MAX_CHARACTERS:
        with pytest.raises(PromptError, match="at most 20,000"):
            parse("x" * n)
    else:
        assert parse("x" * n)[0].end == n


def test_the_largest_weight_is_a_million() -> None:
    assert parse("(red:1e6)")[0].weight == MAX_WEIGHT == 1_000_000
    with pytest.raises(PromptError, match=r"weight of 1e\+06; at most 1e\+06"):
        parse("(red:1000001)")


def test_escape_by_hand() -> None:
    assert escape(r"a (b) [c] <d> 5*3 \ : |") == r"a \(b\) \[c\] \<d\> 5\*3 \\ : |"


SYNTAX = st.text(alphabet="ab ()[]<>*:\\0.5|AND\n", max_size=40)
WORDS = st.text(alphabet="ab x,", min_size=1, max_size=6).filter(str.strip)
WEIGHTS = st.floats(0.01, 1000).map(lambda weight: float(f"{weight:.4g}"))


@given(SYNTAX | st.text(max_size=40))
def test_any_text_parses_or_raises_promptly(prompt: str) -> None:
    """PromptError or spans, never anything else; the spans stand in order, apart, within the prompt."""
    try:
        spans = parse(prompt)
    except PromptError as error:
        place = error.position
    else:
        place = None
        check_spans(spans, prompt)
    assert place is None or 0 <= place <= len(prompt)


def check_spans(spans: list[Span], prompt: str) -> None:
    assert any(span.weight > 0 for span in spans)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= len(prompt)
    for span in spans:
        assert 0 <= span.weight <= MAX_WEIGHT
        assert span.start < span.end
        assert not span.concept or prompt[span.start : span.end] == span.text


@given(st.text(max_size=30))
def test_escaped_text_is_one_plain_span(text: str) -> None:
    if text.strip() and not any(word in text for word in ("AND", "BREAK")):
        assert read(escape(text)) == [(text, 1.0)]


@given(st.lists(st.tuples(WORDS, WEIGHTS), min_size=1, max_size=6))
def test_what_is_written_with_weights_is_read_back(parts: list[tuple[str, float]]) -> None:
    """Round trip: each text with its weight, neighbours of equal weight as one."""
    expected: list[tuple[str, float]] = []
    for text, weight in parts:
        if expected and expected[-1][1] == weight:
            text = expected.pop()[0] + text
        expected.append((text, weight))
    prompt = "".join(f"({escape(text)}:{weight!r})" for text, weight in parts)
    assert [(span.text, span.weight) for span in parse(prompt)] == expected


@given(SYNTAX)
def test_reading_what_was_read_changes_nothing(prompt: str) -> None:
    """Idempotence: spans written out again are the same spans."""
    try:
        spans = parse(prompt)
    except PromptError:
        return
    if any(not 0 < span.weight < 1e6 for span in spans):
        return
    written = "".join(f"({s.text if s.concept else escape(s.text)}:{s.weight!r})" for s in spans)
    again = parse(written)
    assert [(s.text, s.weight, s.concept) for s in again] == [(s.text, s.weight, s.concept) for s in spans]


@given(WORDS, st.lists(st.sampled_from("(["), max_size=12))
def test_brackets_multiply(text: str, brackets: list[str]) -> None:
    closing = "".join(")" if one == "(" else "]" for one in reversed(brackets))
    (span,) = parse("".join(brackets) + text + closing)
    power = brackets.count("(") - brackets.count("[")
    assert span.weight == pytest.approx(1.1**power)
    assert (span.text, span.start, span.end) == (text, len(brackets), len(brackets) + len(text))


def test_imports_no_torch() -> None:
    code = "import sys, gair_search.query.language; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
