"""Read, decode and preprocess image files in worker processes. Imports no torch: a worker starts in a moment."""

import contextlib
import itertools
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import GairError, ImageError
from gair_search.images.decoding import decode
from gair_search.images.fingerprint import content_hash
from gair_search.images.folders import ScannedFile, Skipped
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.reading import read_file

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

T = TypeVar("T")

FEW = 48
"""Below this many files, starting worker processes costs more than they save."""


@dataclass(frozen=True)
class Loaded:
    """A file that could be read.

    Attributes:
        file: as scanned, with the size and time of change from when it was read.
        content_hash: of its bytes.
        pixels: uint8 `[height, width, 3]` for the image tower; None where the content is known already.
        width, height, format, taken_at: as in `DecodedImage`; 0, 0, "", None where it is known already.
    """

    file: ScannedFile
    content_hash: str
    pixels: NDArray[np.uint8] | None = None
    width: int = 0
    height: int = 0
    format: str = ""
    taken_at: str | None = None


Load = Callable[[ScannedFile, Preprocessing, frozenset[str]], Loaded | Skipped]


def decoding_processes(files: int) -> int:
    """How many processes to decode so many files with: one less than there are cores, 0 for a handful."""
    return 0 if files < FEW else min(8, max(1, (os.cpu_count() or 2) - 1))


def load_file(file: ScannedFile, preprocessing: Preprocessing, known: frozenset[str]) -> Loaded | Skipped:
    """Read one file; decode it unless its content hash is among the `known`. Never raises on a bad file."""
    try:
        data, facts = read_file(file.path)
        file = ScannedFile(file.path, facts.st_size, facts.st_mtime_ns)
        digest = content_hash(data)
        if digest in known:
            return Loaded(file, digest)
        image = decode(data, preprocessing.decoded_side)
        pixels = preprocessing.pixels(image.image)
    except ImageError as error:
        return Skipped(file.path, error.reason)
    except MemoryError:
        return Skipped(file.path, "not enough memory to preprocess it")
    return Loaded(file, digest, pixels, image.width, image.height, image.format, image.taken_at)


def load_files(
    files: Iterable[ScannedFile],
    preprocessing: Preprocessing,
    known: frozenset[str],
    workers: int,
    ahead: int = 64,
    load: Load = load_file,
) -> Generator[Loaded | Skipped, None, None]:
    """Load files in order, decoding ahead of the consumer.

    Args:
        known: content hashes that need no decoding.
        workers: processes; 0 decodes in this one.
        ahead: how many files may be under way or waiting for the consumer.
        load: what to do with one file.

    Yields:
        one result a file. A file that kills its decoder is reported like any other bad file.
    """
    if workers == 0:
        for file in files:
            yield load(file, preprocessing, known)
        return
    todo = iter(files)
    while rest := list(itertools.islice(todo, 1)):
        todo = itertools.chain(rest, todo)
        lost = yield from _load_in_pool(todo, preprocessing, known, workers, ahead, load)
        for file in lost:
            yield _load_alone(file, preprocessing, known, load)


# The pool's own processes keep what all files share, so that a task carries its file alone.
_shared: tuple[Load, Preprocessing, frozenset[str]] | None = None


def _begin_worker(load: Load, preprocessing: Preprocessing, known: frozenset[str], parent: int) -> None:
    """Keep the shared values; leave Ctrl-C to the process `parent`, and never outlive it."""
    global _shared
    _shared = (load, preprocessing, known)
    warnings.simplefilter("ignore")  # Pillow's, about files that are reported anyway
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _load_shared(file: ScannedFile) -> Loaded | Skipped:
    assert _shared is not None
    load, preprocessing, known = _shared
    return load(file, preprocessing, known)


def _load_in_pool(
    files: Iterator[ScannedFile],
    preprocessing: Preprocessing,
    known: frozenset[str],
    workers: int,
    ahead: int,
    load: Load,
) -> Generator[Loaded | Skipped, None, list[ScannedFile]]:
    """Load until the files end or a worker dies. Returns the files that were under way when one died."""
    waiting: deque[tuple[ScannedFile, Future[Loaded | Skipped]]] = deque()
    with _pool(workers, load, preprocessing, known) as pool:
        for file in itertools.islice(files, ahead):
            waiting.append((file, _submit(pool, _load_shared, file)))
        while waiting:
            result = _result(waiting[0][1])
            if result is None:
                return [file for file, _ in waiting]
            waiting.popleft()
            for file in itertools.islice(files, 1):
                waiting.append((file, _submit(pool, _load_shared, file)))
            yield result
    return []


def _load_alone(
    file: ScannedFile, preprocessing: Preprocessing, known: frozenset[str], load: Load
) -> Loaded | Skipped:
    """Load one file in a process of its own, to find which one killed the pool.

    Raises:
        GairError: no process can be started at all, so that no file is to blame.
    """
    with _pool(1, load, preprocessing, known) as pool:
        result: Loaded | Skipped | None = _result(_submit(pool, _load_shared, file))
    if result is not None:
        return result
    with _pool(1, load, preprocessing, known) as pool:
        if _result(_submit(pool, os.getpid)) is None:
            raise GairError("decoding processes can't be started on this machine; try --workers 0")
    return Skipped(file.path, "its decoder crashed or ran out of memory")


@contextlib.contextmanager
def _pool(
    workers: int, load: Load, preprocessing: Preprocessing, known: frozenset[str]
) -> Iterator["ProcessPoolExecutor"]:
    """Worker processes; none outlives the block."""
    from loky import ProcessPoolExecutor  # unlike the standard one, it never imports the user's main module

    shared = (load, preprocessing, known, os.getpid())
    pool = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=shared)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _submit(pool: "ProcessPoolExecutor", work: Callable[..., T], *args: object) -> "Future[T]":
    """Hand work to a pool; one that lost a worker meanwhile gives a future that says so."""
    from loky.process_executor import BrokenProcessPool

    future: Future[T]
    try:
        future = pool.submit(work, *args)
    except BrokenProcessPool as error:
        future = Future()
        future.set_exception(error)
    return future


def _result(future: "Future[T]") -> T | None:
    """What a worker returned, or None where the pool lost a worker."""
    from loky.process_executor import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool:
        return None
