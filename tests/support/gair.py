"""What GAIR's tests share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.clip import Encoder
from gair_search.gair.mixing import Mixture, mix_prompt
from gair_search.gair.options import GairConfig
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import compile_query
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

PROMPT = "a * dress on (grass:1.5)"
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
QUICK = GairConfig(seeds=(0,), sampling=SamplingConfig("ddim", 2))


def mix(prompt: str, encoder: Encoder, token: CustomToken, attributes: Sequence[str]) -> Mixture:
    """A prompt's mixture, whose concept is this token by any name."""
    return mix_prompt(compile_query(prompt, encoder, lambda _: token), encoder, attributes)


def features_in(token: CustomToken) -> NDArray[np.float32]:
    """Mean features `[embed_dim]` of the concept images, in the token's file."""
    features = facts.concept_features(token)
    assert features is not None
    return features


def unit(*rows: Sequence[float]) -> NDArray[np.float32]:
    """Rows of length 1."""
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)
