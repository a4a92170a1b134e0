"""What GAIR saw and selected."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gair_search.generation.sampling import SamplingConfig

if TYPE_CHECKING:
    from gair_search.query.compiler import Query


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
        return min(self.object_score, self.context_score)

    def to_json(self) -> dict[str, Any]:
        """Without the images."""
        scores = {"object_score": self.object_score, "context_score": self.context_score, "score": self.score}
        return {
            "mixing_weight": self.mixing_weight,
            **scores,
            "excluded": self.excluded,
            "context_only": self.context_only,
        }


@dataclass(frozen=True)
class GairResult:
    """What GAIR saw, and the query that came of it.

    Attributes:
        selected_weight: the mixing weight of the query.
        by_hand: whether it was given.
        candidates: by mixing weight.
        query: with the mixed vector; `Engine.search` takes it as it is.
        concept: name of the concept; None where the prompt has none.
        attributes: what stood in the concept's place at w = 0.
        concept_features, context_features: mean features `[embed_dim]` of the concept images and of the images
            at w = 0; None without a concept.
        sampling, seeds: how the images were drawn.
        denoiser_rows: rows that went through the UNet for them.
        cached: images that were on disk already.
        warnings: what the user should know.
    """

    selected_weight: float
    by_hand: bool
    candidates: tuple[Candidate, ...]
    query: "Query"
    concept: str | None
    attributes: tuple[str, ...]
    concept_features: NDArray[np.float32] | None
    context_features: NDArray[np.float32] | None
    sampling: SamplingConfig
    seeds: tuple[int, ...]
    denoiser_rows: int
    cached: int
    warnings: tuple[str, ...]

    @property
    def selected(self) -> Candidate:
        """The candidate of the selected weight."""
        return next(one for one in self.candidates if one.mixing_weight == self.selected_weight)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without images and vectors."""
        return {
            "selected_weight": self.selected_weight,
            "by_hand": self.by_hand,
            "concept": self.concept,
            "attributes": list(self.attributes),
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "sampling": asdict(self.sampling),
            "seeds": list(self.seeds),
            "denoiser_rows": self.denoiser_rows,
            "images_from_cache": self.cached,
            "warnings": list(self.warnings),
        }
