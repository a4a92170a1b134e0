import subprocess
import sys

import numpy as np
import pytest

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, PromptError
from gair_search.query.compiler import compile_query
from gair_search.query.terms import Term, add_terms, read_terms, split_factor, weighted_sum
from gair_search.tokens.custom_token import CustomToken


def nobody(name: str) -> CustomToken:
    raise ConceptError(f"unknown {name}")


def test_the_sum_is_the_normalised_weighted_sum() -> None:
    x, y = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert weighted_sum([(1, x)], "p").tolist() == [1, 0]
    assert weighted_sum([(3, x), (4, y)], "p").tolist() == pytest.approx([0.6, 0.8])
    assert weighted_sum([(1, x), (-1, y)], "p").tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)])
    with pytest.raises(PromptError, match="cancel"):
        weighted_sum([(1, x), (-1, x)], "p")


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


def test_whole_queries_are_added_by_their_factors(encoder: Encoder) -> None:
    dog = compile_query("a dog", encoder, nobody)
    assert dog.terms == ((1.0, "a dog"),)
    assert add_terms(dog, (), encoder, nobody) is dog
    mixed = add_terms(dog, read_terms(["2:a cat"], ["grass", "0.5:a dog"]), encoder, nobody)
    total = (
        0.5 * dog.vector
        + 2 * compile_query("a cat", encoder, nobody).vector
        - compile_query("grass", encoder, nobody).vector
    )
    assert np.allclose(mixed.vector, total / np.linalg.norm(total), atol=1e-6)
    assert mixed.terms == ((1.0, "a dog"), (2.0, "a cat"), (-1.0, "grass"), (-0.5, "a dog"))
    assert (mixed.prompt, mixed.tokens, mixed.mixing_weight) == (dog.prompt, dog.tokens, None)
    with pytest.raises(PromptError, match="cancel each other out"):
        add_terms(dog, read_terms((), ["a dog"]), encoder, nobody)


def test_terms_are_read_before_anything_is_looked_up() -> None:
    image, text = read_terms(["2:photo.JPG"], ["a <nothing>"])
    assert image == Term(2.0, "photo.JPG", None)
    assert (text.factor, text.text, [span.concept for span in text.spans or ()]) == (
        -1.0,
        "a <nothing>",
        [None, "nothing"],
    )
    with pytest.raises(PromptError, match="never closed"):
        read_terms(["a (dog"], [])


def test_reading_terms_imports_no_torch() -> None:
    code = "import sys, gair_search.query.terms; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
