"""`make demo`: index a folder of photos and search it, offline, with the bundled model and embedded Qdrant.

    python examples/demo.py [FOLDER]

Without a folder it takes the sample photographs that scikit-image and scikit-learn install.
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
    if all(code in (0, 3) for code in codes):
        print(f"\nopen {page.resolve()} in a browser; try your own photos: make demo PHOTOS=FOLDER")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
