"""`gair status`: what there is."""

import json
from pathlib import Path

from support.cli import Gair


def test_the_gallery_and_its_model_are_named(gair: Gair, photos: Path) -> None:
    assert "not made yet; make it with: gair index FOLDER" in gair("status")[1]
    gair("index", photos)
    answer = json.loads(gair("status", "--json")[1])
    assert (answer["images"], answer["fits"]) == (5, True)
    _, out, _ = gair("status")
    assert "5 images" in out
    assert "made with gair-mini, 640 dimensions" in out
