"""Stand-ins for photos: public-domain cliparts on crops of open photographs.

They are shown to the image tower so that it keeps what ImageNet taught it while it learns the fashion world:
what the untouched network says of them is the target, so that they need no labels. One picture of a few
megapixels already serves such a purpose (Asano and Saeed 2023, arXiv:2112.00725).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image

CLIPARTS = Path("/usr/share/openclipart/png")
"""Where Debian's `openclipart-png` (public domain) puts them."""

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "retina", "rocket",
)  # fmt: skip
"""scikit-image's own photographs that need no download (CC0 or as free)."""

SIZE = 224


@functools.cache
def cliparts(root: Path = CLIPARTS) -> list[Path]:
    """All cliparts, in one shuffled order.

    Raises:
        FileNotFoundError: Debian's `openclipart-png` is not installed below `root`.
    """
    paths = sorted(root.rglob("*.png"))
    if not paths:
        raise FileNotFoundError(f"no cliparts below {root}: apt-get install openclipart-png")
    return [paths[i] for i in np.random.default_rng(4).permutation(len(paths))]


@functools.cache
def photographs() -> list[Image.Image]:
    """Open photographs that scikit-image and scikit-learn install, RGB."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    arrays = [getattr(skimage.data, name)() for name in PHOTOGRAPHS] + list(load_sample_images().images)
    return [Image.fromarray(array).convert("RGB") for array in arrays]


def crop(image: Image.Image, rng: np.random.Generator, smallest: float = 0.25) -> Image.Image:
    """A square part of an image, mirrored or not, at SIZE; its side is `smallest`..1 of the short side."""
    side = int(min(image.size) * rng.uniform(smallest, 1))
    x, y = (int(rng.integers(length - side + 1)) for length in image.size)
    part = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def composite(seed: int) -> Image.Image:
    """One or two cliparts on a crop of a photograph or on one colour; RGB, SIZE x SIZE."""
    rng = np.random.default_rng((4, seed))
    if rng.random() < 0.6:
        picture = crop(photographs()[int(rng.integers(len(photographs())))], rng)
    else:
        picture = Image.new("RGB", (SIZE, SIZE), tuple(int(c) for c in rng.integers(40, 256, 3)))
    if rng.random() < 0.1:
        return picture
    for i in range(1 + int(rng.random() < 0.25)):
        paste(picture, cliparts()[(seed + 4_001 * i) % len(cliparts())], rng)
    return picture


def paste(picture: Image.Image, path: Path, rng: np.random.Generator) -> None:
    """Put a clipart somewhere on the picture, turned a little; one that cannot be read is left out."""
    try:
        with Image.open(path) as opened:
            art = opened.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return
    scale = SIZE * rng.uniform(0.45, 0.95) / max(art.size)
    art = art.resize((max(1, int(art.width * scale)), max(1, int(art.height * scale))))
    art = art.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    at = tuple(int(rng.uniform(0, max(1, SIZE - length))) for length in art.size)
    picture.paste(art, at, art)
