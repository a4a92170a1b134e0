"""The skeleton of every table's run: what it is made of, its generator, and how far it is.

Every table is one function with the same arguments:

- `encoder`: the model, whose text tower takes custom tokens and token weights.
- `config`: what the run is made of, a `RunConfig`.
- `work`: the folder that keeps finished parts, so that an interrupted run goes on; `GAIR_HOME/bench` unless given.
- `save_run`: whether the rankings are kept, too, for `Report.save_runs`.
- `on_progress`: takes note of how far the run is.

It raises DatasetError where the data set is absent or incomplete, and ModelError where the text tower takes plain
prompts only. Rows that need a generator are left out where the model has none, and the report says so.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError, ModelError
from gair_search.progress import Progress

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator


VALIDATION_SEEDS = (7, 8, 100, 101)
"""All that is chosen is chosen on these (benchmarks/PROTOCOL.md)."""

TEST_SEEDS = tuple(range(20, 30))
"""What is reported is of these, or of the first of them, and they are run once a version."""


@dataclass(frozen=True)
class RunConfig:
    """What every run is made of.

    Attributes:
        dataset: the fashion world, or the name of a data set in a folder.
        data: that folder.
        seeds: a run a seed; each draws its own pictures. `TEST_SEEDS` are to report, `VALIDATION_SEEDS` to choose on.
        limit: at most so many concepts, classes or combinations a seed; all where None.
    """

    dataset: str = "fashion"
    data: Path | None = None
    seeds: tuple[int, ...] = TEST_SEEDS[:3]
    limit: int | None = None

    @property
    def folder(self) -> Path:
        """Where the data set lies. Raises DatasetError where it was not given."""
        if self.data is None:
            raise DatasetError(f"{self.dataset}: say where it lies with --data FOLDER")
        return self.data

    def to_json(self, encoder: Encoder) -> dict[str, Any]:
        """All that results depend on, as JSON values."""
        return {name: json_value(value) for name, value in asdict(self).items()} | {
            "model": encoder.spec.name
        }


def json_value(value: Any) -> Any:
    """A configuration's value as JSON has it; a path is written in full."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Mapping):
        return {name: json_value(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [json_value(one) for one in value]
    return value


def known_rows(wanted: Iterable[str], known: Iterable[str], what: str = "method") -> tuple[str, ...]:
    """Those of the known names that are wanted, in their own order and spelling; all where nothing is wanted.

    Raises:
        GairError: an unknown name is wanted.
    """
    names = {name.lower(): name for name in known}
    lower = [name.lower() for name in wanted]
    if unknown := [name for name in wanted if name.lower() not in names]:
        raise GairError(f'no {what} "{unknown[0]}"; there are: {", ".join(names.values())}')
    return tuple(name for key, name in names.items() if key in lower or not lower)


def load_own_generator(encoder: Encoder, source: str | None = None) -> "tuple[Generator | None, str]":
    """The model's own generator; or None, and why there is none.

    Args:
        encoder: the model.
        source: a generator that was chosen instead, as for `Generator.load`.

    Raises:
        ModelError: the chosen one can't be used.
    """
    from gair_search.generation.generator import Generator

    if source is not None:
        return Generator.load(encoder, source), ""
    try:
        return Generator.load(encoder), ""
    except ModelError as error:  # GeneratorError among them
        return None, str(error)


def without_generator(
    rows: Iterable[str], needing: Collection[str], generator: "Generator | None", why: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The rows that can be run, and those that can't -> why.

    Args:
        rows: of a table.
        needing: rows that need a generator.
        generator: the model's own, or None.
        why: why it has none.
    """
    rows = tuple(rows)
    skipped = {name: why for name in rows if name in needing and generator is None}
    return tuple(name for name in rows if name not in skipped), skipped


class ProgressCounter:
    """Counts what is done and reports it.

    Attributes:
        total: units in all, as far as is known by now.
    """

    def __init__(self, on_progress: Progress | None, total: int = 0) -> None:
        self._on_progress, self.total, self._done = on_progress, total, 0

    def advance(self, n: int = 1) -> None:
        """`n` more units are done."""
        self._done += n
        if self._on_progress:
            self._on_progress(self._done, self.total)
