"""Algorithm 1 with a prompt and a generator: which weights are drawn, how they score, which one is selected."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gair_search.encoder.clip import Encoder
from gair_search.errors import GeneratorError
from gair_search.gair.algorithm import Refine, algorithm_1, midpoints
from gair_search.gair.drawing import CandidateImages, Drawing, Visualizer
from gair_search.gair.mixing import Mixture, attributes_of, concept_of, mix_prompt
from gair_search.gair.options import GairConfig
from gair_search.gair.scores import Candidate, concept_features_of, context_score, object_score
from gair_search.query.compiler import Query
from gair_search.tokens.custom_token import CustomToken


@dataclass(frozen=True)
class Subject:
    """A prompt, and what GAIR must know of its concept before it draws.

    Attributes:
        query: of the prompt as it is, with one concept and nothing added.
        token: of the concept.
        attributes: what stands in its place at w = 0; one or more.
        concept_features: mean features of its images, `[embed_dim]`.
    """

    query: Query
    token: CustomToken
    attributes: list[str]
    concept_features: NDArray[np.float32]

    @classmethod
    def of(cls, query: Query, encoder: Encoder, config: GairConfig) -> "Subject":
        """Gather it; the image tower is read for images that the options name, and else no tower is.

        Raises:
            ConceptError, ImageError: as `concept_of`, `attributes_of` and `concept_features_of`.
        """
        token = concept_of(query)
        attributes = attributes_of(token, config)
        return cls(query, token, attributes, concept_features_of(token, encoder, config))

    def mix(self, encoder: Encoder) -> Mixture:
        """What there is to mix. Raises as `mix_prompt`."""
        return mix_prompt(self.query, encoder, self.attributes)


class Functions(NamedTuple):
    """q, d, s_o and s_c of Algorithm 1, in this order."""

    q: Callable[[float], Tensor]
    d: Callable[[Sequence[Tensor]], list[CandidateImages]]
    s_o: Callable[[CandidateImages], float]
    s_c: Callable[[CandidateImages], float]


@dataclass(frozen=True)
class Selection:
    """What Algorithm 1 came to.

    Attributes:
        mixing_weight: w*.
        candidates: by weight, w = 0 among them always.
        context_features: mean features of the context images, `[embed_dim]`.
    """

    mixing_weight: float
    candidates: tuple[Candidate, ...]
    context_features: NDArray[np.float32]


def functions_for(
    mixture: Mixture, concept_features: NDArray[np.float32], visualizer: Visualizer, config: GairConfig
) -> Functions:
    """Algorithm 1's functions for a prompt.

    Args:
        mixture: of the prompt.
        concept_features: mean features of the concept images, `[embed_dim]`.
        visualizer: draws.
        config: seeds and sampling.

    Returns:
        q, d, s_o and s_c. d raises as `Visualizer.draw`, s_c as `context_features`; both keep what is drawn.
    """
    q, d = mixture.conditioning, Drawing(visualizer, config)

    def s_o(images: CandidateImages) -> float:
        return object_score(images.features, concept_features)

    def s_c(images: CandidateImages) -> float:
        return context_score(images.features, context_features(mixture, d))

    return Functions(q, d, s_o, s_c)


def context_features(
    mixture: Mixture, d: Callable[[Sequence[Tensor]], list[CandidateImages]]
) -> NDArray[np.float32]:
    """Mean features `[embed_dim]` of the context images x_c, which are those of w = 0.

    Raises:
        GeneratorError: all of them are blank; others as `Visualizer.draw`.
    """
    (images,) = d([mixture.conditioning(0.0)])
    if not len(images.features):
        raise GeneratorError(
            f"all {len(images.pixels)} images at w = 0 are black or of one colour, so there is no context to "
            f"compare with; try other seeds, more steps, or less guidance"
        )
    mean: NDArray[np.float32] = images.features.mean(axis=0)
    return mean


def select_weight(
    mixture: Mixture, concept_features: NDArray[np.float32], visualizer: Visualizer, config: GairConfig
) -> Selection:
    """Draw and score candidates, all of a round and all seeds in one batch, and select the best: Algorithm 1.

    Args:
        mixture: of the prompt.
        concept_features: mean features of the concept images, `[embed_dim]`.
        visualizer: draws, and gathers warnings.
        config: which candidates, seeds, and how to draw.

    Raises:
        GeneratorError: all images at w = 0, or of all candidates, are blank; others as `Visualizer.draw`.
    """
    functions = functions_for(mixture, concept_features, visualizer, config)
    q, d, s_o, s_c = functions
    first = config.first_weights
    d([q(w) for w in (0.0, *first)])  # the context images in one batch with the first round
    refine: Refine = partial(midpoints, step=config.step) if config.refines else lambda S: ()
    w, S = algorithm_1(first, *functions, refine=refine)
    images = {w: d([q(w)])[0] for w in sorted({0.0, *S})}
    visualizer.warn_of_blank(images)
    if S[w] == -math.inf and config.mixing_weight is None:
        raise GeneratorError(
            "the images of all candidate weights are black or of one colour; try other seeds or more steps"
        )
    candidates = tuple(_candidate(w, one, s_o(one), s_c(one), w not in S) for w, one in images.items())
    return Selection(w, candidates, context_features(mixture, d))


def _candidate(w: float, images: CandidateImages, s_o: float, s_c: float, context_only: bool) -> Candidate:
    if not len(images.features):
        return Candidate(w, images.pixels, None, None, images.excluded, context_only)
    return Candidate(w, images.pixels, s_o, s_c, images.excluded, context_only)
