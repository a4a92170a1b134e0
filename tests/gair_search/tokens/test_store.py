from pathlib import Path

import numpy as np
import pytest

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenLookup, TokenStore


def token(name: str) -> CustomToken:
    return CustomToken(name, np.ones((1, 8), np.float32), "abc")


def test_the_chosen_concept_is_the_active_one() -> None:
    store = TokenStore()
    assert (store.chosen, store.active_name) == (None, None)
    store.save(token("a"))
    assert (store.chosen, store.active_name) == (None, "a")
    store.save(token("b"))
    assert store.active_name is None
    store.use("b")
    assert (store.chosen, store.active_name, TokenStore().active().name) == ("b", "b", "b")
    assert store.active("a").name == "a"
    assert store.names() == ["a", "b"]
    with pytest.raises(ConceptError, match="did you mean"):
        store.use("c")
    assert store.chosen == "b"


def test_the_choice_ends_with_the_concept() -> None:
    store = TokenStore()
    for name in ("a", "b", "c"):
        store.save(token(name))
    store.use("b")
    store.remove("a", "b")
    assert store.names() == ["c"]
    store.save(token("b"))
    assert store.chosen is None
    store.use("b")
    store.path("b").unlink()  # by hand
    assert (store.chosen, store.active_name) == (None, "c")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../x", b"a" * 10_000])
def test_a_damaged_choice_is_no_choice(content: bytes) -> None:
    store = TokenStore()
    store.save(token("b"))
    store.save(token("c"))
    (store.folder / "active").write_bytes(content)
    assert store.chosen is None
    with pytest.raises(ConceptError, match=r"<b>, <c>.*gair concepts use"):
        store.active()


def test_none_is_removed_where_one_is_unknown() -> None:
    store = TokenStore()
    store.save(token("red-dress"))
    with pytest.raises(ConceptError, match="did you mean <red-dress>"):
        store.remove("red-dress", "red-dres")
    assert store.names() == ["red-dress"]
    store.path("red-dress").write_bytes(b"damaged")
    store.remove("red-dress")
    assert store.names() == []


def test_a_token_is_known_by_the_name_of_its_file() -> None:
    store = TokenStore()
    store.save(token("a")).rename(store.path("b"))
    assert (store.names(), store.get("b").name) == (["b"], "b")


def test_a_taken_name_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    store = TokenStore()
    store.save(token("a"))
    with pytest.raises(ConceptError, match=r"there is a concept <a>.*--force"):
        store.save(token("a"), overwrite=False)
    store.save(token("a"))
    with pytest.raises(ConceptError, match="can't be written"):
        store.save(token("x" * 300))
    (tmp_path / "file").touch()
    with pytest.raises(ConceptError, match="can't be written"):
        TokenStore(tmp_path / "file").save(token("a"))
    assert [path.name for path in store.folder.iterdir()] == ["a.safetensors"]


def test_a_lookup_knows_names_and_the_star() -> None:
    store = TokenStore()
    for name in "ab":
        store.save(token(name))
    store.use("b")
    assert [TokenLookup(store)(name).name for name in ("a", "*")] == ["a", "b"]
    assert [TokenLookup(store, "a")(name).name for name in ("b", "*")] == ["b", "a"]
    with pytest.raises(ConceptError, match="unknown concept"):
        TokenLookup(store)("c")


def test_names_that_nothing_can_be_stored_under() -> None:
    store = TokenStore()
    store.save(token("a"))
    store.require_storable("b", overwrite=False)
    store.require_storable("a", overwrite=True)
    with pytest.raises(ConceptError, match="there is a concept <a>"):
        store.require_storable("a", overwrite=False)
    with pytest.raises(ConceptError, match="is no name"):
        store.require_storable("no name", overwrite=True)
