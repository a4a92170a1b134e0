"""From a template to a file."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

from gair_search.cli.pages.html import photo_urls, pixel_urls, write_page
from gair_search.errors import GairError

TEMPLATE = "explanation.html.j2"


def test_values_are_escaped(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", TEMPLATE, title="<b>&", lines=["<i>"], groups=[])
    html = (tmp_path / "page.html").read_text()
    assert "<title>&lt;b&gt;&amp;</title>" in html
    assert "<p>&lt;i&gt;</p>" in html


def test_a_link_is_followed_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target.html", tmp_path / "link.html", tmp_path / "pipe"
    link.symlink_to(target)
    write_page(link, TEMPLATE, title="x", lines=[], groups=[])
    assert link.is_symlink()
    assert target.is_file()
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_page(pipe, TEMPLATE, title="x", lines=[], groups=[])
    reader.join(timeout=10)
    assert read[0].startswith("<!doctype html>")
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", ["no/page.html", "."])
def test_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(GairError, match="can't be written"):
        write_page(tmp_path / place, TEMPLATE, title="x", lines=[], groups=[])


def test_pictures_are_data_urls(tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path, 1)
    url, missing = photo_urls([photo, tmp_path / "gone.jpg"])
    assert url is not None
    assert url.startswith("data:image/jpeg;base64,")
    assert missing is None
    assert (
        pixel_urls(np.zeros((2, 8, 8, 3), np.uint8)) == [pixel_urls([np.zeros((8, 8, 3), np.uint8)])[0]] * 2
    )
