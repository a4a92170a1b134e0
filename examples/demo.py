"""`make demo`: index photos, search them, learn a concept and search for it, offline, with the bundled model.

    python examples/demo.py [FOLDER]

Without a folder it takes the sample photographs that scikit-image and scikit-learn install. The concept is a dress of
the fashion world, whose pictures `gair_search.benchmarks.fashion_world` draws: four to learn it from, and some of it
in other places among pictures of other things.
"""

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

DEMO = Path(".demo")
QUERIES = [
    ["a photo of a cat", "-k", "3"],
    ["a motorcycle", "-k", "3"],
    ["a cup of (coffee:1.5) on a [table]", "-k", "3", "--explain"],
    ["a photo of a flower", "-k", "3", "--where", "width>=500 and format=JPEG"],
]


CONCEPT, PARENT, PLACES = "my-dress", "dress", ("beach", "snow", "brick wall")
"""What is learned, and where it is then looked for."""


def fashion_pictures() -> tuple[Path, Path]:
    """Folders of pictures: four of one dress; a gallery of it in other places, of other dresses, of other things."""
    from gair_search.benchmarks.fashion_world import (
        BACKGROUNDS,
        instance,
        render,
        scene,
    )

    dress = instance(7, "test", kind=PARENT)
    learned, gallery = DEMO / "dress", DEMO / "fashion"
    others = [place for place in BACKGROUNDS if place not in PLACES]
    shown = {
        learned / f"{place}.png": scene(i, "test", item=dress, background=place)
        for i, place in enumerate(others[:4])
    }
    for i, place in enumerate(PLACES):
        shown[gallery / f"my-dress-{place.replace(' ', '-')}.png"] = scene(
            10 + i, "test", item=dress, background=place
        )
    for i in range(12):
        another = instance(100 + i, "test", kind=PARENT)
        shown[gallery / f"dress-{i}.png"] = scene(100 + i, "test", item=another)
    for i in range(45):
        shown[gallery / f"thing-{i}.png"] = scene(200 + i, "test")
    for file, one in shown.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        render(one, 256).save(file)
    return learned, gallery


def sample_photos() -> Path:
    """Copies of the photographs that two well-known packages carry."""
    folder = DEMO / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for package, place in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        for path in sorted((Path(spec.origin).parent / place).iterdir()):
            if path.suffix in (".jpg", ".png"):
                shutil.copy2(path, folder / path.name)
    return folder


def gair(*args: str) -> int:
    """Run the command as a user would, showing it; its exit code."""
    print(f"\n$ gair {shlex.join(args)}", flush=True)
    return subprocess.run([str(Path(sys.executable).parent / "gair"), *args]).returncode


def main() -> int:
    photos = Path(sys.argv[1]).expanduser() if len(sys.argv) > 1 and sys.argv[1] else sample_photos()
    os.environ["GAIR_HOME"] = str(DEMO / "home")
    page = DEMO / "hits.html"
    codes = [gair("index", str(photos))]
    codes += [gair("query", *query) for query in QUERIES]
    codes += [gair("query", "a photo of a (cat:1.3)", "--html", str(page))]
    codes += [gair("index", str(photos)), gair("status")]
    learned, gallery = fashion_pictures()
    seen, db = DEMO / "seen.html", ("--db", str(DEMO / "fashion-gallery"))
    codes += [gair("index", str(gallery), *db)]
    codes += [gair("learn", CONCEPT, str(learned), "--parent", PARENT, "--force", *db)]
    codes += [gair("concepts", "show", CONCEPT)]
    prompt = f"a <{CONCEPT}> {PARENT} in the snow"
    codes += [gair("query", prompt, "-k", "3", *db)]
    codes += [gair("query", prompt, "-k", "3", "--gair", "--html", str(seen), *db)]
    if all(code in (0, 3) for code in codes):
        print(f"\nopen {seen.resolve()} in a browser: the query as pictures, and what it found")
        print(f"and {page.resolve()}; try your own photos: make demo PHOTOS=FOLDER")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
