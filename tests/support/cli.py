"""The `gair` command as tests run it."""

from collections.abc import Callable
from typing import Any, NoReturn

Gair = Callable[..., tuple[int, str, str]]
"""Runs the command with its arguments: (exit code, standard output, standard error)."""


def press_ctrl_c(*_: Any, **__: Any) -> NoReturn:
    """Stands in for long work that the user ends."""
    raise KeyboardInterrupt
