"""The page of a custom token."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.cli import Gair
from support.generator import MINI_WIDTH

from gair_search.encoder.clip import Encoder
from gair_search.learning.report import affinity
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore


@pytest.mark.slow
def test_the_page_shows_quality_norms_affinity_and_losses(
    gair: Gair, stored: Callable[..., CustomToken], encoder: Encoder, tmp_path: Path
) -> None:
    plain = stored("my-dress", 3)
    told = {"separation": 0.875, "norm_lowest": 0.25, "norm_highest": 0.5, "composition": 0.625}
    told |= {"n_photos": 1, "n_negatives": 16}
    known = {"attributes": "red, old, striped", "quality": json.dumps(told)}
    losses = {"held_out": "[[5, 0.9], [10, 0.3], [15, 0.5]]", "evil": "<script>alert(1)</script>"}
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    page = tmp_path / "page.html"
    code, out, _ = gair("concepts", "show", "my-dress", "--html", page)
    assert code == 0
    assert out.endswith(f"page: {page}\n")
    html = page.read_text()
    assert "<h1>&lt;my-dress&gt;</h1>" in html
    assert "<b>0.875</b>separation" in html
    assert "<b>0.62</b>composition" in html
    assert "0.250 to 0.500" in html
    assert html.count('<div class="norm">') == 3
    labels, cosines = affinity(TokenStore().get("my-dress"), encoder.text_tower, ["red", "old", "striped"])
    assert html.count('scope="col"') == len(labels) == 4
    for i, label in enumerate(labels):
        shown, shade = label.replace("<", "&lt;").replace(">", "&gt;"), min(max(cosines[i, 3], 0) / 0.4, 1)
        assert f'--shade: {shade:.2f}" title="{shown}, &lt;my-dress&gt;: {cosines[i, 3]:.3f}"' in html
    assert '<polyline points="0.0,0.0 300.0,140.0 600.0,93.3 "/>' in html
    assert '<circle cx="300.0" cy="140.0" r="5"/>' in html  # the lowest
    losses["step"] = "15"  # learned with others: the last step's
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    assert gair("concepts", "show", "my-dress", "--html", page)[0] == 0
    assert '<circle cx="600.0" cy="93.3" r="5"/>' in page.read_text()
    losses["step"] = "stopped after 10"
    TokenStore().save(replace(plain, facts={**plain.facts, **known, **losses}))
    assert gair("concepts", "show", "my-dress", "--html", page)[0] == 0
    assert "<polyline" in page.read_text()
    assert "<circle" not in page.read_text()
    assert (
        json.loads(gair("concepts", "show", "my-dress", "--json")[1])["nearest_words"][0][0]["word"] in html
    )
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(src|href)=|url\(|https?:", html)  # nothing is fetched
    assert gair("concepts", "show", "my-dress", "--html", tmp_path / "none" / "x.html")[0] == 1


def test_a_page_of_a_token_that_says_little(gair: Gair, tmp_path: Path, encoder: Encoder) -> None:
    page = tmp_path / "page.html"
    TokenStore().save(CustomToken("x", np.ones((1, 8), np.float32), "abc", "ViT-B-32:/none.pt"))
    assert gair("concepts", "show", "x", "--html", page)[0] == 0
    html = page.read_text()
    assert "Not measured" in html
    assert "which you have not used before" in html
    assert '<section id="affinity"' not in html
    assert '<section id="losses"' not in html
    # a foreign token is compared with the attributes that its parent suggests
    facts = {"quality": '{"separation": 1}', "held_out": "[[1, NaN]]"}
    rows, tower = np.zeros((1, MINI_WIDTH), np.float32), encoder.text_tower.table_hash
    TokenStore().save(CustomToken("x", rows, tower, "gair-mini", "dress", facts))
    code, out, _ = gair("concepts", "show", "x", "--html", page)
    assert code == 0
    assert "separation" not in out
    html = page.read_text()
    assert html.count('scope="col"') == 21
    assert "Not measured" in html
    assert "The band is the range" in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).lower()
