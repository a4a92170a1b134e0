"""What a table's run came to: values, tables for people, figures, pictures and rankings. Prints nothing."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from gair_search.benchmarks.harness.cells import to_bytes
from gair_search.benchmarks.harness.measures import Comparison, Summary
from gair_search.benchmarks.harness.trec import write_qrels, write_run
from gair_search.errors import GairError
from gair_search.paths import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Rows of text under columns of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """As RESULTS.md has them."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")


@dataclass
class Report:
    """What a table's run came to.

    Attributes:
        name: of the table.
        settings: what it was run with.
        values: all figures, as JSON values.
        tables: for people, the paper's figures beside ours.
        figures: file stem -> what draws it.
        pictures: file stem -> what draws it, of images.
        runs: method -> query -> image -> score, where runs were asked for.
        qrels: query -> image -> 1 where it is relevant, of all runs.
    """

    name: str
    settings: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Callable[[], "Figure"]] = field(default_factory=dict)
    pictures: dict[str, Callable[[], Image.Image]] = field(default_factory=dict)
    runs: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)

    def keep_ranking(
        self, method: str, query: str, scores: Mapping[str, float], relevant: Iterable[str]
    ) -> None:
        """Keep what a method returned for a query, for `save_runs`.

        Args:
            method: the run's name.
            query: the query's id.
            scores: image id -> score.
            relevant: ids of the images that answer the query.
        """
        self.runs.setdefault(method, {})[query] = {image: float(score) for image, score in scores.items()}
        self.qrels[query] = dict.fromkeys(relevant, 1)

    def to_json(self) -> dict[str, Any]:
        """Settings and values."""
        return {"bench": self.name, "settings": self.settings, **self.values}

    def save(self, folder: Path) -> list[Path]:
        """Write tables, values, figures (SVG) and pictures (PNG); returns the files.

        Raises:
            GairError: matplotlib is not installed, or the folder can't be written.
        """
        text = "\n".join(table.markdown() for table in self.tables)
        contents = {f"{self.name}.md": text.encode(), f"{self.name}.json": to_bytes(self.to_json())}
        for stem, draw in self.figures.items():
            buffer = io.BytesIO()
            draw().savefig(buffer, format="svg", metadata={"Date": None})
            contents[f"{stem}.svg"] = buffer.getvalue()
        for stem, picture in self.pictures.items():
            contents[f"{stem}.png"] = as_png(picture())
        return _write_files(folder, contents)

    def save_runs(self, folder: Path) -> list[Path]:
        """Write a TREC run a method, and the qrels; returns the files."""
        files = [folder / f"{self.name}-{name.replace(' ', '-')}.run" for name in self.runs]
        qrels = folder / f"{self.name}.qrels"
        try:
            for file, (name, run) in zip(files, self.runs.items(), strict=True):
                write_run(file, run, name)
            write_qrels(qrels, self.qrels)
        except OSError as error:
            raise GairError(f"{folder} can't be written: {error.strerror or error}") from error
        return [*files, qrels]


def as_png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise GairError(f"{folder} can't be written: {error.strerror or error}") from error
    return [folder / name for name in contents]


def percent(found: Mapping[str, Any] | None, digits: int = 1) -> str:
    """A summary `mean`, `sd`, `n` of shares as `12.3 ± 4.5`, in percent; "" where there is none."""
    if found is None:
        return ""
    return format(Summary(100 * found["mean"], 100 * found["sd"], found["n"]), f".{digits}f")


def difference_cells(found: Mapping[str, Any] | None, spec: str = "+.1%") -> tuple[str, str]:
    """A paired comparison as `difference [low, high]` and its p; two empty cells where there is none."""
    if found is None:
        return "", ""
    compared = Comparison(**found)
    low, high = format(compared.low, spec), format(compared.high, spec)
    return f"{format(compared.difference, spec)} [{low}, {high}]", f"{compared.p:.4f}"


def interval_cell(found: Mapping[str, float]) -> str:
    """A mean of shares and its interval as `12.3 [4.5, 20.1]`, in percent."""
    return f"{100 * found['mean']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def holm_cells(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """A comparison of a family as `difference [low, high]` in percent points and its corrected p; "" for None."""
    if found is None:
        return "", ""
    low, high = (format(100 * found[end], "+.1f") for end in ("low", "high"))
    return f"{100 * found['difference']:+.1f} [{low}, {high}]", f"{found['p_holm']:.4f}"


def comparisons_table(family: Iterable[Mapping[str, Any]], title: str) -> Table:
    """A family of comparisons of rows with each other."""
    rows = tuple((one["a"], one["b"], *holm_cells(one), f"{one['p']:.4f}") for one in family)
    note = (
        "MRR in percent points, resampled in pairs over concepts; p is corrected over these rows after Holm."
    )
    return Table(title, ("", "less", "difference [95%]", "p, Holm", "p alone"), rows, note)


def left_out_note(skipped: Mapping[str, str]) -> str:
    """A sentence on the rows that were left out, and why; "" where there are none."""
    return f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}." if skipped else ""
