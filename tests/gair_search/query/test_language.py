import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gair_search.errors import PromptError
from gair_search.query.language import parse


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
        ("(a:-1)", 3, "--minus subtracts"),
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
    with pytest.raises(PromptError, match="nested weights multiply"):
        parse("(" * 8000 + "red" + ")" * 8000)


@given(st.text(alphabet="ab ()[]<>*:\\0.5|AND\n", max_size=40))
def test_any_text_parses_or_raises_promptly(prompt: str) -> None:
    try:
        spans = parse(prompt)
    except PromptError:
        return
    assert any(span.weight > 0 for span in spans)
    assert [s.start for s in spans] == sorted(s.start for s in spans)


@given(st.text(max_size=30))
def test_escaped_text_is_one_plain_span(text: str) -> None:
    escaped = "".join("\\" + c if c in "()[]<>*\\" else c for c in text)
    if text.strip() and not any(word in text for word in ("AND", "BREAK")):
        assert read(escaped) == [(text, 1.0)]


def test_imports_no_torch() -> None:
    code = "import sys, gair_search.query.language; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
