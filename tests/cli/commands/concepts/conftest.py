"""What the tests of `gair concepts` share: a token of the bundled model."""

from collections.abc import Callable

import numpy as np
import pytest
from support.generator import MINI_WIDTH

from gair_search.encoder.clip import Encoder
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


@pytest.fixture
def stored(encoder: Encoder) -> Callable[..., CustomToken]:
    """Stores a token of the bundled model."""

    def store(name: str, n: int = 2, parent: str = "dress") -> CustomToken:
        vectors = np.random.default_rng(len(name)).standard_normal((n, MINI_WIDTH)).astype(np.float32) * 0.05
        embedder, facts = (
            str(encoder.embedder_id),
            {"preset": "mini", "learned_at": "2026-01-02T03:04:05+00:00"},
        )
        token = CustomToken(name, vectors, encoder.text_tower.table_hash, embedder, parent, facts)
        TokenStore().save(token)
        return token

    return store
