"""From a prompt to GAIR's result: what it mixes, what is drawn of it, which weight is selected (Algorithm 1 whole)."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GairError, GairWarning
from gair_search.gair.algorithm import Mixture, mixture, prompt_conditioning
from gair_search.gair.cache import ImageCache
from gair_search.gair.drawing import Visualizer, best
from gair_search.gair.options import GairConfig
from gair_search.gair.result import GairResult
from gair_search.gallery import Hit
from gair_search.generation.generator import Generator
from gair_search.query.compiler import Lookup, Query, plain_query
from gair_search.query.language import parse
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken


@dataclass(frozen=True)
class Subject:
    """A prompt, and what GAIR must know of its concept before it draws.

    Attributes:
        prompt: with one concept.
        token: of the concept.
        attributes: what stands in its place at w = 0; one or more.
        concept_features: mean features of its images, `[embed_dim]`.
    """

    prompt: str
    token: CustomToken
    attributes: list[str]
    concept_features: NDArray[np.float32]

    @classmethod
    def of(cls, prompt: str, encoder: Encoder, lookup: Lookup, options: GairConfig) -> "Subject":
        """Gather it; no tower is read, save for images that the options name.

        Raises:
            ConceptError, ImageError: as `mixed_concept`, `attributes_of` and `features_of`.
        """
        token = mixed_concept(prompt, lookup)
        return cls(prompt, token, attributes_of(token, options), features_of(token, encoder, options))

    def mixture(self, encoder: Encoder, lookup: Lookup) -> Mixture:
        """What there is to mix. Raises as `gair.mixture`."""
        return mixture(self.prompt, encoder, lookup, self.attributes)


def mixed_concept(prompt: str, lookup: Lookup) -> CustomToken:
    """The one concept of a prompt. Raises ConceptError where there is none, or more."""
    names = dict.fromkeys(span.concept for span in parse(prompt) if span.concept)
    tokens = {token.name: token for token in map(lookup, names)}
    if not tokens:
        raise ConceptError(
            "GAIR mixes a concept with its attributes, and the prompt has none; write <name> or *"
        )
    if len(tokens) > 1:
        found = " and ".join(f"<{name}>" for name in tokens)
        raise ConceptError(f"GAIR mixes one concept, and the prompt has {found}; write it with one of them")
    return next(iter(tokens.values()))


def attributes_of(token: CustomToken, options: GairConfig) -> list[str]:
    """What stands in a concept's place at w = 0. Raises ConceptError where nothing says it."""
    if found := list(options.attributes) or facts.attributes(token):
        return found
    raise ConceptError(
        f"the file of <{token.name}> names no attributes to mix with; name some that suit it, as red, old, striped"
    )


def features_of(token: CustomToken, encoder: Encoder, options: GairConfig) -> NDArray[np.float32]:
    """Mean features `[embed_dim]` of a concept's images: of those that the options name, else of its file.

    Raises:
        ConceptError: the file holds none, or another embedder's.
        ImageError: a named image can't be read.
    """
    if options.concept_images:
        mean: NDArray[np.float32] = encoder.encode_files(options.concept_images).mean(axis=0)
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


def mixed_query(prompt: str, w: float, encoder: Encoder, lookup: Lookup, options: GairConfig) -> Query:
    """The query of a prompt at a mixing weight in 0..1; no image is drawn.

    Raises:
        ConceptError: as `mixed_concept` and `attributes_of`; others as `gair.mixture`.
    """
    told = mixture(prompt, encoder, lookup, attributes_of(mixed_concept(prompt, lookup), options))
    return _query(prompt, told, w)


def visualizer_for(
    encoder: Encoder,
    generator: Generator,
    options: GairConfig,
    on_progress: Callable[[int, int], None] | None = None,
) -> Visualizer:
    """A fresh visualizer, with the cache on disk where the options want it."""
    return Visualizer(encoder, generator, ImageCache() if options.cache else None, on_progress)


