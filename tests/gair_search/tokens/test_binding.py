from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError
from gair_search.query.compiler import query_vector
from gair_search.tokens.binding import ROOM_FOR_WORDS, adopt
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.formats import Format, read_token, write_token


@pytest.fixture(scope="module")
def tower(encoder: Encoder) -> TextTower:
    return encoder.text_tower


def token(width: int, n: int = 2, text_tower: str = "") -> CustomToken:
    vectors = np.random.default_rng(1).standard_normal((n, width)).astype(np.float32) * 0.05
    return CustomToken("x", vectors, text_tower, parent="dress", facts={"preset": "mini"})


def test_a_token_of_no_known_text_tower_is_assumed_to_fit(tower: TextTower) -> None:
    given = token(tower.width)
    bound = adopt(given, tower, "gair-mini", source="x.pt")
    assert np.array_equal(bound.vectors, given.vectors)
    assert (bound.text_tower, bound.embedder, bound.parent) == (tower.table_hash, "gair-mini", "dress")
    assert bound.facts["text_tower_assumed"] == "yes"
    assert bound.facts["imported_from"] == "x.pt"
    assert bound.facts["preset"] == "mini"
    assert datetime.fromisoformat(bound.facts["imported_at"]).tzinfo is not None
    assert adopt(given, tower, "gair-mini", parent="gown").parent == "gown"


def test_a_token_of_this_text_tower_needs_no_assumption(tower: TextTower) -> None:
    given = replace(token(tower.width, text_tower=tower.table_hash), embedder="the same under another name")
    bound = adopt(given, tower, "gair-mini")
    assert "text_tower_assumed" not in bound.facts
    assert bound.facts["learned_with"] == "the same under another name"
    assert adopt(bound, tower, "gair-mini").facts["learned_with"] == "the same under another name"


def test_misfits_are_refused_with_what_to_do(tower: TextTower) -> None:
    with pytest.raises(
        ConceptError, match=rf"width 768.*takes {tower.width}; .*Stable Diffusion 1\.x.*--model"
    ):
        adopt(token(768), tower, "gair-mini")
    with pytest.raises(ConceptError, match=rf"width 7, .*takes {tower.width}; choose"):
        adopt(token(7), tower, "gair-mini")
    other = replace(
        token(tower.width, text_tower="0" * 16), embedder="other/one (arch, weights ab, preprocessing cd)"
    )
    with pytest.raises(ConceptError, match=r"with other/one \(text tower 0{16}\).*--model other/one$"):
        adopt(other, tower, "gair-mini")
    room = tower.n_ctx - 2 - ROOM_FOR_WORDS
    adopt(token(tower.width, room), tower, "gair-mini")
    with pytest.raises(ConceptError, match=f"{room + 1} vectors.*room for {room}"):
        adopt(token(tower.width, room + 1), tower, "gair-mini")


@pytest.mark.parametrize(
    ("format", "file"), [("diffusers", "x.safetensors"), ("webui", "x.safetensors"), ("webui", "x.pt")]
)
def test_a_query_gives_the_same_vector_before_and_after(
    tmp_path: Path, encoder: Encoder, tower: TextTower, format: Format, file: str
) -> None:
    before = token(tower.width, text_tower=tower.table_hash)
    write_token(before, tmp_path / file, format)
    after = adopt(read_token(tmp_path / file), tower, "gair-mini")
    for prompt in ("a <x> on grass", "a (<x>:1.5) dress"):
        vectors = [query_vector(prompt, encoder, lambda _, t=t: t)[0] for t in (before, after)]  # type: ignore[misc]
        assert vectors[0].tobytes() == vectors[1].tobytes()
