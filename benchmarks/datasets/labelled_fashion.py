"""Classes of the fashion world: colours of stripes, which words name, and red mugs, which none tells apart."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations

from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.fashion import SEEDS, picture_of
from gair_search.benchmarks.datasets.labelled import Class, ClassSet, class_set_of_parts
from gair_search.benchmarks.fashion_world import instance, scene

NEIGHBOURS = ("blue", "purple", "turquoise", "green")
"""Colours that a small model mistakes for one another, whose order in a pair it mistakes too."""

PER_CLASS = 1000
"""Scenes that a class may have before its neighbour's begin."""


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

    def draw_view(number: int, which: int) -> Picture:
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
    return _class_set_of_scenes("fashion world, colours of stripes", classes, draw_view, seed, shots, test)


def fashion_instances(
    seed: int = 0, n: int | None = None, shots: int = 16, test: int = 20, size: int = 128
) -> ClassSet:
    """Plain red mugs, 12 unless `n` says how many: told apart by what no caption of the world names.

    Arguments as for `fashion_colors`.
    """
    items = [
        instance(i, "test", kind="mug", color="red", pattern="plain") for i in range(12 if n is None else n)
    ]

    def draw_view(number: int, which: int) -> Picture:
        return picture_of(
            scene(number, "test", item=items[which]), f"fashion/{size}/red-mug-{which}/{number}", size
        )

    classes = tuple(Class(f"mug {i}", ("a photo of a mug.",), ("a red mug.",)) for i in range(len(items)))
    return _class_set_of_scenes("fashion world, red mugs", classes, draw_view, seed, shots, test)


def _class_set_of_scenes(
    name: str,
    classes: tuple[Class, ...],
    draw_view: Callable[[int, int], Picture],
    seed: int,
    shots: int,
    test: int,
) -> ClassSet:
    """A class set of scenes; their numbers do not depend on how many classes there are."""

    def part(start: int, each: int) -> list[list[Picture]]:
        return [[draw_view(start + c * PER_CLASS + i, c) for i in range(each)] for c in range(len(classes))]

    return class_set_of_parts(name, classes, part((seed + 1) * SEEDS, shots), part(0, test))
