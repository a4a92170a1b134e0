import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, ImageError, PromptError
from gair_search.query.compiler import compile_query
from gair_search.query.terms import Image, Text, Vector, add_terms, read_terms, unit_vector, weighted_sum
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


def test_whole_queries_are_added_by_their_factors(encoder: Encoder) -> None:
    dog = compile_query("a dog", encoder, nobody)
    assert dog.terms == ((1.0, "a dog"),)
    assert add_terms(dog, (), encoder, nobody) is dog
    mixed = add_terms(dog, read_terms([Text("a cat", 2)], ["grass", Text("a dog", 0.5)]), encoder, nobody)
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
    image, text = read_terms([Image(Path("photo.JPG"), 2)], ["a <nothing>"])
    assert (image.factor, image.label, image.spans) == (2.0, "photo.JPG", None)
    assert (text.factor, text.label, [span.concept for span in text.spans or ()]) == (
        -1.0,
        "a <nothing>",
        [None, "nothing"],
    )
    with pytest.raises(PromptError, match="never closed"):
        read_terms(["a (dog"], [])


@pytest.mark.parametrize("text", ["photo.jpg", "./photo.jpg", "/etc/passwd", "2:a cat", "https://host/x.png"])
def test_a_string_is_text_whatever_it_looks_like(encoder: Encoder, text: str, tmp_path: Path) -> None:
    dog = compile_query("a dog", encoder)
    both = add_terms(dog, read_terms([text], ()), encoder, nobody)
    total = dog.vector + encoder.encode_texts([text])[0]
    assert np.allclose(both.vector, total / np.linalg.norm(total), atol=1e-5)
    assert both.terms == ((1.0, "a dog"), (1.0, text))


def test_images_and_vectors_are_terms(encoder: Encoder, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (80, 64, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    features = encoder.encode_images([PIL.Image.fromarray(pixels)])[0]
    dog = compile_query("a dog", encoder)
    total = dog.vector + 2 * features
    for term in (
        Image(tmp_path / "a.png", 2),
        Image(pixels, 2),
        Vector(3 * features, 2),
        Vector(features.tolist(), 2),
    ):
        both = compile_query("a dog", encoder, plus=[term])
        assert np.allclose(both.vector, total / np.linalg.norm(total), atol=1e-5)
    less = compile_query("a dog", encoder, minus=[Vector(features, 0.5)])
    total = dog.vector - 0.5 * features
    assert np.allclose(less.vector, total / np.linalg.norm(total), atol=1e-5)
    with pytest.raises(ImageError, match="Path"):
        compile_query("a dog", encoder, plus=[Image(str(tmp_path / "a.png"))])


def test_terms_count_once_and_fetch_nothing_unless_told_so() -> None:
    image, vector = Image(b"photo"), Vector([1.0, 0.0])
    assert [one.factor for one in (Text("a dog"), image, vector)] == [1.0, 1.0, 1.0]
    assert image.allow_urls is False
    (nothing,) = read_terms([Text("a dog", 0)], ())
    assert nothing.factor == 0
    assert read_terms([vector], ())[0].label == "a vector"


def test_terms_of_arrays_are_equal_to_themselves_alone() -> None:
    """Comparing them never asks an array whether it is true."""
    values = np.ones(3, np.float32)
    for make in (lambda: Vector(values), lambda: Image(values), lambda: read_terms([Vector(values)], ())[0]):
        one, other = make(), make()
        assert one != other
        assert len({one, other, one}) == 2


def test_a_zero_vector_is_refused_whatever_its_sign() -> None:
    for wrong in ([0.0, -0.0], [float("nan"), 1.0], [float("inf"), 0.0]):
        with pytest.raises(PromptError, match=r"shape \[2\] and length 0: expected 2 finite numbers"):
            unit_vector(wrong, 2)
    with pytest.raises(PromptError, match="length inf"):
        unit_vector([1.7e308, 1.7e308], 2)  # finite, and too long to be measured
    assert unit_vector([3.0, 4.0], 2).tolist() == pytest.approx([0.6, 0.8])
    assert unit_vector([1e-30, 0.0], 2).tolist() == [1.0, 0.0]


def test_queries_that_nearly_cancel_are_refused_from_a_millionth_on() -> None:
    x, y = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert weighted_sum([(1, x), (-1, x), (1e-5, y)], "p").tolist() == [0, 1]
    with pytest.raises(PromptError, match="cancel"):
        weighted_sum([(1, x), (-1, x), (1e-7, y)], "p")
    with pytest.raises(PromptError, match="cancel"):
        weighted_sum([(1e-7, x)], "p")
    with pytest.raises(PromptError, match="cancel"):
        weighted_sum([(0, x)], "p")


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 2)), min_size=1, max_size=5))
def test_any_sum_of_queries_has_length_1_and_knows_no_order(parts: list[tuple[float, int]]) -> None:
    axes = np.eye(3, dtype=np.float32)
    summands = [(factor, axes[i]) for factor, i in parts]
    found = weighted_sum(summands, "p")
    total = np.sum([factor * vector for factor, vector in summands], axis=0)
    assert found.tolist() == pytest.approx((total / np.linalg.norm(total)).tolist(), abs=1e-6)
    assert np.allclose(found, weighted_sum(summands[::-1], "p"), atol=1e-6)
    doubled = [(2 * factor, vector) for factor, vector in summands]
    assert np.allclose(found, weighted_sum(doubled, "p"), atol=1e-6)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_factors_that_are_none(factor: float) -> None:
    with pytest.raises(PromptError, match="finite and >= 0"):
        read_terms([Text("a dog", factor)], ())


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [float("nan")] * 512, [0.0] * 512, [[0.1] * 512], [1e308] * 512, "abc", None]
)
def test_vectors_that_are_none_of_the_models(encoder: Encoder, values: list[float]) -> None:
    with pytest.raises(PromptError, match=f"{encoder.spec.embed_dim}"):
        compile_query("a dog", encoder, plus=[Vector(values)])


def test_terms_that_are_none() -> None:
    with pytest.raises(PromptError, match="lists of terms"):
        read_terms("a dog", ())
    with pytest.raises(PromptError, match="not PosixPath"):
        read_terms([Path("a.jpg")], ())  # type: ignore[list-item]


def test_a_huge_factor_gives_a_finite_vector(encoder: Encoder) -> None:
    query = compile_query("a dog", encoder, plus=[Text("a cat", 1e308), Text("a bird", 1e308)])
    assert np.isfinite(query.vector).all()
    assert np.linalg.norm(query.vector) == pytest.approx(1, abs=1e-5)


def test_reading_terms_imports_no_torch() -> None:
    code = "import sys, gair_search.query.terms; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
