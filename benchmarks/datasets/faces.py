"""Faces in training photos, found and blacked out before anything is learned from them.

Perera et al. redact all faces by hand (section 5). Here a cascade of local binary patterns finds them, OpenCV's as
scikit-image bundles it. It knows upright frontal faces alone: faces from the side, bowed or hidden ones stay, and
now and then something else is taken for one (in 1 of 30 DreamBooth photos).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from gair_search.benchmarks.datasets.base import Picture
from gair_search.errors import GairError

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the picture's width and height."""


@dataclass(frozen=True)
class FaceSearchConfig:
    """How faces are looked for.

    Attributes:
        side: the longer side, in pixels, to which a larger picture is made smaller for it.
        smallest: the smallest face's side there.
        scale: how much larger the window gets at a time.
        step: how far it moves, as `detect_multi_scale` counts.
        agreeing: how many windows are to agree.
        margin: what a box is widened by on each side, as a share of it; the detector's own leaves out chin and hair.
    """

    side: int = 448
    smallest: int = 24
    scale: float = 1.1
    step: float = 1.5
    agreeing: int = 5
    margin: float = 0.15


def find_faces(image: Image.Image, search: FaceSearchConfig = FaceSearchConfig()) -> list[Box]:
    """Upright frontal faces of a picture, within its edges.

    Raises:
        GairError: scikit-image is not installed.
    """
    detector = _detector()
    small = image.convert("RGB")
    small.thumbnail((search.side, search.side))
    width, height = small.size
    if min(width, height) < search.smallest:
        return []
    found = detector.detect_multi_scale(
        np.asarray(small),
        search.scale,
        search.step,
        (search.smallest, search.smallest),
        (height, width),
        min_neighbor_number=search.agreeing,
    )
    wider = search.margin
    return sorted(
        (
            max(0.0, (box["c"] - wider * box["width"]) / width),
            max(0.0, (box["r"] - wider * box["height"]) / height),
            min(1.0, (box["c"] + (1 + wider) * box["width"]) / width),
            min(1.0, (box["r"] + (1 + wider) * box["height"]) / height),
        )
        for box in found
    )


def black_out(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The picture with black boxes; every other pixel is as it was."""
    image = image.copy()
    for left, top, right, bottom in boxes:
        x, y = image.size
        image.paste(0, (round(left * x), round(top * y), round(right * x), round(bottom * y)))
    return image


def redact_faces(image: Image.Image) -> Image.Image:
    """The picture with its faces blacked out. Raises GairError where scikit-image is not installed."""
    return black_out(image, find_faces(image))


def redact_picture(picture: Picture, boxes: Sequence[Box]) -> Picture:
    """The picture with black boxes, known by another content; itself where there are none."""
    if not boxes:
        return picture
    return Picture(
        picture.id,
        lambda side: black_out(picture.image(side), boxes),
        content=f"{picture.content_key} redacted {[tuple(box) for box in boxes]}",
    )


@cache
def _detector() -> Any:
    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ImportError as error:
        raise GairError("finding faces takes scikit-image: pip install 'gair-search[bench]'") from error
    return Cascade(lbp_frontal_face_cascade_filename())
