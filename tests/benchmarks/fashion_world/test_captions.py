import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    Caption,
    Scene,
    caption,
    full_caption,
    instance,
    noun_phrase,
    scene,
)
from gair_search.benchmarks.fashion_world.captions import describe

seeds = st.integers(0, 10_000)


def shown_names(shown: Scene) -> dict[str, str | None]:
    item = shown.item
    return {
        "kind": item.kind,
        "color": item.color,
        "pattern": item.pattern,
        "second_color": item.second_color,
        "background": shown.background,
    }


def named(made: Caption) -> dict[str, str]:
    """What the caption names, by attribute."""
    return {k: v for k in shown_names(scene(0)) if (v := getattr(made, k)) is not None}


def test_the_full_caption_names_everything() -> None:
    for seed in range(60):
        shown = scene(seed)
        text, item = full_caption(shown), shown.item
        assert item.kind in text
        assert item.color in text
        assert item.second_color is None or f"with {item.second_color} " in text
        assert any(word in text for group in PATTERNS[item.pattern] for word in group)
        assert text.endswith(BACKGROUNDS[shown.background][0])
        assert text.startswith(describe(item))


@pytest.mark.parametrize(
    ("names", "phrase"),
    [
        ({"kind": "dress", "color": "orange"}, "an orange dress"),
        ({"kind": "umbrella"}, "an umbrella"),
        ({"kind": "trousers", "color": "red"}, "a pair of red trousers"),
        ({"kind": "trousers", "color": "red", "noun": "item"}, "a red item"),
        ({"kind": "shorts", "noun": "object"}, "an object"),
        ({"kind": "hat", "pattern": "striped"}, "a striped hat"),
        (
            {"kind": "mug", "color": "blue", "pattern": "dotted", "second_color": "white"},
            "a blue mug with white dots",
        ),
        (
            {"kind": "coat", "color": "gray", "pattern": "zigzag", "second_color": "red", "motif": 1},
            "a gray coat with red zigzag lines",
        ),
    ],
)
def test_articles_and_word_order(names: dict, phrase: str) -> None:
    assert noun_phrase(**names) == phrase


def test_no_article_is_wrong() -> None:
    for kind, nouns in KINDS.items():
        for noun in nouns:
            for color in (None, *COLORS):
                words = noun_phrase(kind, color=color, noun=noun).split()
                follower = words[1]
                assert (words[0] == "an") == (follower[0] in "aeiou")


@given(seeds, seeds, st.booleans())
def test_a_caption_suits_its_scene_and_the_draws_decide_it(seed: int, draw: int, full: bool) -> None:
    shown = scene(seed)
    made = caption(shown, np.random.default_rng(draw), full=full)
    assert made.suits(shown)
    assert made == caption(shown, np.random.default_rng(draw), full=full)
    assert named(made)
    if full:
        assert named(made) == {k: v for k, v in shown_names(shown).items() if v is not None}


@given(seeds, seeds, seeds)
def test_a_caption_that_suits_two_scenes_names_nothing_in_which_they_differ(
    a: int, b: int, draw: int
) -> None:
    one, other = scene(a), scene(b)
    made = caption(one, np.random.default_rng(draw))
    differ = {k for k, v in shown_names(one).items() if v != shown_names(other)[k]}
    assert made.suits(other) == (not differ & named(made).keys())


@given(seeds, seeds)
def test_the_text_says_what_the_caption_claims(seed: int, draw: int) -> None:
    """Each named attribute is in the text in one of its wordings; a colour not named is not in it."""
    shown = scene(seed)
    made = caption(shown, np.random.default_rng(draw))
    words = made.text.replace(",", "").split()
    assert made.kind is None or any(noun in made.text for noun in KINDS[made.kind])
    assert made.background is None or any(place in made.text for place in BACKGROUNDS[made.background])
    claimed = {made.color, made.second_color}
    places = {"white", "green"}  # 'on white snow', 'in a green meadow'
    assert {w for w in words if w in COLORS} - claimed <= places
    assert claimed - {None} <= set(words)


def test_a_caption_of_an_instance_leaves_the_place_open() -> None:
    item = instance(4)
    only = Caption("x", kind=item.kind, color=item.color)
    assert all(only.suits(scene(4, item=item, background=place)) for place in BACKGROUNDS)
    assert not Caption("x", kind="no such kind").suits(scene(4))
