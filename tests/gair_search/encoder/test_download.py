"""What `gair models pull` says when there is nothing to pull from."""

import socket
import threading
import time

import pytest

from gair_search.encoder import download
from gair_search.errors import ModelError


@pytest.mark.slow
def test_pulling_without_an_answer_fails_within_10_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that takes the connection and never answers."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        held = []
        threading.Thread(target=lambda: held.append(silent.accept()), daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        began = time.monotonic()
        with pytest.raises(ModelError, match="not reachable"):
            download.pull("ViT-B-32/laion2b_s34b_b79k")
        assert time.monotonic() - began < 10


def test_pulling_from_a_closed_port_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="Check the network"):
        download.pull("ViT-B-32/laion2b_s34b_b79k")
