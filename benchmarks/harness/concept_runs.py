"""What a run that learns concepts' tokens is made of: the configuration that tables 1 to 4 share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from gair_search.benchmarks.harness.negatives import DRAWN
from gair_search.benchmarks.harness.run import RunConfig, known_rows
from gair_search.benchmarks.methods import polar
from gair_search.encoder.clip import Encoder
from gair_search.learning.config import LearningConfig, config_for


@dataclass(frozen=True)
class ConceptRunConfig(RunConfig):
    """What a run that learns concepts' tokens is made of.

    Attributes:
        methods: which rows, in the table's order; all of the table's own where empty.
        steps: of learning; the model's own unless given.
        shots: concept images, or all that there are; as `SHOTS` unless given.
        attributes: that span the subspace; those nearest to the parent where empty.
        world: further arguments of `fashion_world`.
        generator: what draws, as for `Generator.load`; the model's own unless given.
        negatives: where negative images come from: "drawn" from 'image of a c', as in the paper; "gallery", the
            pictures that are searched, or a pool that the data set has, without labels; or a folder of photos.
    """

    methods: tuple[str, ...] = ()
    steps: int | None = None
    shots: int | Literal["all"] | None = None
    attributes: tuple[str, ...] = ()
    world: Mapping[str, Any] = field(default_factory=dict)
    generator: str | None = None
    negatives: str = DRAWN

    METHODS: ClassVar[tuple[str, ...]]
    """The table's own rows."""

    SHOTS: ClassVar[Mapping[str, int | str]]
    """Data set -> concept images, unless given."""

    @property
    def rows(self) -> tuple[str, ...]:
        """The methods to run. Raises GairError on an unknown one."""
        return known_rows(self.methods, self.METHODS)

    def unit(self, label: str) -> str:
        """What a value's label `seed{s}/{concept}` is a draw of, and what is resampled: the concept.

        In the fashion world, concepts of different seeds share nothing. Elsewhere a seed draws the photos that a
        concept is learned from, and the concept is the same.
        """
        return label if self.dataset == "fashion" else label.split("/", 1)[1]

    def learning(self, encoder: Encoder) -> LearningConfig:
        """How tokens are learned."""
        own = config_for(encoder.spec)
        return own if self.steps is None else replace(own, steps=self.steps)

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, save the generator."""
        return super().to_json(encoder) | {
            "methods": list(self.rows),
            "shots": self.shots or self.SHOTS[self.dataset],
            "attributes": list(self.attributes),
            "learning": asdict(self.learning(encoder)),
            "polar": asdict(polar.read_polar_config(encoder.spec)),
        }

    def token_key(self, encoder: Encoder) -> dict[str, Any]:
        """All that a token of the fashion world depends on, save weights and generator: one key for all tables."""
        own = {one.name for one in fields(ConceptRunConfig)} | {"model", "learning", "polar"}
        apart = {"seeds", "limit", "methods", "generator"}  # `TokenCells` takes the generator's identity
        return {name: value for name, value in self.to_json(encoder).items() if name in own - apart}
