"""The whole way on real photos, with the bundled model."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score
from support.photos import dreambooth, dreambooth_classes

from gair_search import Engine
from gair_search.gallery.base import Hit

pytestmark = pytest.mark.slow

FLOOR = 0.60
"""Mean AP below which something in the pipeline is broken; the measured figure is in benchmarks/RESULTS.md."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos, and beside them the same photos renamed, turned by EXIF and duplicated."""
    folder = tmp_path_factory.mktemp("dreambooth")
    for path in sorted(dreambooth().glob("*/*.jpg")):
        own = folder / "plain" / path.parent.name / path.name
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, own)
    return folder


@pytest.fixture(scope="module")
def engine(photos: Path, tmp_path_factory: pytest.TempPathFactory):
    with Engine.open("gair-mini", db=tmp_path_factory.mktemp("db") / "gallery", device="cpu") as opened:
        opened.index(photos / "plain")
        yield opened


def mean_ap(engine: Engine, where: str | None = None) -> float:
    classes = dreambooth_classes(dreambooth())
    total = engine.gallery.count()
    values = []
    for name in sorted(set(classes.values())):
        hits: list[Hit] = engine.search(f"a photo of a {name}", total, where=where)
        relevant = [classes[Path(hit.path).parent.name] == name for hit in hits]
        values.append(average_precision_score(relevant, [hit.score for hit in hits]))
    return float(np.mean(values))


def test_mean_ap_of_class_names(engine: Engine) -> None:
    assert engine.gallery.count() == 158
    assert mean_ap(engine) > FLOOR


def test_renamed_turned_and_duplicated_photos(engine: Engine, photos: Path) -> None:
    """Renames and copies reuse vectors; an EXIF rotation leaves the picture, and so nearly the vector."""
    before = mean_ap(engine)
    subjects = sorted((photos / "plain").iterdir())
    for subject in subjects[:3]:
        for path in sorted(subject.iterdir()):
            path.rename(path.with_name("renamed-" + path.name))
    for subject in subjects[3:6]:
        shutil.copytree(subject, photos / "plain" / "copies" / subject.name)
    turned = photos / "turned"
    for path in sorted((photos / "plain").glob("dog*/*.jpg")):
        (turned / path.parent.name).mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6
        stored = Image.open(path).transpose(Image.Transpose.ROTATE_90)
        stored.save(turned / path.parent.name / path.name, quality=95, exif=exif)
    report = engine.index(photos / "plain", turned)
    renamed = sum(len(list(s.glob("renamed-*"))) for s in subjects[:3])
    copies = len(list((photos / "plain" / "copies").rglob("*.jpg")))
    dogs = len(list(turned.rglob("*.jpg")))
    assert (report.moved, report.reused, report.embedded) == (renamed, renamed + copies, dogs)
    for path in sorted(turned.rglob("*.jpg")):
        original = str(photos / "plain" / path.parent.name / path.name)
        upright = engine.similar(path, 3)
        assert original in [hit.path for hit in upright], path
    assert mean_ap(
        engine, where=f"path!~{os.sep}turned{os.sep} and path!~{os.sep}copies{os.sep}"
    ) == pytest.approx(before)
