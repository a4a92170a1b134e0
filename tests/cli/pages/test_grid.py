"""Candidates as one picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.results import gair_result

from gair_search.cli.pages import grid
from gair_search.errors import GairError


def test_the_grid_shows_each_image_and_frames_the_selected_column() -> None:
    result = gair_result(0.5)
    pixels = np.asarray(grid.draw_grid(result)).astype(int)
    side, pad = grid.SIDE, 14
    top = 2 * pad + 18
    mark = np.array([0xD6, 0x5C, 0x24])
    for column, candidate in enumerate(result.candidates):
        left = pad + column * (side + pad)
        for row in range(2):
            cell = pixels[top + row * (side + pad) :, left : left + side][:side]
            assert (cell[5:-5, 5:-5] == candidate.images[row, 0, 0]).all()
        framed = (pixels[top + 20, left - 5 : left] == mark).all(1).any()
        assert framed == (candidate.mixing_weight == 0.5)
    plain = np.asarray(grid.draw_grid(gair_result(1.0))).astype(int)
    assert not (plain[top + 20, pad + side + 2 : pad + side + 10] == mark).all(1).any()


def test_grids_are_written_by_their_suffix(tmp_path: Path) -> None:
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("new/c.webp", "WEBP")):
        grid.write_grid(tmp_path / name, gair_result(excluded=True))
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    with pytest.raises(GairError, match=r'"\.txt" is no suffix of a picture; expected \.png'):
        grid.write_grid(tmp_path / "a.txt", gair_result())
    (tmp_path / "file").write_text("x")
    with pytest.raises(GairError, match="can't be written"):
        grid.write_grid(tmp_path / "file" / "a.png", gair_result())
