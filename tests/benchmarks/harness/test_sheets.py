"""Sheets of images: what is drawn where, and the labels around it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gair_search.benchmarks.harness.sheets import (
    SheetCell,
    block,
    grid,
    sheet,
    tiles,
)
from gair_search.benchmarks.methods.prompts import context_conditioning
from gair_search.encoder.clip import Encoder
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig


def colors(image: Image.Image) -> dict[tuple[int, ...], int]:
    """Color -> how many pixels have it."""
    return {color: n for n, color in image.getcolors(10**6)}


def test_a_sheet_holds_the_images_by_context_and_seed(model: Encoder, tmp_path: Path) -> None:
    generator, sampling = Generator.load(model), SamplingConfig("ddim", steps=2, guidance=3.0)
    tower = model.text_tower
    told = context_conditioning(
        tower, "dress", torch.empty(0, tower.width), ("on a beach", "in the snow", "on tiles")
    )
    (tmp_path / "sheet.png").write_bytes(sheet(generator, told, 2, sampling))
    shown = tiles(tmp_path / "sheet.png", 3, 2)
    alone = [generator.sample(told[i // 2 : i // 2 + 1], (i % 2,), sampling)[0].numpy() for i in range(6)]
    for one, wanted in zip(shown, alone, strict=True):
        assert (
            np.abs(np.asarray(one.image()).astype(int) - wanted).max() <= 2
        )  # another batch, other rounding
    assert len({one.content_key for one in shown}) == 6
    assert np.abs(alone[0].astype(int) - alone[1]).max() > 20  # it would tell if they were swapped


def test_a_grid_has_a_cell_an_image() -> None:
    red, blue = (SheetCell(Image.new("RGB", (32, 32), color)) for color in ("red", "blue"))
    rows = [("a method with a long name, which is broken", [red, blue]), ("b", [blue, SheetCell(None)])]
    counts = colors(grid(rows, ["on a beach", "in it"], side=50))
    assert counts[(255, 0, 0)] == 50 * 50
    assert counts[(0, 0, 255)] == 2 * 50 * 50


def test_frames_lie_within_and_labels_outside_the_images() -> None:
    blue = Image.new("RGB", (32, 32), "blue")
    plain = grid([("a", [SheetCell(blue), SheetCell(blue)])])
    framed = grid([("a", [SheetCell(blue, frame="lime"), SheetCell(blue)])])
    assert framed.size == plain.size
    frame = 96**2 - 88**2
    assert colors(framed)[(0, 255, 0)] == frame
    assert colors(plain)[(0, 0, 255)] - colors(framed)[(0, 0, 255)] == frame
    told = grid([("a", [SheetCell(blue, "rank 3"), SheetCell(blue)])], ["one", "two"], ["below"], "all of it")
    assert colors(told)[(0, 0, 255)] == colors(plain)[(0, 0, 255)]  # no label hides an image
    assert told.height > plain.height
    # rows of one label both stay, and one that is too long ends with its row
    long = "a * dress " * 40
    both = grid([(long, [SheetCell(blue)]), (long, [SheetCell(blue)])])
    assert both.height == grid([("a", [SheetCell(blue)]), ("a", [SheetCell(blue)])]).height
    assert colors(both)[(0, 0, 255)] == 2 * 96 * 96
    wide = grid([("a", [SheetCell(Image.new("RGB", (64, 32), "blue"))])])  # nothing of it is cut off
    assert colors(wide)[(0, 0, 255)] == 96 * 48


def test_a_block_is_filled_row_by_row() -> None:
    red, blue, green = (Image.new("RGB", (3, 2), color) for color in ("red", "blue", "lime"))
    whole = np.asarray(block([red, blue, green], 2))
    assert whole.shape == (5, 7, 3)
    assert [whole[y, x].tolist() for y, x in ((0, 0), (1, 6), (4, 2), (4, 6), (2, 0), (0, 3))] == [
        [255, 0, 0], [0, 0, 255], [0, 255, 0], [255] * 3, [255] * 3, [255] * 3
    ]  # fmt: skip
