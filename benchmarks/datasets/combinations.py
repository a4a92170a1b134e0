"""Combinations of attributes, for retrieval by preference (Kim et al. 2024, sections 4.2 and A.2).

A combination is a prompt that names some attributes, and pictures in every category: each attribute there or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, count, product

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.fashion import SEEDS, picture_of
from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    Instance,
    instance,
    scene,
)
from gair_search.benchmarks.fashion_world.vocabulary import PLURAL_KINDS

FASHION_ATTRIBUTES = ("kind", "color", "pattern", "background")
FIVE_ATTRIBUTES = (*FASHION_ATTRIBUTES, "second_color")

CELEBA_PHRASES = {
    "Smiling": "smiling",
    "Bangs": "with bangs",
    "Bald": "with a bald head",
    "Black_Hair": "with black hair",
    "Blond_Hair": "with blonde hair",
    "Brown_Hair": "with brown hair",
    "Gray_Hair": "with gray hair",
    "Wavy_Hair": "with wavy hair",
    "Goatee": "with a goatee",
    "Mustache": "with a mustache",
    "Heavy_Makeup": "with heavy makeup",
    "Wearing_Lipstick": "wearing lipstick",
    "Wearing_Hat": "wearing a hat",
    "Wearing_Necktie": "wearing a necktie",
    "Eyeglasses": "wearing eyeglasses",
}
"""The paper's table 9 is not in the text that we have; these are the attributes that words name well."""

CUB_PHRASES = {
    "has_bill_shape::hooked_seabird": "hooked seabird bill",
    "has_shape::duck-like": "duck-like shape",
    "has_crown_color::blue": "blue crown",
    "has_forehead_color::blue": "blue forehead",
    "has_wing_color::yellow": "yellow wing",
    "has_upperparts_color::yellow": "yellow upperparts",
    "has_underparts_color::yellow": "yellow underparts",
    "has_back_color::yellow": "yellow back",
    "has_breast_color::yellow": "yellow breast",
    "has_throat_color::yellow": "yellow throat",
    "has_forehead_color::yellow": "yellow forehead",
    "has_nape_color::yellow": "yellow nape",
    "has_belly_color::yellow": "yellow belly",
    "has_primary_color::yellow": "yellow color",
    "has_crown_color::yellow": "yellow crown",
}
"""The paper's table 10."""


@dataclass(frozen=True)
class Combination:
    """A prompt, and pictures that have what it names or lack it.

    Attributes:
        id: unique in its data set.
        pieces: the prompt in order; each piece with the attribute that it names, or None.
        pictures: `[N]`.
        labels: attribute -> whether each picture has it, bool `[N]`.
        k: for precision at k, half of a balanced pool as in the paper; None where it is not reported.
    """

    id: str
    pieces: tuple[tuple[str, str | None], ...]
    pictures: tuple[Picture, ...]
    labels: Mapping[str, NDArray[np.bool_]]
    k: int | None

    @property
    def attributes(self) -> tuple[str, ...]:
        """In the order of `labels`."""
        return tuple(self.labels)

    def prompt(self, weights: Mapping[str, float] | None = None) -> str:
        """The prompt in the query language, with a token weight on what names an attribute."""
        given = weights or {}
        text = ""
        for piece, attribute in self.pieces:
            weight = given.get(attribute, 1.0) if attribute else 1.0
            written = piece if weight == 1 else f"({piece}:{weight:.6g})"
            text += written if piece.startswith(",") or not text else f" {written}"
        return text

    def categories(self) -> dict[tuple[bool, ...], NDArray[np.bool_]]:
        """Each presence or absence of the attributes -> which pictures show just that, bool `[N]`."""
        flags = np.stack(list(self.labels.values()), axis=1)
        every = product([True, False], repeat=len(self.labels))
        return {key: (flags == np.array(key)).all(axis=1) for key in every}


