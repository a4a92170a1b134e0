"""The fashion world: seeded garments and things, drawn anew in any place, pose and light.

It trains gair-mini, feeds the demo and the tests, and stands in for DeepFashion2 where its
photographs cannot be had: what an image shows is known exactly, and what a concept is too.
"""

from gair_search.benchmarks.fashion_world.captions import (
    Caption,
    caption,
    full_caption,
    noun_phrase,
)
from gair_search.benchmarks.fashion_world.render import render
from gair_search.benchmarks.fashion_world.scene import (
    Instance,
    Scene,
    Split,
    instance,
    scene,
)
from gair_search.benchmarks.fashion_world.vocabulary import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
)

__all__ = [
    "BACKGROUNDS",
    "COLORS",
    "KINDS",
    "PATTERNS",
    "Caption",
    "Instance",
    "Scene",
    "Split",
    "caption",
    "full_caption",
    "instance",
    "noun_phrase",
    "render",
    "scene",
]