def run(subject: Subject, visualizer: Visualizer, lookup: Lookup, options: GairConfig) -> GairResult:
    """Draw the candidates, select the mixing weight, and compile the query with it.

    Raises:
        GeneratorError, ModelError: as `Visualizer.explore` and `visualize.best`; others as `gair.mixture`.
    """
    told = subject.mixture(visualizer.encoder, lookup)
    candidates, context_features = visualizer.explore(told, subject.concept_features, options)
    w = best(candidates) if options.mixing_weight is None else options.mixing_weight
    if subject.token.facts.get(facts.METHOD) == facts.PROMPT_TUNING:
        visualizer.warnings.append(
            f"<{subject.token.name}> was learned by prompt tuning, for telling images apart: images drawn of it may "
            f"not mean anything, nor then the weight that they select"
        )
    return GairResult(
        selected_weight=w,
        by_hand=options.mixing_weight is not None,
        candidates=tuple(candidates.values()),
        query=_query(subject.prompt, told, w),
        concept=subject.token.name,
        attributes=tuple(subject.attributes),
        concept_features=subject.concept_features,
        context_features=context_features,
        sampling=visualizer.generator.complete_sampling(options.sampling),
        seeds=options.seeds,
        denoiser_rows=visualizer.denoiser_rows,
        cached=visualizer.cached,
        warnings=tuple(visualizer.warnings),
    )


def drawn_as_it_is(
    prompt: str, reason: str, visualizer: Visualizer, lookup: Lookup, options: GairConfig
) -> GairResult:
    """The result of a prompt that can't be mixed, for the `reason` that it warns with: at w = 1, without scores.

    Raises:
        GeneratorError, ModelError: as `Visualizer.draw`; others as `compile_prompt`.
    """
    encoder = visualizer.encoder
    shown = visualizer.show(prompt_conditioning(prompt, encoder, lookup), options)
    return GairResult(
        selected_weight=1.0,
        by_hand=False,
        candidates=(shown,),
        query=plain_query(prompt, encoder, lookup),
        concept=None,
        attributes=(),
        concept_features=None,
        context_features=None,
        sampling=visualizer.generator.complete_sampling(options.sampling),
        seeds=options.seeds,
        denoiser_rows=visualizer.denoiser_rows,
        cached=visualizer.cached,
        warnings=(f"drawn as it is, without scores: {reason}", *visualizer.warnings),
    )


def query_or_plain(gair: Callable[[], GairResult], plain: Callable[[], Query], *, auto: bool) -> Query:
    """GAIR's query; or the plain one, where there can be none and `auto` allows it.

    What the user should know is a GairWarning at the caller's caller.

    Raises:
        GairError: as `gair` where not `auto`; as `plain`.
    """
    try:
        seen = gair()
    except GairError as error:
        if not auto:
            raise
        warnings.warn(f"searched without GAIR: {error}", GairWarning, stacklevel=3)
        return plain()
    for warning in seen.warnings:
        warnings.warn(warning, GairWarning, stacklevel=3)
    return seen.query


def both_features(result: GairResult) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean features `[embed_dim]` of the concept images and of the context images. Raises ConceptError."""
    if result.concept_features is None or result.context_features is None:
        raise ConceptError("these images were drawn of a prompt without a concept, so they have no scores")
    return result.concept_features, result.context_features


def reranked(
    hits: Iterable[Hit],
    vectors: Mapping[str, NDArray[np.float32]],
    concept_features: NDArray[np.float32],
    context_features: NDArray[np.float32],
) -> list[Hit]:
    """Hits by the worse of their images' own object and context score, best first.

    Args:
        hits: of a gallery.
        vectors: of the hits' images, `[embed_dim]` by id; hits without one come last, as they were.
        concept_features, context_features: mean features `[embed_dim]`.
    """
    scored: list[Hit] = []
    gone: list[Hit] = []
    for hit in hits:
        if hit.id not in vectors:
            gone.append(hit)
            continue
        both = float(vectors[hit.id] @ concept_features), float(vectors[hit.id] @ context_features)
        payload = {**hit.payload, "object_score": both[0], "context_score": both[1]}
        scored.append(replace(hit, score=min(both), payload=payload))
    scored.sort(key=lambda hit: -hit.score)
    return [replace(hit, rank=rank) for rank, hit in enumerate([*scored, *gone], start=1)]


def _query(prompt: str, told: Mixture, w: float) -> Query:
    return Query(prompt, told.query_vector(w), told.tokens, ((1.0, prompt),), w)
