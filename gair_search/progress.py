"""How long work reports how far it is: one protocol for the whole library; `cli/` draws bars from it."""

from typing import Protocol


class Progress(Protocol):
    """A function that long work calls now and then."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take note of progress.

        Args:
            done: units of work that are finished.
            total: units in all, as far as is known by now; it may grow.
            note: what else a person would like to see, as a loss.
        """
