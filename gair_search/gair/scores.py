"""s_o and s_c: how like the images of a candidate weight are to the concept images, and to the context images."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError
from gair_search.gair.algorithm import score
from gair_search.gair.options import GairConfig
from gair_search.images.fetching import url_config
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken


@dataclass(frozen=True)
class Candidate:
    """A candidate weight, what was drawn for it, and how that scored.

    Attributes:
        mixing_weight: w.
        images: uint8 `[S, height, width, 3]`, one a seed, the excluded ones among them.
        object_score, context_score: means over the images that count, in -1..1; None without such images, or
            where the prompt has no concept.
        excluded: how many images are blank (black, of one colour, NaN), and don't count.
        context_only: drawn for the context images, w = 0, and not to be selected.
    """

    mixing_weight: float
    images: NDArray[np.uint8]
    object_score: float | None
    context_score: float | None
    excluded: int
    context_only: bool = False

    @property
    def score(self) -> float | None:
        """The worse of the two (Algorithm 1)."""
        if self.object_score is None or self.context_score is None:
            return None
        return score(self.object_score, self.context_score)

    def to_json(self) -> dict[str, Any]:
        """Without the images."""
        scores = {"object_score": self.object_score, "context_score": self.context_score, "score": self.score}
        return {
            "mixing_weight": self.mixing_weight,
            **scores,
            "excluded": self.excluded,
            "context_only": self.context_only,
        }


def object_score(features: NDArray[np.float32], concept_features: NDArray[np.float32]) -> float:
    """Mean over a candidate's images of mean_i f(I) . f(x_i), in -1..1; -inf without images.

    Args:
        features: f(I) of each image, `[S, embed_dim]`.
        concept_features: mean of f(x_i) over the concept images, `[embed_dim]`: the mean of the products is the
            product with the mean.
    """
    return float((features @ concept_features).mean()) if len(features) else -math.inf


def context_score(features: NDArray[np.float32], context_features: NDArray[np.float32]) -> float:
    """Mean over a candidate's images of mean_j f(I) . f(x_c_j), in -1..1; -inf without images.

    Args:
        features: f(I) of each image, `[S, embed_dim]`.
        context_features: mean of f(x_c_j) over the context images, those of w = 0, `[embed_dim]`.
    """
    return object_score(features, context_features)


def concept_features_of(token: CustomToken, encoder: Encoder, config: GairConfig) -> NDArray[np.float32]:
    """Mean features `[embed_dim]` of a concept's images: of those that the options name, else of its file.

    Raises:
        ConceptError: the file holds none, or another embedder's.
        ImageError: a named image can't be read.
    """
    if config.concept_images:
        features = encoder.encode_sources(config.concept_images, url_config(config.allow_urls))
        mean: NDArray[np.float32] = features.mean(axis=0)
        return mean
    stored = facts.concept_features(token)
    if stored is None:
        raise ConceptError(
            f"the file of <{token.name}> holds no features of its concept images, which GAIR compares with; "
            f"name some of them, or learn it again"
        )
    its, ours = facts.learned_with(token), str(encoder.embedder_id)
    if len(stored) != encoder.spec.embed_dim or (its and its.rpartition(" (")[2] != ours.rpartition(" (")[2]):
        raise ConceptError(
            f"the features of the concept images in the file of <{token.name}> are those of {its or 'another'}"
            f", and this is {ours}; name some of the images, or learn it again with this model"
        )
    return stored
