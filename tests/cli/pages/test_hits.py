"""The page of a search."""

from pathlib import Path

from support.photos import make_photos
from support.results import gair_result

from gair_search.cli.pages import hits
from gair_search.gallery import Hit


def test_the_page_shows_what_gair_saw_and_escapes_it(tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path, 1)
    hit = Hit(1, 0.5, str(photo), "1", {"path": str(photo), "width": 96, "height": 64})
    result, file = gair_result(excluded=True), tmp_path / "page.html"
    hits.write_hits(file, [hit], "tiny", "here", query=result.query, result=result)
    html = file.read_text()
    assert html.count("data:image/jpeg;base64,") == 3 * 2 + 1
    assert html.count('class="selected"') == 1
    assert html.index("w = 0.5") < html.index("selected</div>") < html.index("w = 1<")
    assert html.count("<dt>object</dt>") == html.count("<dt>context</dt>") == 2
    assert "2 of 2 blank" in html
    assert "mind the &lt;gap&gt;" in html
    assert "&lt;b&gt;old" in html
    assert "<b>old" not in html
    hits.write_hits(file, [hit], "tiny", "here", query=result.query, note="searched without GAIR")
    html = file.read_text()
    assert "What the query looks like" not in html
    assert '<p class="note">searched without GAIR</p>' in html
