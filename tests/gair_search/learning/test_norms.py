"""The paper's figure 4iv on gair-mini: what the projection does to the norm of a learned token."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    Instance,
    instance,
    render,
    scene,
)
from gair_search.encoder.clip import Encoder
from gair_search.generation.generator import Generator
from gair_search.learning import lessons
from gair_search.learning.config import Method, config_for
from gair_search.learning.report import describe, read_quality
from gair_search.tokens.custom_token import CustomToken

Features = NDArray[np.float32]


def pictures(item: Instance, first: int) -> list[Image.Image]:
    """Three views of an instance, each in another place."""
    places = list(BACKGROUNDS)[:3]
    return [
        render(scene(first + i, "test", item=item, background=place), 32) for i, place in enumerate(places)
    ]


def twins(item: Instance, first: int) -> list[Image.Image]:
    """Views of other instances that go by the same words: what makes learning hard."""
    alike = [
        instance(first + i, "test", kind=item.kind, color=item.color, pattern=item.pattern) for i in range(16)
    ]
    return [
        render(scene(first + i, "test", item=replace(other, second_color=item.second_color)), 32)
        for i, other in enumerate(alike)
    ]


def learned(encoder: Encoder, number: int, projection: bool, method: Method, steps: int) -> CustomToken:
    """A token of an instance of the test split, by gair-mini's own settings."""
    item = instance(number, "test")
    negatives = encoder.encode_images(twins(item, number + 50))
    preset = replace(config_for(encoder.spec), projection=projection, steps=steps, views=2)
    lesson = lessons.learn_token(
        "it",
        pictures(item, number),
        item.kind,
        encoder,
        lambda *_: negatives,
        config=preset,
        method=method,
        generator=None if method == "prompt tuning" else Generator.load(encoder),
    )
    return lesson.token


@pytest.mark.parametrize(
    ("method", "steps", "numbers"),
    [("prompt tuning", 100, (7000, 7100, 7200)), ("textual inversion", 60, (7000,))],
)
@pytest.mark.slow
def test_the_projection_keeps_norms_in_the_attributes_range(
    encoder: Encoder, method: Method, steps: int, numbers: tuple[int, ...]
):
    """As in section 4.3: within it with the projection, above it without."""
    outside = []
    for number in numbers:
        held, free = (learned(encoder, number, projection, method, steps) for projection in (True, False))
        range_ = read_quality(held)
        assert range_["norm_lowest"] <= np.mean(describe(held)["norms"]) <= range_["norm_highest"]
        outside.append(np.mean(describe(free)["norms"]) - range_["norm_highest"])
    assert np.mean(outside) > 0