def fashion_combinations(
    seed: int, n: int, per_category: int, attributes: int = 3, size: int = 128
) -> Iterator[Combination]:
    """`n` combinations of 3 of kind, colour, pattern and background, or of all these and the second colour.

    Each category has `per_category` scenes of the test split. Where a colour is absent it is neither the main
    nor the second one; trims and emblems may have any.

    Args:
        seed: draws everything; two seeds share no scene.
        n: combinations; the choices of attributes take turns.
        per_category: scenes in each of the 2 ** attributes categories.
        attributes: 3 or 5.
        size: side of the pictures in pixels.
    """
    choices = [FIVE_ATTRIBUTES] if attributes == 5 else list(combinations(FASHION_ATTRIBUTES, attributes))
    rng = np.random.default_rng((seed, attributes))
    numbers = count(seed * SEEDS + (SEEDS // 2 if attributes == 5 else 0))
    for i in range(n):
        named = choices[i % len(choices)]
        values = _values(rng, named)
        name = f"{seed}-{'-'.join(value.replace(' ', '_') for value in values.values())}-{i}"
        pictures, flags = [], []
        for category in product([True, False], repeat=len(named)):
            wanted = dict(zip(named, category, strict=True))
            for j in range(per_category):
                item, place, number = _scene(rng, numbers, values, wanted)
                shown = scene(number, "test", item=item, background=place)
                marks = "".join("+" if there else "-" for there in category)
                pictures.append(picture_of(shown, f"fashion/{size}/{name}/{marks}/{j}", size))
                flags.append(category)
        table = np.array(flags)
        labels = {attribute: table[:, a] for a, attribute in enumerate(named)}
        yield Combination(name, _fashion_pieces(values), tuple(pictures), labels, len(pictures) // 2)


def celeba_combinations(
    data: AttributeSet, attributes: Sequence[str], seed: int, per_category: int = 100, n: int | None = None
) -> Iterator[Combination]:
    """Female or male with two of `attributes`, in all combinations whose eight categories are large enough.

    Args:
        data: CelebA.
        attributes: of `CELEBA_PHRASES`.
        seed: draws the images, and the combinations where there are more than `n`.
        per_category: images in each category.
        n: at most so many combinations.
    """
    rng = np.random.default_rng(seed)
    found = []
    for sex, pair in product(_SEXES, combinations(attributes, 2)):
        flags, members = _celeba_categories(data, sex, pair)
        if min(map(len, members)) >= per_category:
            found.append((sex, pair, flags, members))
    chosen = range(len(found)) if n is None or n >= len(found) else sorted(rng.choice(len(found), n, False))
    for i in chosen:
        yield _celeba_combination(data, *found[i], per_category, seed, rng)


FIVE_OF_CELEBA = ("Smiling", "Bangs", "Gray_Hair", "Eyeglasses")
"""With female or male the only five whose 32 categories all have images (appendix C.4)."""

FIVE_PER_CATEGORY = 5


def celeba_five(
    data: AttributeSet, seed: int, per_category: int = FIVE_PER_CATEGORY, n: int = 2
) -> Iterator[Combination]:
    """Female, and male, with `FIVE_OF_CELEBA`: the two prompts of table 6, those whose categories are large enough.

    Args:
        data: CelebA.
        seed: draws the images.
        per_category: images in each of the 32 categories.
        n: at most so many combinations.
    """
    rng = np.random.default_rng((seed, 5))
    if not set(FIVE_OF_CELEBA) <= set(data.labels):
        return
    for sex in list(_SEXES)[:n]:
        flags, members = _celeba_categories(data, sex, FIVE_OF_CELEBA)
        if min(map(len, members)) >= per_category:
            yield _celeba_combination(data, sex, FIVE_OF_CELEBA, flags, members, per_category, seed, rng)


_SEXES = {"female": "woman", "male": "man"}


def _celeba_categories(
    data: AttributeSet, sex: str, names: Sequence[str]
) -> tuple[NDArray[np.bool_], list[NDArray[np.intp]]]:
    """Which of these attributes each picture has, `[N, 1 + A]`, and the pictures in each category."""
    has = [data.labels["Male"] ^ (sex == "female"), *(data.labels[name] for name in names)]
    flags = np.stack(has, axis=1)
    categories = product([True, False], repeat=len(has))
    return flags, [np.flatnonzero((flags == np.array(one)).all(axis=1)) for one in categories]


def _celeba_combination(
    data: AttributeSet,
    sex: str,
    names: Sequence[str],
    flags: NDArray[np.bool_],
    members: Sequence[NDArray[np.intp]],
    per_category: int,
    seed: int,
    rng: np.random.Generator,
) -> Combination:
    """`a photo of a woman smiling, with bangs`, and so many pictures of each category."""
    drawn = np.concatenate([rng.choice(member, per_category, replace=False) for member in members])
    pieces: list[tuple[str, str | None]] = [("a photo of a", None), (_SEXES[sex], sex)]
    for name in names:
        pieces += [(",", None), (CELEBA_PHRASES[name], name)]
    del pieces[2]  # no comma before the first
    labels = {name: flags[drawn, a] for a, name in enumerate((sex, *names))}
    pictures = tuple(data.pictures[j] for j in drawn)
    return Combination(f"{seed}-{sex}-{'-'.join(names)}", tuple(pieces), pictures, labels, len(pictures) // 2)


def cub_combinations(data: AttributeSet, seed: int, n: int | None = None) -> Iterator[Combination]:
    """Three of the paper's 15 attributes, no two of one colour, over all images.

    By this rule there are 57; the paper counts 58.

    Args:
        data: CUB.
        seed: draws the combinations where there are more than `n`.
        n: at most so many combinations.
    """
    found = []
    for names in combinations(CUB_PHRASES, 3):
        hues = [name.split("::")[1] for name in names if "_color::" in name]
        if len(set(hues)) == len(hues):
            found.append(names)
    rng = np.random.default_rng(seed)
    chosen = range(len(found)) if n is None or n >= len(found) else sorted(rng.choice(len(found), n, False))
    for i in chosen:
        one, two, three = found[i]
        pieces = (
            ("a photo of a bird, which has", None),
            (CUB_PHRASES[one], one),
            (", has", None),
            (CUB_PHRASES[two], two),
            (", and has", None),
            (CUB_PHRASES[three], three),
        )
        labels = {name: data.labels[name] for name in found[i]}
        yield Combination("-".join(found[i]), pieces, data.pictures, labels, None)


_VALUES = {
    "kind": tuple(KINDS),
    "color": tuple(COLORS),
    "pattern": tuple(PATTERNS),
    "background": tuple(BACKGROUNDS),
    "second_color": tuple(COLORS),
}


def _values(rng: np.random.Generator, named: Sequence[str]) -> dict[str, str]:
    """A value for each attribute; a pattern that shows, and two colours that differ."""
    values: dict[str, str] = {}
    for attribute in named:
        taken = {"plain", values.get("color") if attribute == "second_color" else None}
        options = [value for value in _VALUES[attribute] if value not in taken]
        values[attribute] = options[rng.integers(len(options))]
    return values


def _scene(
    rng: np.random.Generator, numbers: Iterator[int], values: Mapping[str, str], wanted: Mapping[str, bool]
) -> tuple[Instance, str, int]:
    """An instance, a background and a scene's seed that have what is wanted and lack what is not."""

    def draw_value(attribute: str) -> str | None:
        if attribute not in values:
            return None
        if wanted[attribute]:
            return values[attribute]
        options = [value for value in _VALUES[attribute] if value != values[attribute]]
        return options[rng.integers(len(options))]

    while True:
        number = next(numbers)
        item = instance(
            number, "test", kind=draw_value("kind"), color=draw_value("color"), pattern=draw_value("pattern")
        )
        place = draw_value("background") or str(rng.choice(_VALUES["background"]))
        if _suits(item, values, wanted):
            return item, place, number


def _suits(item: Instance, values: Mapping[str, str], wanted: Mapping[str, bool]) -> bool:
    """Whether the colours are where they should be: an absent one nowhere, the second one second."""
    first, second = values.get("color"), values.get("second_color")
    if first and not wanted["color"] and first in (item.color, item.second_color):
        return False
    if second and wanted["second_color"]:
        return item.second_color == second
    return second is None or second not in (item.color, item.second_color)


def _fashion_pieces(values: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
    """`a photo of a` `red` `striped` `dress` `on a beach`; with a second colour `with` `white` `stripes`."""
    kind, pattern = values.get("kind"), values.get("pattern")
    named: list[tuple[str, str | None]] = []
    if "color" in values:
        named.append((values["color"], "color"))
    if pattern and "second_color" not in values:
        named.append((PATTERNS[pattern][0][0], "pattern"))
    named.append((kind, "kind") if kind else ("thing", None))
    if pattern and "second_color" in values:
        named += [
            ("with", None),
            (values["second_color"], "second_color"),
            (PATTERNS[pattern][1][0], "pattern"),
        ]
    if "background" in values:
        named.append((BACKGROUNDS[values["background"]][0], "background"))
    article = "a pair of" if kind in PLURAL_KINDS else "an" if named[0][0][0] in "aeiou" else "a"
    return ((f"a photo of {article}", None), *named)
