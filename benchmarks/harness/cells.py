"""Finished parts of a run, kept in a folder: results as JSON, files, and features of pictures."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.harness.run import ProgressCounter
from gair_search.encoder.clip import Encoder
from gair_search.paths import home, write_atomically

BATCH = 32


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
        write_atomically(self._cells / "settings.json", to_bytes(settings))

    def cell(self, name: str, make: Callable[[], Any], again: bool = False) -> Any:
        """A finished cell's JSON value; made, and kept, where there is none yet or `again` is asked for."""
        path = self._cells / f"{name}.json"
        if path.is_file() and not again:
            return json.loads(path.read_bytes())
        content = to_bytes(make())
        write_atomically(path, content)
        return json.loads(content)

    def file(self, name: str, make: Callable[[], bytes]) -> Path:
        """A finished cell that is a file of that name; made, and kept, where it isn't there yet."""
        path = self._cells / name
        if not path.is_file():
            write_atomically(path, make())
        return path

    def features(
        self, encoder: Encoder, pictures: Sequence[Picture], counter: ProgressCounter | None = None
    ) -> NDArray[np.float32]:
        """Image features `[N, embed_dim]` of pictures, kept by model and `picture_contents`.

        Args:
            encoder: the model.
            pictures: at least one.
            counter: counts the pictures that are done.

        Raises:
            ImageError: a picture can't be read.
        """
        side = max(encoder.preprocessing.size)
        key = digest([encoder.embedder_id.to_metadata(), *picture_contents(pictures, side)])
        path = self._features / f"{key}.npy"
        if path.is_file():
            if counter:
                counter.advance(len(pictures))
            kept: NDArray[np.float32] = np.load(path)
            return kept
        rows = []
        for i in range(0, len(pictures), BATCH):
            batch = [encoder.preprocessing.pixels(picture.image(side)) for picture in pictures[i : i + BATCH]]
            rows.append(encoder.encode_pixels(batch))
            if counter:
                counter.advance(len(batch))
        features = np.concatenate(rows)
        buffer = io.BytesIO()
        np.save(buffer, features)
        write_atomically(path, buffer.getvalue())
        return features


def picture_contents(pictures: Sequence[Picture], side: int) -> list[Any]:
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


def to_bytes(value: Any) -> bytes:
    """A JSON value as a file holds it."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def digest(value: Any) -> str:
    """16 hex digits that tell JSON values apart."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
