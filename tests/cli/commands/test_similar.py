"""`gair similar`: an image into hits."""

import json
from pathlib import Path

from support.cli import Gair


def test_the_image_itself_is_no_hit(gair: Gair, indexed: Path, tmp_path: Path) -> None:
    _, out, _ = gair("similar", indexed / "000.jpg", "--json", "-k", "2")
    hits = json.loads(out)["hits"]
    assert len(hits) == 2
    assert str(indexed / "000.jpg") not in [hit["path"] for hit in hits]
    page = tmp_path / "page.html"
    _, out, _ = gair("similar", indexed / "000.jpg", "-k", "2", "--html", page)
    assert out.splitlines()[-1] == f"page: {page}"
    assert page.read_text().count("data:image/jpeg;base64,") == 3  # and the image that was asked for
