"""From a compiled query to GAIR's result: the one place where results are made."""

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError, GairError, GairWarning
from gair_search.gair.cache import ImageCache
from gair_search.gair.drawing import Drawing, Visualizer
from gair_search.gair.mixing import prompt_conditioning
from gair_search.gair.options import GairConfig
from gair_search.gair.scores import Candidate
from gair_search.gair.selection import Subject, context_features, select_weight
from gair_search.generation.sampling import SamplingConfig
from gair_search.parts import Parts
from gair_search.progress import Progress
from gair_search.query.compiler import Query
from gair_search.tokens import facts


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
    query: Query
    concept: str | None
    attributes: tuple[str, ...]
    concept_features: NDArray[np.float32] | None
    context_features: NDArray[np.float32] | None
    sampling: SamplingConfig
    seeds: tuple[int, ...]
    denoiser_rows: int
    cached: int
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        query: Query,
        visualizer: Visualizer,
        config: GairConfig,
        candidates: tuple[Candidate, ...],
        selected_weight: float,
        subject: Subject | None = None,
        context_features: NDArray[np.float32] | None = None,
    ) -> "GairResult":
        """Put a result together: what was found, and what the visualizer has to say of it."""
        return cls(
            selected_weight=selected_weight,
            by_hand=subject is not None and config.mixing_weight is not None,
            candidates=candidates,
            query=query,
            concept=subject.token.name if subject else None,
            attributes=tuple(subject.attributes) if subject else (),
            concept_features=subject.concept_features if subject else None,
            context_features=context_features,
            sampling=visualizer.generator.complete_sampling(config.sampling),
            seeds=config.seeds,
            denoiser_rows=visualizer.denoiser_rows,
            cached=visualizer.cached,
            warnings=tuple(visualizer.warnings),
        )

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


def run_gair(
    query: Query,
    parts: Parts,
    config: GairConfig | None = None,
    on_progress: Progress | None = None,
) -> GairResult:
    """Draw the candidates, select the mixing weight, and mix the query with it: Algorithm 1 whole.

    Args:
        query: of a prompt with one concept, with nothing added.
        parts: the model and its generator, which is loaded once it is known what to draw.
        config: candidates, seeds, how to draw.
        on_progress: called with the steps of single images that are done, and those known so far.

    Raises:
        ConceptError, ImageError: as `Subject.of`; GeneratorError, ModelError: as `select_weight`.
    """
    config = config or GairConfig()
    subject = Subject.of(query, parts.encoder, config)
    visualizer = make_visualizer(parts, config, on_progress)
    mixture = subject.mix(parts.encoder)
    selection = select_weight(mixture, subject.concept_features, visualizer, config)
    if subject.token.facts.get(facts.METHOD) == facts.PROMPT_TUNING:
        visualizer.warnings.append(
            f"<{subject.token.name}> was learned by prompt tuning, for telling images apart: images drawn of it may "
            f"not mean anything, nor then the weight that they select"
        )
    w = selection.mixing_weight
    mixed = replace(query, vector=mixture.query_vector(w), mixing_weight=w)
    return GairResult.of(
        mixed, visualizer, config, selection.candidates, w, subject, selection.context_features
    )


def draw_prompt(
    query: Query,
    parts: Parts,
    config: GairConfig | None = None,
    on_progress: Progress | None = None,
) -> GairResult:
    """`run_gair`, or the images of the prompt as it is, at w = 1 and without scores, where it can't be mixed.

    Raises:
        GeneratorError, ModelError: as `run_gair`.
    """
    config = config or GairConfig()
    try:
        return run_gair(query, parts, config, on_progress)
    except ConceptError as error:
        reason = str(error)
    visualizer = make_visualizer(parts, config, on_progress)
    visualizer.warnings.append(f"drawn as it is, without scores: {reason}")
    (images,) = Drawing(visualizer, config)([prompt_conditioning(query, parts.encoder)])
    visualizer.warn_of_blank({1.0: images})
    candidate = Candidate(1.0, images.pixels, None, None, images.excluded)
    return GairResult.of(query, visualizer, config, (candidate,), selected_weight=1.0)


def draw_context(
    query: Query, parts: Parts, config: GairConfig | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean features `[embed_dim]` of the concept images, and of the context images, which alone are drawn.

    Raises:
        as `run_gair`.
    """
    config = config or GairConfig()
    subject = Subject.of(query, parts.encoder, config)
    d = Drawing(make_visualizer(parts, config), config)
    return subject.concept_features, context_features(subject.mix(parts.encoder), d)


def make_visualizer(parts: Parts, config: GairConfig, on_progress: Progress | None = None) -> Visualizer:
    """A fresh visualizer, with the cache on disk where the options want it."""
    return Visualizer(parts.encoder, parts.generator, ImageCache() if config.cache else None, on_progress)


def choose_query(gair: Callable[[], GairResult], plain: Query, *, auto: bool) -> Query:
    """GAIR's query; or the plain one, where there can be none and `auto` allows it.

    What the user should know is a GairWarning at the caller's caller.

    Raises:
        GairError: as `gair` where not `auto`.
    """
    try:
        result = gair()
    except GairError as error:
        if not auto:
            raise
        warnings.warn(f"searched without GAIR: {error}", GairWarning, stacklevel=3)
        return plain
    for warning in result.warnings:
        warnings.warn(warning, GairWarning, stacklevel=3)
    return result.query
