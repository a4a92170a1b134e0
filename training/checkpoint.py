"""What every stage leaves on the way: a checkpoint that is whole or not there, and a line of its curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one, then put it in its place."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint of an interrupted run; None where there is none."""
    state: dict[str, Any] | None = torch.load(path, weights_only=True) if path.exists() else None
    return state


def log(path: Path, record: dict[str, float]) -> None:
    """Add a line of JSON to a curve."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def averaged_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights inside an `AveragedModel`'s state."""
    return {
        name.removeprefix("module."): value for name, value in state.items() if name.startswith("module.")
    }
