"""Class names and neighbours on the DreamBooth photos (158 photos, 30 subjects, 15 classes).

    python -m gair_search.benchmarks.scripts.dreambooth_classes PHOTOS [--model gair-mini]

Mean AP of `a photo of a {class}` over the classes, and how often a photo's nearest neighbour is of the same
subject: on the photos as they are, and on copies of them that were renamed, stored turned with an EXIF
orientation, or saved next to a duplicate. Prints a Markdown table.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import average_precision_score

from gair_search import Engine

ORIENTATIONS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def classes_of(photos: Path) -> dict[str, str]:
    """Subject -> class, from the data set's own table."""
    table = (photos / "prompts_and_classes.txt").read_text("utf-8").split("subject_name,class\n")[1]
    return dict(line.split(",") for line in re.split(r"\n\s*\n", table)[0].strip().splitlines())


def copies(photos: Path, target: Path, way: str) -> None:
    """The photos below `target`, in one folder a subject, renamed, turned or duplicated."""
    for i, path in enumerate(sorted(photos.glob("*/*.jpg"))):
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        if way == "turned by EXIF":
            orientation = list(ORIENTATIONS)[i % 3]
            exif = Image.Exif()
            exif[0x0112] = orientation
            turned = Image.open(path).convert("RGB").transpose(ORIENTATIONS[orientation])
            turned.save(folder / path.name, quality=95, exif=exif)
        else:
            shutil.copy(path, folder / (f"{way}-{path.name}" if way == "renamed" else path.name))
            if way == "duplicated":
                shutil.copy(path, folder / f"again-{path.name}")


def measure(engine: Engine, classes: dict[str, str]) -> tuple[float, float]:
    """(mean AP over the classes, share of photos whose nearest other content is of the same subject)."""
    total = engine.gallery.count()
    precisions = []
    for name in sorted(set(classes.values())):
        hits = engine.search(f"a photo of a {name}", total)
        relevant = [classes[Path(hit.label).parent.name] == name for hit in hits]
        precisions.append(average_precision_score(relevant, [hit.score for hit in hits]))
    records = {record.id: record.payload for record in engine.gallery.records()}
    vectors = engine.gallery.vectors(list(records))
    same = 0
    for i, vector in vectors.items():
        own = records[i]["content_hash"]
        near = engine.gallery.search(vector, 4, exact=True)
        other = next(hit for hit in near if hit.payload["content_hash"] != own)
        same += Path(other.label).parent.name == Path(records[i]["path"]).parent.name
    return float(np.mean(precisions)), same / len(records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="gair-mini")
    args = parser.parse_args()
    classes = classes_of(args.photos)
    print("| photos | images | embedded | reused | mean AP | nearest is the same subject |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for way in ("as they are", "renamed", "turned by EXIF", "duplicated"):
            folder = Path(temporary) / way
            copies(args.photos, folder, way)
            with Engine.open(args.model, db=Path(temporary) / f"gallery {way}") as engine:
                report = engine.index(folder)
                mean_ap, same = measure(engine, classes)
            print(
                f"| {way} | {report.total} | {report.embedded} | {report.reused} | {mean_ap:.4f} | {same:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
