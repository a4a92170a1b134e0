"""What all tables share: kept results, features of pictures, tables and figures. Prints nothing."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.harness.trec import (
    Qrels,
    Run,
    write_qrels,
    write_run,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.paths import home, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 32
Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


class Work:
    """A folder that keeps what is finished, so that an interrupted run goes on where it was.

    Cells lie in a folder of their own for each set of settings; features are shared by all that ask for the
    same pictures with the same model.
    """

    def __init__(self, table: str, settings: Mapping[str, Any], folder: Path | None = None) -> None:
        """`settings` are all that a cell's content depends on; `folder` is `GAIR_HOME/bench` unless given."""
        root = folder or home() / "bench"
        self._cells = root / table / digest(settings)
        self._features = root / "features"
        write_atomically(self._cells / "settings.json", _json(settings))

    def cell(self, name: str, make: Callable[[], Any], again: bool = False) -> Any:
        """A finished cell's JSON value; made, and kept, where there is none yet or `again` is asked for."""
        path = self._cells / f"{name}.json"
        if path.is_file() and not again:
            return json.loads(path.read_bytes())
        content = _json(make())
        write_atomically(path, content)
        return json.loads(content)

    def file(self, name: str, make: Callable[[], bytes]) -> Path:
        """A finished cell that is a file of that name; made, and kept, where it isn't there yet."""
        path = self._cells / name
        if not path.is_file():
            write_atomically(path, make())
        return path

    def features(
        self, encoder: Encoder, pictures: Sequence[Picture], on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Image features `[N, embed_dim]` of pictures, kept by model and `contents`.

        Args:
            encoder: the model.
            pictures: at least one.
            on_progress: called with how many more are done.

        Raises:
            ImageError: a picture can't be read.
        """
        side = max(encoder.preprocessing.size)
        key = digest([encoder.embedder_id.to_metadata(), *contents(pictures, side)])
        path = self._features / f"{key}.npy"
        if path.is_file():
            if on_progress:
                on_progress(len(pictures))
            kept: NDArray[np.float32] = np.load(path)
            return kept
        rows = []
        for i in range(0, len(pictures), BATCH):
            batch = [encoder.preprocessing.pixels(picture.image(side)) for picture in pictures[i : i + BATCH]]
            rows.append(encoder.encode_pixels(batch))
            if on_progress:
                on_progress(len(batch))
        features = np.concatenate(rows)
        buffer = io.BytesIO()
        np.save(buffer, features)
        write_atomically(path, buffer.getvalue())
        return features


def contents(pictures: Sequence[Picture], side: int) -> list[Any]:
    """What tells that pictures are others, as JSON values: the content keys, and the first one's pixels.

    What is drawn is known by its id and content; by the pixels, should drawing change.

    Args:
        pictures: at least one.
        side: as of `Picture.image`.

    Raises:
        ImageError: the first can't be read.
    """
    sample = hashlib.sha256(pictures[0].image(side).tobytes()).hexdigest()
    return [sample, [picture.content_key for picture in pictures]]


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
        runs: method -> run, where runs were asked for.
        qrels: of all runs.
    """

    name: str
    settings: dict[str, Any]
    values: dict[str, Any]
    tables: list[Table]
    figures: dict[str, Callable[[], "Figure"]] = field(default_factory=dict)
    pictures: dict[str, Callable[[], Image.Image]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    qrels: Qrels = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Settings and values."""
        return {"bench": self.name, "settings": self.settings, **self.values}

    def save(self, folder: Path) -> list[Path]:
        """Write tables, values, figures (SVG) and pictures (PNG); returns the files.

        Raises:
            GairError: matplotlib is not installed, or the folder can't be written.
        """
        text = "\n".join(table.markdown() for table in self.tables)
        contents = {f"{self.name}.md": text.encode(), f"{self.name}.json": _json(self.to_json())}
        for stem, draw in self.figures.items():
            buffer = io.BytesIO()
            draw().savefig(buffer, format="svg", metadata={"Date": None})
            contents[f"{stem}.svg"] = buffer.getvalue()
        for stem, picture in self.pictures.items():
            contents[f"{stem}.png"] = as_png(picture())
        return _written(folder, contents)

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


def new_figure(columns: int, width: float = 4.2, height: float = 3.4) -> "Figure":
    """An empty figure with a row of axes, drawn without a display.

    Raises:
        GairError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GairError("figures need matplotlib: pip install 'gair-search[bench]'") from error
    # the same file for the same figures, its text as text
    matplotlib.rcParams.update({"svg.hashsalt": "gair", "svg.fonttype": "none", "font.size": 8})
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    figure.subplots(1, columns, sharey=True)
    return figure


def as_png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _written(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise GairError(f"{folder} can't be written: {error.strerror or error}") from error
    return [folder / name for name in contents]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def digest(value: Any) -> str:
    """16 hex digits that tell JSON values apart."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
