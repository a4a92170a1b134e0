"""A decoder that dies, for the processes that decode (they import it by name)."""

import os
import signal

from gair_search.images.folders import ScannedFile, Skipped
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.workers import Loaded, load_file


def load_or_die(file: ScannedFile, preprocessing: Preprocessing, known: frozenset[str]) -> Loaded | Skipped:
    """As `load_file`, but one file kills its process as a broken native decoder would."""
    if "killer" in file.path:
        os.kill(os.getpid(), signal.SIGSEGV)
    return load_file(file, preprocessing, known)


class Unstartable:
    """A loader whose arrival ends the process that it comes to."""

    def __call__(self, *_: object) -> Loaded | Skipped:
        raise AssertionError

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return (os._exit, (1,))
