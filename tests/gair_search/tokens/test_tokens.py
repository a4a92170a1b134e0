from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


def token(name: str = "my-dress", n: int = 3) -> CustomToken:
    vectors = np.random.default_rng(0).standard_normal((n, 8)).astype(np.float32)
    return CustomToken(name, vectors, "abc", "gair-mini", "dress", {"preset": "mini"})


def test_saving_and_loading_keeps_everything(tmp_path: Path) -> None:
    token().save(tmp_path / "t.safetensors")
    loaded = CustomToken.load(tmp_path / "t.safetensors")
    assert np.array_equal(loaded.vectors, token().vectors)
    assert (loaded.name, loaded.text_tower, loaded.parent, loaded.facts) == (
        "my-dress",
        "abc",
        "dress",
        {"preset": "mini"},
    )


@pytest.mark.parametrize("name", ["", "my dress", "../x", "a>b", "-x"])
def test_names_that_no_prompt_could_hold_are_refused(name: str) -> None:
    with pytest.raises(ConceptError, match="no name for a concept"):
        token(name)


@pytest.mark.parametrize(
    "vectors",
    [np.zeros((0, 8)), np.zeros((76, 8)), np.zeros(8), np.full((1, 8), np.nan), np.full((1, 8), np.inf)],
)
def test_vectors_that_no_prompt_could_hold_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ConceptError):
        CustomToken("x", vectors.astype(np.float32), "abc")


def test_files_that_are_no_tokens_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    file.write_bytes(b"not safetensors")
    with pytest.raises(ConceptError, match="is no custom token"):
        CustomToken.load(file)
    save_file({"a": np.zeros((1, 8), np.float32), "b": np.zeros((1, 8), np.float32)}, file)
    with pytest.raises(ConceptError, match="is no custom token"):
        CustomToken.load(file)
    save_file({"<a>": np.zeros((1, 8), np.int32)}, file)
    with pytest.raises(ConceptError, match="type"):
        CustomToken.load(file)


def test_store_finds_lists_and_forgets() -> None:
    store = TokenStore()
    assert store.names() == []
    store.save(token("red-dress"))
    store.save(token("blue.dress"))
    assert store.names() == ["blue.dress", "red-dress"]
    assert [t.name for t in store] == ["blue.dress", "red-dress"]
    with pytest.raises(ConceptError, match="did you mean <red-dress>"):
        store.get("red-dres")
    store.remove("red-dress")
    assert store.names() == ["blue.dress"]


def test_the_active_concept() -> None:
    store = TokenStore()
    with pytest.raises(ConceptError, match=r"there is none yet: gair learn NAME.*gair concepts import FILE"):
        store.active()
    store.save(token("a"))
    assert store.active().name == "a"
    store.save(token("b"))
    with pytest.raises(ConceptError, match=r"<a>, <b>.*--concept"):
        store.active()
    assert store.active("b").name == "b"
