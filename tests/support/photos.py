"""Small photos made for tests, and where the real ones are."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DREAMBOOTH = Path(os.environ.get("GAIR_DREAMBOOTH", Path.cwd().parent / "shared/data/dreambooth"))


def dreambooth() -> Path:
    """The folder of the DreamBooth photos; skips the test where they are not on this machine."""
    if not (DREAMBOOTH / "prompts_and_classes.txt").is_file():
        pytest.skip(f"the DreamBooth photos are not at {DREAMBOOTH} (set GAIR_DREAMBOOTH)")
    return DREAMBOOTH


def dreambooth_classes(folder: Path) -> dict[str, str]:
    """Subject -> class name, from the data set's own table."""
    table = (folder / "prompts_and_classes.txt").read_text("utf-8").split("subject_name,class\n")[1]
    return dict(line.split(",") for line in re.split(r"\n\s*\n", table)[0].strip().splitlines())


def picture(seed: int, size: tuple[int, int] = (96, 64), mode: str = "RGB") -> Image.Image:
    """A seeded picture of smooth blobs: (width, height), unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """An image file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_photos(folder: Path, n: int, first: int = 0) -> list[Path]:
    """`n` JPEG files `000.jpg`, ... of seeds first, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03d}.jpg" for i in range(first, first + n)]
    for i, path in enumerate(paths, start=first):
        path.write_bytes(encoded(picture(i)))
    return paths
