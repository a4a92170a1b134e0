"""Files -> batches of pixels for the image tower, decoded ahead in worker processes."""

import contextlib
from collections.abc import Generator, Sequence

from gair_search.images.folders import ScannedFile, Skipped
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.workers import Loaded, decoding_processes, load_files
from gair_search.progress import Progress

BATCH_SIZE = 32
"""Images that go through the image tower at once, unless told otherwise."""


def load_batches(
    files: Sequence[ScannedFile],
    preprocessing: Preprocessing,
    skipped: list[Skipped],
    *,
    known: frozenset[str] = frozenset(),
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Generator[list[Loaded], None, None]:
    """Load files in order. Close the generator where it is left early: it holds the worker processes.

    Args:
        skipped: takes the files that can't be read.
        known: content hashes that need no decoding.
        batch_size: files a batch; the last may have fewer.
        workers: decoding processes; by default one less than there are cores, 0 for a handful of files.
        on_progress: called with the files done and the files to do, after each file, and for the last file of a
            batch when the consumer is done with that batch.

    Yields:
        batches of the files that can be read; none is empty.
    """
    if workers is None:
        workers = decoding_processes(len(files))
    batch: list[Loaded] = []
    loading = load_files(files, preprocessing, known, workers, ahead=2 * batch_size + workers)
    with contextlib.closing(loading):
        for done, result in enumerate(loading, start=1):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                batch.append(result)
            if batch and (len(batch) == batch_size or done == len(files)):
                yield batch
                batch = []
            if on_progress:
                on_progress(done, len(files))
