from pathlib import Path

import pytest

from gair_search.cli.terms import split_factor, typed_terms
from gair_search.errors import PromptError
from gair_search.query.terms import Image, Text


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("a beach", (1.0, "a beach")),
        ("2.0:a beach", (2.0, "a beach")),
        (" +.5 : a beach", (0.5, "a beach")),
        ("0:x", (0.0, "x")),
        ("ratio 2:1", (1.0, "ratio 2:1")),
        ("2:", (1.0, "2:")),
        ("1e3:x", (1.0, "1e3:x")),
    ],
)
def test_a_number_in_front_is_a_factor(term: str, expected: tuple[float, str]) -> None:
    assert split_factor(term) == expected
    with pytest.raises(PromptError, match="use --minus") as caught:
        split_factor(" -1:y")
    assert caught.value.position == 1


def test_what_looks_like_a_file_is_an_image_and_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snapshot").write_bytes(b"x")
    (tmp_path / "beach").mkdir()
    typed = ["2:photo.JPG", "./photo", "snapshot", "beach", "a beach", "16 / 9"]
    terms = typed_terms(typed, "--plus")
    said = capsys.readouterr().err
    images = [(term.source, term.factor) for term in terms if isinstance(term, Image)]
    assert images == [(Path("photo.JPG"), 2.0), (Path("photo"), 1.0), (Path("snapshot"), 1.0)]
    assert [term.prompt for term in terms if isinstance(term, Text)] == ["beach", "a beach", "16 / 9"]
    assert [line.partition(" is ")[0] for line in said.splitlines()] == [
        "note: --plus photo.JPG",
        "note: --plus ./photo",
        "note: --plus snapshot",
    ]


@pytest.mark.parametrize("text", ["a" * 5000, "a\0b"])
def test_texts_that_can_be_no_path_are_text(text: str) -> None:
    assert typed_terms([text], "--plus") == [Text(text)]
