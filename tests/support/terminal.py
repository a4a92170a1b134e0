"""A terminal to write to, and what a person in front of it sees."""

import os
import pty
import select
import termios
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Literal, TextIO

_QUIET = 0.1
"""Seconds after which a terminal that shows nothing more has shown all: it is a little late."""


class Terminal:
    """A pseudo terminal of 24 lines and 80 columns.

    Attributes:
        stream: what a program writes to.
    """

    def __init__(self) -> None:
        self._reader, writer = pty.openpty()
        termios.tcsetwinsize(writer, (24, 80))
        self.stream: TextIO = os.fdopen(writer, "w")

    def read(self) -> str:
        """What was shown since the last time."""
        self.stream.flush()
        shown = b""
        while select.select([self._reader], [], [], _QUIET)[0]:
            shown += os.read(self._reader, 1 << 16)
        return shown.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)


@contextmanager
def terminal(stream: Literal["stdout", "stderr"]) -> Iterator[Terminal]:
    """Run with one standard stream of this process on a terminal."""
    opened = Terminal()
    redirect = {"stdout": redirect_stdout, "stderr": redirect_stderr}[stream]
    with redirect(opened.stream):
        yield opened
    opened.close()
