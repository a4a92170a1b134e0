"""`gair index`: folders into a gallery."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.cli import Gair, press_ctrl_c
from support.photos import make_photos
from support.terminal import terminal

from gair_search.engine import Engine


def test_folders_become_a_gallery(gair: Gair, photos: Path) -> None:
    code, out, err = gair("index", photos)
    assert code == 0
    assert "5 images found: 5 embedded" in out
    assert "model: gair-mini (bundled)" in err
    assert "gair models pull ViT-L-14/openai" in err


def test_skipped_files_make_exit_code_3(gair: Gair, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"hello")
    code, out, _ = gair("index", photos)
    assert code == 3
    assert f"skipped {photos / 'bad.jpg'}: not an image" in out
    code, out, _ = gair("index", photos, "--json")
    assert code == 3
    report = json.loads(out)
    assert (report["found"], report["unchanged"]) == (6, 5)
    assert report["skipped"][0]["path"] == str(photos / "bad.jpg")


@pytest.mark.slow
def test_an_interruption_says_how_to_go_on(photos: Path, home: Path) -> None:
    """Ctrl-C in a real process, while it indexes with workers."""
    make_photos(photos, 600)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "gair"), "index", str(photos), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GAIR_HOME": str(home)},
        start_new_session=True,
        # a shell's background jobs, and so perhaps this one, are born deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    made = home / "galleries" / "photos" / "gair.json"
    deadline = time.monotonic() + 60
    while not made.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on from there" in err
    assert "Traceback" not in err


def test_ctrl_c_keeps_what_was_stored(gair: Gair, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "index", press_ctrl_c)
    code, out, err = gair("index", photos)
    assert (code, out) == (130, "")
    assert err.endswith("error: stopped; what was stored is kept, and the same command goes on from there\n")
    answer = json.loads(gair("index", photos, "--json")[1])
    assert answer["error"]["type"] == "Interrupted"
    assert "the same command goes on" in answer["error"]["message"]


def test_a_terminal_shows_how_many_images_are_indexed(gair: Gair, photos: Path) -> None:
    with terminal("stderr") as screen:
        assert gair("index", photos, "--workers", "0")[0] == 0
        shown = screen.read()
    assert "indexing" in shown
    assert "5/5" in shown
    assert " images/s" in shown
    with terminal("stderr") as screen:
        assert gair("index", photos, "--json")[0] == 0
        assert "indexing" not in screen.read()
