"""The `gair` command as tests run it."""

from collections.abc import Callable

Gair = Callable[..., tuple[int, str, str]]
"""Runs the command with its arguments: (exit code, standard output, standard error)."""
