"""What GAIR can be asked for."""

from dataclasses import dataclass, field

from gair_search.errors import GairError
from gair_search.gair.algorithm import COARSE, STEP
from gair_search.generation.sampling import SamplingConfig
from gair_search.images.fetching import AllowUrls
from gair_search.images.sources import ImageSource

SEEDS = (0, 1)
"""Of the noise, unless given: one image a candidate leaves the selection to chance (benchmarks/RESULTS.md)."""


@dataclass(frozen=True)
class GairConfig:
    """How GAIR selects the mixing weight.

    Attributes:
        mixing_weight: set by hand; None lets the scores select it.
        candidates: candidate weights in 0..1; None tries `coarse` and then refines around the best.
        coarse: where refining begins.
        step: distance in w below which nothing is refined.
        seeds: of the noise; each candidate gets one image a seed, and its scores are their means.
        sampling: how images are drawn.
        attributes: in the concept's place at w = 0; the token's own unless given.
        concept_images: images whose mean features make the object score, in any form of `images.sources`; the
            token's own mean unless given.
        allow_urls: whether concept images that are web addresses are fetched.
        cache: whether images are kept on disk.

    Raises:
        GairError: a weight outside 0..1, no candidate, no seed, or `mixing_weight` beside `candidates`.
    """

    mixing_weight: float | None = None
    candidates: tuple[float, ...] | None = None
    coarse: tuple[float, ...] = COARSE
    step: float = STEP
    seeds: tuple[int, ...] = SEEDS
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    attributes: tuple[str, ...] = ()
    concept_images: tuple[ImageSource, ...] = ()
    allow_urls: AllowUrls = False
    cache: bool = True

    def __post_init__(self) -> None:
        by_hand = () if self.mixing_weight is None else (self.mixing_weight,)
        for w in (*self.coarse, *(self.candidates or ()), *by_hand):
            if not 0 <= w <= 1:
                raise GairError(f"mixing weight {w}: expected 0 (attributes alone) to 1 (the concept alone)")
        if not self.coarse or (self.candidates is not None and (by_hand or not self.candidates)):
            raise GairError("expected one candidate weight or more, or a mixing weight by hand, and not both")
        if not self.step > 0:
            raise GairError(f"step {self.step}: expected a distance above 0, as {STEP}")
        if not self.seeds or any(not 0 <= seed < 2**63 for seed in self.seeds):
            raise GairError(f"seeds {list(self.seeds)}: expected one or more, each 0 to 2**63 - 1")

    @property
    def first_weights(self) -> tuple[float, ...]:
        """The candidate weights that are tried first, sorted, once each."""
        given = self.coarse if self.candidates is None else self.candidates
        return tuple(sorted(set(given if self.mixing_weight is None else (self.mixing_weight,))))

    @property
    def refines(self) -> bool:
        """Whether more weights are tried around the best of the first ones."""
        return self.mixing_weight is None and self.candidates is None
