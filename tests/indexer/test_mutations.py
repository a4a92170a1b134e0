"""500 mutated image files: none crashes the run, every one is accounted for."""

import gzip
import io
import random
import zipfile
from pathlib import Path

import pytest
from support.photos import encoded, picture

from gair_search.encoder.clip import Encoder
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.indexer.index import index_folders

KINDS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
}
N = 500


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One of the ways in which a file goes wrong."""
    way = rng.randrange(8)
    content = bytearray(data)
    if way == 0:  # a few flipped bits
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif way == 1:  # a damaged header
        for _ in range(8):
            content[rng.randrange(min(64, len(content)))] = rng.randrange(256)
    elif way == 2:  # cut short
        content = content[: rng.randrange(len(content))]
    elif way == 3:  # a hole of zeros
        start = rng.randrange(len(content))
        content[start : start + 200] = bytes(len(content[start : start + 200]))
    elif way == 4:  # an archive in an archive
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("inner.zip", gzip.compress(data))
        content = bytearray(buffer.getvalue())
    elif way == 5:  # noise
        content = bytearray(rng.randbytes(rng.randint(0, 2000)))
    elif way == 6:  # blocks that changed places
        half = len(content) // 2
        content = content[half:] + content[:half]
    else:  # two files in one
        content = content + content[: rng.randrange(len(content))]
    return bytes(content)


@pytest.mark.slow
def test_500_mutated_files_are_all_accounted_for(encoder: Encoder, tmp_path: Path) -> None:
    rng = random.Random(20)
    originals = {kind: encoded(picture(i, (120, 90)), kind) for i, kind in enumerate(KINDS)}
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N):
        kind = rng.choice(list(KINDS))
        suffix = rng.choice(list(KINDS.values())) if rng.random() < 0.3 else KINDS[kind]
        (folder / f"{i:03d}.{suffix}").write_bytes(mutated(originals[kind], rng))
    gallery = EmbeddedGallery(tmp_path / "gallery")
    report = index_folders([folder], encoder.spec, encoder.encode_pixels, gallery, workers=2)
    gallery.close()
    assert report.found == N
    assert report.embedded + report.reused + len(report.skipped) == N
    assert report.total == N - len(report.skipped)
    assert 100 < len(report.skipped) < N
    assert all(skipped.reason for skipped in report.skipped)
