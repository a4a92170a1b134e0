"""Pictures of classes, for few-shot classification (Kim et al. 2024, section 4.1; Wang et al. 2024)."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.base import Picture, absent, first_of
from gair_search.benchmarks.datasets.combinations import CELEBA_PHRASES
from gair_search.benchmarks.datasets.dreambooth import classes as dreambooth_parents
from gair_search.benchmarks.datasets.fashion import SEEDS, picture_of
from gair_search.benchmarks.datasets.folders import complete_classes
from gair_search.benchmarks.fashion_world import instance, scene
from gair_search.errors import DatasetError
from gair_search.learning.templates import PARAPHRASES

TEMPLATE = "a photo of a {}."
"""The paper's base prompt on most data sets (Yu et al. 2023)."""

NEIGHBOURS = ("blue", "purple", "turquoise", "green")
"""Colours that a small model mistakes for one another, whose order in a pair it mistakes too."""

PER_CLASS = 1000
"""Scenes that a class may have before its neighbour's begin."""


@dataclass(frozen=True)
class Class:
    """A class and what is known of it in words.

    Attributes:
        name: what it is called.
        prompts: the base prompts.
        descriptions: what its pictures show, in sentences; where the paper has those of CuPL (Pratt et al. 2023).
    """

    name: str
    prompts: tuple[str, ...]
    descriptions: tuple[str, ...]


