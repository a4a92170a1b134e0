"""Combinations of attributes: what the pictures show is what the labels say."""

import numpy as np
import pytest

from gair_search.benchmarks.datasets import attributes, combinations
from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.fashion_world import Scene, render
from gair_search.query.language import parse


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Scene]:
    """The scene behind each picture, by the picture's id."""
    shown: dict[str, Scene] = {}

    def picture_of(scene: Scene, name: str, size: int) -> Picture:
        shown[name] = scene
        return Picture(name, lambda side: render(scene, size))

    monkeypatch.setattr(combinations, "picture_of", picture_of)
    return shown


def value(scene: Scene, attribute: str) -> str | None:
    return scene.background if attribute == "background" else getattr(scene.item, attribute)


@pytest.mark.parametrize(("n_attributes", "n", "each"), [(3, 8, 3), (5, 2, 1)])
def test_fashion_labels_are_what_the_scenes_show(
    scenes: dict[str, Scene], n_attributes: int, n: int, each: int
) -> None:
    found = list(combinations.fashion_combinations(4, n, each, n_attributes))
    assert len({c.id for c in found}) == n
    used = [attribute for c in found for attribute in c.attributes]
    assert set(used) >= set(combinations.FASHION_ATTRIBUTES)
    numbers = [scene.entropy for scene in scenes.values()]
    assert len(set(numbers)) == len(numbers) == n * each * 2**n_attributes
    for c in found:
        sizes = {int(member.sum()) for member in c.categories().values()}
        assert (sizes, len(c.categories()), c.k) == ({each}, 2**n_attributes, len(c.pictures) // 2)
        named = {attribute: piece for piece, attribute in c.pieces if attribute}
        for attribute in c.attributes:
            shown = [value(scenes[p.id], attribute) for p in c.pictures]
            there = {v for v, label in zip(shown, c.labels[attribute], strict=True) if label}
            gone = {v for v, label in zip(shown, c.labels[attribute], strict=True) if not label}
            assert len(there) == 1
            assert not there & gone
            assert set(named) == set(c.attributes)
        if "color" in c.attributes:
            color = named["color"]
            for p, label in zip(c.pictures, c.labels["color"], strict=True):
                assert label or color not in (scenes[p.id].item.color, scenes[p.id].item.second_color)


def test_seeds_differ_and_repeat() -> None:
    one, again, other = (next(iter(combinations.fashion_combinations(seed, 1, 1))) for seed in (0, 0, 1))
    assert (one.pieces, one.pictures) == (again.pieces, again.pictures)
    assert {p.id for p in one.pictures}.isdisjoint(p.id for p in other.pictures)
    longer = list(combinations.fashion_combinations(0, 3, 1))
    assert longer[0].pictures == one.pictures


def test_prompts_are_in_the_query_language() -> None:
    pieces = (("a photo of a", None), ("woman", "f"), ("with bangs", "b"), (",", None), ("smiling", "s"))
    c = combinations.Combination("x", pieces, (), {"f": np.ones(0, bool)}, None)
    assert c.prompt() == "a photo of a woman with bangs, smiling"
    assert c.prompt({"b": 1.5, "s": 0.0}) == "a photo of a woman (with bangs:1.5), (smiling:0)"
    weights = {span.text.strip(): span.weight for span in parse(c.prompt({"b": 0.2, "f": 1}))}
    assert weights == {"a photo of a woman": 1, "with bangs": 0.2, ", smiling": 1}


def celeba(n: int = 400) -> attributes.AttributeSet:
    rng = np.random.default_rng(0)
    pictures = tuple(Picture(f"{i}.jpg", lambda side: render(None, 1)) for i in range(n))  # type: ignore[arg-type]
    names = ("Male", "Smiling", "Bangs", "Bald")
    labels = {name: rng.random(n) < (0.02 if name == "Bald" else 0.5) for name in names}
    return attributes.AttributeSet("celeba", pictures, labels, np.ones(n, bool))


def test_celeba_combinations_are_balanced_and_large_enough() -> None:
    data = celeba()
    found = list(combinations.celeba_combinations(data, ["Smiling", "Bangs", "Bald"], 0, per_category=20))
    assert [c.attributes for c in found] == [("female", "Smiling", "Bangs"), ("male", "Smiling", "Bangs")]
    assert found[0].prompt() == "a photo of a woman smiling, with bangs"
    for c in found:
        assert {int(m.sum()) for m in c.categories().values()} == {20}
        assert len({p.id for p in c.pictures}) == 160
        assert c.k == 80
        for p, female in zip(c.pictures, c.labels[c.attributes[0]], strict=True):
            male = data.labels["Male"][int(p.id.removesuffix(".jpg"))]
            assert female == (male ^ (c.attributes[0] == "female"))
    assert len(list(combinations.celeba_combinations(data, ["Smiling", "Bangs"], 0, 20, n=1))) == 1
    assert not list(combinations.celeba_combinations(data, ["Smiling", "Bald"], 0, 20))


def test_the_five_of_celeba_are_the_papers() -> None:
    n = 32 * 6
    flags = (np.arange(n)[:, None] >> np.arange(5)) & 1 == 1
    labels = {name: flags[:, a] for a, name in enumerate(("Male", *combinations.FIVE_OF_CELEBA))}
    pictures = tuple(Picture(f"{i}.jpg", lambda side: render(None, 1)) for i in range(n))  # type: ignore[arg-type]
    data = attributes.AttributeSet("celeba", pictures, labels, np.ones(n, bool))
    woman, man = combinations.celeba_five(data, 0)
    assert woman.prompt() == "a photo of a woman smiling, with bangs, with gray hair, wearing eyeglasses"
    assert man.prompt().startswith("a photo of a man smiling, ")
    for one in (woman, man):
        assert (len(one.pictures), one.k) == (160, 80)
        shown = np.stack(list(one.labels.values()), axis=1)
        categories, sizes = np.unique(shown, axis=0, return_counts=True)
        assert (len(categories), set(sizes)) == (32, {5})
        drawn = [int(p.id.removesuffix(".jpg")) for p in one.pictures]
        assert (shown[:, 1:] == flags[drawn, 1:]).all()
        assert (shown[:, 0] == (flags[drawn, 0] ^ (one is woman))).all()
    assert [c.attributes[0] for c in combinations.celeba_five(data, 0, n=1)] == ["female"]
    assert not list(combinations.celeba_five(data, 0, per_category=7))
    del labels["Bangs"]
    assert not list(
        combinations.celeba_five(attributes.AttributeSet("celeba", pictures, labels, data.test), 0)
    )


def test_cub_combinations_share_no_colour() -> None:
    labels = {name: np.array([True, False]) for name in combinations.CUB_PHRASES}
    pictures = tuple(Picture(f"{i}.jpg", lambda side: render(None, 1)) for i in range(2))  # type: ignore[arg-type]
    data = attributes.AttributeSet("cub", pictures, labels, np.ones(2, bool))
    found = list(combinations.cub_combinations(data, 0))
    assert len(found) == 57
    for c in found:
        colors = [name.split("::")[1] for name in c.attributes if "_color::" in name]
        assert len(set(colors)) == len(colors)
    assert "a photo of a bird, which has hooked seabird bill, has duck-like shape, and has blue crown" in {
        c.prompt() for c in found
    }
    assert len(list(combinations.cub_combinations(data, 0, 5))) == 5
