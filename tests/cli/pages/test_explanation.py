"""The page of shaded prompts."""

from pathlib import Path

from support.photos import make_photos

from gair_search.cli.pages.explanation import write_explanation
from gair_search.cli.pages.shading import ShadedGroup, ShadedPrompt, ShadedToken


def test_each_class_has_its_prompts_and_its_first_pictures(tmp_path: Path) -> None:
    photos = [str(path) for path in make_photos(tmp_path, 6)]
    prompt = ShadedPrompt(
        [ShadedToken("<red>", 1.5, 0.75, 1.0), ShadedToken("dress", 0.5, 0.25, 0.333)], "(x:1.5)", False
    )
    groups = [ShadedGroup("skirt", [prompt, prompt], photos), ShadedGroup("hat", [], photos[:1])]
    write_explanation(tmp_path / "page.html", "Which words", ["a line"], groups)
    html = (tmp_path / "page.html").read_text()
    assert html.count("<article>") == 2
    assert "skirt <small>6 images</small>" in html
    assert "hat <small>1 image</small>" in html
    assert html.count("data:image/jpeg;base64,") == 4 + 1
    assert html.count('<mark style="--shade: 1.000">&lt;red&gt;</mark><sub>1.5</sub>') == 2
    assert "75.0% of the prompt's weight" in html.replace("&#39;", "'")
    assert "(x:1.5) &approx;" in html