@dataclass(frozen=True)
class ClassSet:
    """Pictures of C classes: some to learn from, the others to be classified.

    Attributes:
        name: for tables.
        classes: `[C]`.
        parts: all N pictures, apart where some are other seeds' too.
        labels: class of each picture in the order of the parts, `[N]`.
        train: places of the pictures to learn from, by class, in the order in which they are drawn.
        test: places of the others.
    """

    name: str
    classes: tuple[Class, ...]
    parts: tuple[tuple[Picture, ...], ...]
    labels: NDArray[np.intp]
    train: tuple[tuple[int, ...], ...]
    test: tuple[int, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them, `[N]`."""
        return tuple(picture for part in self.parts for picture in part)

    @property
    def ids(self) -> list[str]:
        """The classes' names, with a number where one name is two classes' (as ImageNet's cranes)."""
        names = [c.name for c in self.classes]
        return [f"{name} #{i}" if names.count(name) > 1 else name for i, name in enumerate(names)]

    @property
    def most_shots(self) -> int:
        """Pictures to learn from that the richest class has."""
        return max(map(len, self.train))

    def shots(self, k: int) -> list[int]:
        """Places of the first k pictures to learn from of each class; all of a class that has fewer."""
        return [place for own in self.train for place in own[:k]]


def described(data: ClassSet, path: Path) -> ClassSet:
    """The same with the descriptions of a JSON file, class name -> texts, as CuPL publishes them.

    Raises:
        DatasetError: no such file, or a class that it lacks.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        texts = {str(name).lower(): tuple(map(str, rows)) for name, rows in content.items()}
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise DatasetError(f"{path}: expected JSON, class name -> list of texts ({error})") from error
    missing = [c.name for c in data.classes if not texts.get(c.name.lower())]
    if missing:
        raise DatasetError(
            f"{path}: no descriptions of {len(missing):,} classes, as {', '.join(missing[:5])}"
        )
    return replace(data, classes=tuple(replace(c, descriptions=texts[c.name.lower()]) for c in data.classes))


def fashion_colors(
    seed: int = 0, n: int | None = None, shots: int = 16, test: int = 20, size: int = 128
) -> ClassSet:
    """Striped things of any kind, anywhere, told apart by which colour is the thing's and which the stripes'.

    Kinds, patterns and single colours are no task for gair-mini, which knows them by name. Which of two colours is
    which is one: a class has as many neighbours with a colour in common as there are, and one with both. The same
    test pictures for every seed.

    Args:
        seed: draws the pictures to learn from.
        n: classes; all 12 unless given.
        shots, test: pictures of each class to learn from, and to classify.
        size: side of the pictures in pixels.
    """
    pairs = [pair for two in combinations(NEIGHBOURS, 2) for pair in permutations(two)][:n]

    def shown(number: int, which: int) -> Picture:
        first, second = pairs[which]
        item = replace(instance(number, "test", color=first, pattern="striped"), second_color=second)
        return picture_of(
            scene(number, "test", item=item), f"fashion/{size}/{first}-{second}-striped/{number}", size
        )

    classes = tuple(
        Class(
            f"{first} with {second} stripes",
            (f"a photo of a {first} thing with {second} stripes.",),
            (
                f"a striped thing, mostly {first}, with narrow {second} stripes.",
                f"{second} stripes on a {first} dress, coat, bag or mug.",
                f"the thing is {first} and its horizontal stripes are {second}.",
                f"a stripy {first} object with some {second} in it.",
            ),
        )
        for first, second in pairs
    )
    return _drawn("fashion world, colours of stripes", classes, shown, seed, shots, test)


def fashion_instances(
    seed: int = 0, n: int | None = None, shots: int = 16, test: int = 20, size: int = 128
) -> ClassSet:
    """Plain red mugs, 12 unless `n` says how many: told apart by what no caption of the world names.

    Arguments as for `fashion_colors`.
    """
    items = [
        instance(i, "test", kind="mug", color="red", pattern="plain") for i in range(12 if n is None else n)
    ]

    def shown(number: int, which: int) -> Picture:
        return picture_of(
            scene(number, "test", item=items[which]), f"fashion/{size}/red-mug-{which}/{number}", size
        )

    classes = tuple(Class(f"mug {i}", ("a photo of a mug.",), ("a red mug.",)) for i in range(len(items)))
    return _drawn("fashion world, red mugs", classes, shown, seed, shots, test)


def _drawn(
    name: str,
    classes: tuple[Class, ...],
    shown: Callable[[int, int], Picture],
    seed: int,
    shots: int,
    test: int,
) -> ClassSet:
    """A class set of scenes; their numbers do not depend on how many classes there are."""

    def part(start: int, each: int) -> list[list[Picture]]:
        return [[shown(start + c * PER_CLASS + i, c) for i in range(each)] for c in range(len(classes))]

    return _apart(name, classes, part((seed + 1) * SEEDS, shots), part(0, test))


def _apart(
    name: str,
    classes: tuple[Class, ...],
    train: Sequence[Sequence[Picture]],
    test: Sequence[Sequence[Picture]],
) -> ClassSet:
    """A class set from two parts, each given by class."""
    labels: list[int] = []
    parts, places = [], []
    for part in (test, train):
        start = len(labels)
        labels += [c for c, own in enumerate(part) for _ in own]
        parts.append(tuple(picture for own in part for picture in own))
        at = np.split(np.arange(start, len(labels)), np.cumsum([len(own) for own in part])[:-1])
        places.append([tuple(map(int, own)) for own in at])
    tested = tuple(place for own in places[0] for place in own)
    return ClassSet(name, classes, tuple(parts), np.array(labels), tuple(places[1]), tested)


def _split(
    name: str,
    classes: tuple[Class, ...],
    pictures: Sequence[Sequence[Picture]],
    seed: int,
    per_class: int | None = None,
) -> ClassSet:
    """A class set without an official split: each seed draws its own, half of each class to learn from.

    Args:
        per_class: at most so many of the other half are classified.
    """
    labels = np.array([c for c, own in enumerate(pictures) for _ in own])
    train, test = [], []
    for c in range(len(classes)):
        order = np.random.default_rng((seed, c)).permutation(np.flatnonzero(labels == c)).tolist()
        half = (len(order) + 1) // 2
        train.append(tuple(order[:half]))
        test += sorted(order[half:][:per_class])
    everything = tuple(picture for own in pictures for picture in own)
    return ClassSet(name, classes, (everything,), labels, tuple(train), tuple(test))


def _taken(pictures: Sequence[Picture], n: int | None, *seed: int) -> tuple[Picture, ...]:
    """`n` of the pictures in drawn order; all where None."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    return tuple(pictures[i] for i in order[:n])


def named(name: str, descriptions: Iterable[str] = (), template: str = TEMPLATE) -> Class:
    """A class by its name; paraphrases of the template where nothing describes it."""
    own = tuple(descriptions) or tuple(text.format(name) for text in PARAPHRASES)
    return Class(name, (template.format(name),), own)


DREAMBOOTH_DESCRIPTIONS = {
    "backpack": ("a bag with two shoulder straps and zips.", "a backpack of cloth with pockets in front."),
    "stuffed animal": ("a soft plush toy in the shape of an animal.", "a stuffed animal with fluffy fur."),
    "bowl": ("a round open bowl of ceramic with food in it.", "a bowl seen from above on a table."),
    "can": ("a metal can of a drink with a printed label.", "an aluminium can with a ring to open it."),
    "candle": ("a candle of wax in a glass jar with a wick.", "a candle with a label, to be lit."),
    "cat": ("a cat with pointed ears, whiskers and fur.", "a small furry cat with a long tail."),
    "clock": ("a clock with a round dial, numbers and hands.", "an alarm clock that shows the time."),
    "sneaker": ("a sneaker with laces and a rubber sole.", "a sports shoe with bright colors."),
    "dog": ("a dog with a wet nose, floppy ears and fur.", "a dog that sits and looks at the camera."),
    "toy": ("a small toy of plastic or rubber for children.", "a bright toy figure on a table."),
    "boot": ("a high boot of leather.", "a boot with a shaft, a heel and a sole."),
    "glasses": ("a pair of glasses with two lenses and a frame.", "sunglasses with colored lenses."),
    "cartoon": ("a drawn cartoon figure with outlines and flat colors.", "a drawing of a cartoon character."),
    "teapot": ("a teapot with a spout, a handle and a lid.", "a pot to pour tea from."),
    "vase": ("a tall vase for flowers with a narrow neck.", "a vase of glazed ceramic."),
}
"""Two sentences a class, written for this table."""


def dreambooth_classes(
    folder: Path, seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """The 158 DreamBooth photos in their 15 classes, half of each to learn from.

    A subject may have photos on both sides.

    Raises:
        DatasetError: the table or photos are absent.
    """
    photos = _dreambooth_photos(folder)
    parents = dreambooth_parents(folder)
    names = list(dict.fromkeys(parents.values()))[:n]
    classes = tuple(named(name, DREAMBOOTH_DESCRIPTIONS.get(name, ())) for name in names)
    groups = [
        [p for subject, own in photos.items() if parents[subject] == name for p in own] for name in names
    ]
    return _split("DreamBooth, classes", classes, groups, seed, per_class)


def dreambooth_subjects(
    folder: Path, seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """Each of the 30 subjects a class of its own, half of its 4 to 6 photos to learn from.

    Raises:
        DatasetError: the table or photos are absent.
    """
    photos = dict(list(_dreambooth_photos(folder).items())[:n])
    return _split(
        "DreamBooth, subjects", tuple(named(name) for name in photos), list(photos.values()), seed, per_class
    )


def _dreambooth_photos(folder: Path) -> dict[str, list[Picture]]:
    """Subject -> photos. Raises DatasetError where they are absent."""
    parents = dreambooth_parents(folder)
    found = complete_classes(folder, "DreamBooth")
    missing = [f"{folder / subject}/*.jpg" for subject in parents if subject not in found]
    if missing:
        raise absent("DreamBooth", missing, len(parents), f"{folder} is to be dataset/ of google/dreambooth")
    return {subject: list(found[subject]) for subject in parents}


_SYNSET = re.compile(r"n\d{8}")
_NAMES = ("classnames.txt", "LOC_synset_mapping.txt")


def folder_classes(
    folder: Path, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """A folder a class: `train/CLASS/` and `val/CLASS/` (or `test/`) as ImageNet has them, or `CLASS/` alone.

    A class is called as its folder, `_` read as a blank; folders called as ImageNet's synsets need
    `classnames.txt` (of CoOp) or `LOC_synset_mapping.txt` (of Kaggle) in the folder or beside it.

    Args:
        folder: the data set.
        seed: draws the pictures to learn from; and, without `val/` or `test/`, which half they are drawn from.
        n: the first so many classes.
        shots: pictures to learn from, where there is `train/`.
        per_class: at most so many pictures of a class are classified.

    Raises:
        DatasetError: folders are absent, empty, differ between the parts, or have no names.
    """
    tests = first_of([folder / "val", folder / "test"])
    if tests is None:
        found = dict(list(complete_classes(folder).items())[:n])
        classes = tuple(named(text) for text in _class_names(folder, list(found)))
        return _split(folder.name, classes, list(found.values()), seed, per_class)
    train = dict(list(complete_classes(folder / "train").items())[:n])
    test = complete_classes(tests)
    if missing := [f"{tests / name}/*" for name in train if name not in test]:
        raise absent(
            folder.name, missing, len(train), f"{tests} is to hold the classes of {folder / 'train'}"
        )
    classes = tuple(named(text) for text in _class_names(folder, list(train)))
    learned = [_taken(own, shots, seed, c) for c, own in enumerate(train.values())]
    return _apart(
        folder.name, classes, learned, [_some(test[name], per_class, c) for c, name in enumerate(train)]
    )


def _some(pictures: Sequence[Picture], n: int | None, number: int) -> Sequence[Picture]:
    """At most `n` pictures to classify, the same for every seed."""
    return pictures if n is None else _taken(pictures, n, 0, number)


def _class_names(folder: Path, places: Sequence[str]) -> list[str]:
    """What folders' classes are called. Raises DatasetError where ImageNet's are not told."""
    file = first_of([place / name for place in (folder, folder.parent) for name in _NAMES])
    told: dict[str, str] = {}
    if file is not None:
        rows = [line.split(maxsplit=1) for line in file.read_text("utf-8").splitlines() if line.strip()]
        told = {row[0]: row[-1].split(",")[0].strip() for row in rows}
    if unnamed := [place for place in places if _SYNSET.fullmatch(place) and place not in told]:
        raise DatasetError(
            f"{folder}: {unnamed[0]} says no class name; put classnames.txt (lines as: n01440764 tench) into it"
        )
    return [told.get(place, place.replace("_", " ")) for place in places]


def caltech_classes(
    found: Mapping[str, Sequence[Picture]], seed: int = 0, n: int | None = None, per_class: int | None = None
) -> ClassSet:
    """Caltech-256 as `folders.caltech256` reads it, but for its clutter; half of each class to learn from."""
    kept = {name: own for name, own in found.items() if name != "clutter"}
    kept = dict(list(kept.items())[:n])
    return _split("Caltech-256", tuple(map(named, kept)), list(kept.values()), seed, per_class)


DESCRIBING = 6
"""Attributes that a species is described with."""


def cub_species(
    data: AttributeSet, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """CUB's species, each described by the attributes that most of its training pictures have (figure 3).

    `Blue headed Vireo has white belly.`; arguments as for `folder_classes`.
    """
    folders = np.array([picture.id.split("/")[0] for picture in data.pictures])
    flags = np.stack(list(data.labels.values()), axis=1)
    classes, train, test = [], [], []
    for c, folder in enumerate(sorted(set(folders.tolist()))[:n]):
        species = folder.split(".", 1)[-1].replace("_", " ")
        learned, tested = (
            np.flatnonzero((folders == folder) & (data.test == side)) for side in (False, True)
        )
        if not len(learned) or not len(tested):
            raise DatasetError(f"CUB-200-2011: {folder} has no picture in one of the two parts of the split")
        shares = flags[learned].mean(axis=0)
        best = [i for i in np.argsort(-shares, kind="stable")[:DESCRIBING] if shares[i] >= 0.5]
        phrases = [cub_phrase(list(data.labels)[i]) for i in best]
        classes.append(
            named(
                species,
                [f"{species} has {phrase}." for phrase in phrases],
                "a photo of a {}, a type of bird.",
            )
        )
        train.append(_taken([data.pictures[i] for i in learned], shots, seed, c))
        test.append(_some([data.pictures[i] for i in tested], per_class, c))
    return _apart("CUB-200-2011", tuple(classes), train, test)


def cub_phrase(attribute: str) -> str:
    """`has_wing_color::yellow` as `yellow wing`, `has_size::small_(5_-_9_in)` as `small size`."""
    part, _, value = attribute.removeprefix("has_").partition("::")
    part = re.sub(r"_(color|shape|pattern|length)$", "", part)
    return re.sub(r"_?\(.*\)", "", value).replace("_", " ") + " " + part.replace("_", " ")


_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


def celeba_hair(
    data: AttributeSet, seed: int = 0, n: int | None = None, shots: int = 16, per_class: int | None = None
) -> ClassSet:
    """CelebA's women and men by the colour of their hair, those with one of four: 8 classes.

    CelebA has no classes of its own but persons; arguments as for `folder_classes`.

    Raises:
        DatasetError: a class without pictures.
    """
    one = sum(data.labels[name].astype(int) for name in _HAIR) == 1
    classes, train, test = [], [], []
    pairs = [(sex, name) for name in _HAIR for sex in ("woman", "man")][:n]
    for c, (sex, name) in enumerate(pairs):
        member = one & data.labels[name] & (data.labels["Male"] == (sex == "man"))
        learned, tested = (np.flatnonzero(member & (data.test == side)) for side in (False, True))
        if not len(learned) or not len(tested):
            raise DatasetError(
                f"CelebA: no {sex} {CELEBA_PHRASES[name]} in one of the two parts of the split"
            )
        classes.append(named(f"{sex} {CELEBA_PHRASES[name]}"))
        train.append(_taken([data.pictures[i] for i in learned], shots, seed, c))
        test.append(_some([data.pictures[i] for i in tested], per_class, c))
    return _apart("CelebA, hair", tuple(classes), train, test)
