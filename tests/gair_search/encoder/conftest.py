"""Fixtures: a model folder that a test may spoil, and what shows that its code ran or the network was asked."""

import builtins
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return shutil.copytree(tiny_folder, tmp_path / "stranger")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What is there once a stranger's code has run."""
    return tmp_path / "ran"


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever asks on the terminal is told yes, as a hasty user would; a test may look whether one was."""
    asked: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda text="": asked.append(text) or "y")
    return asked


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """No connection comes about; those that were tried are listed."""
    tried: list[Any] = []

    def refuse(*told: Any, **more: Any) -> None:
        tried.append(told)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tried
