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


def learned(encoder: Encoder, number: int, projection: bool, method: Method) -> CustomToken:
    """A token of an instance of the test split, by the settings that gair-mini ships."""
    item = instance(number, "test")
    negatives = encoder.encode_images(twins(item, number + 50))
    lesson = lessons.learn_token(
        "it",
        pictures(item, number),
        item.kind,
        encoder,
        lambda *_: negatives,
        config=replace(config_for(encoder.spec), projection=projection),
        method=method,
        generator=None if method == "prompt tuning" else Generator.load(encoder),
    )
    return lesson.token


def over_top(token: CustomToken) -> float:
    """The mean norm of a token's vectors over the highest norm of its attributes."""
    quality = read_quality(token)
    assert quality is not None
    return float(np.mean(describe(token)["norms"])) / quality["norm_highest"]


def test_the_settings_here_are_those_that_ship(encoder: Encoder) -> None:
    """What the norms below are measured with, and docs/learning.md says."""
    config = config_for(encoder.spec)
    assert (config.steps, config.n_vectors, config.learning_rate, config.subspace_rate) == (
        300,
        4,
        5e-3,
        5e-2,
    )


@pytest.mark.parametrize(
    ("method", "numbers", "free_above", "held_below"),
    [("prompt tuning", (7000, 7100, 7200, 7300, 7400), 1.0, 1.25), ("textual inversion", (7000,), 1.4, 1.25)],
)
@pytest.mark.slow
def test_the_projection_keeps_norms_near_the_attributes_not_in_their_range(
    encoder: Encoder, method: Method, numbers: tuple[int, ...], free_above: float, held_below: float
):
    """As in section 4.3 it lowers them, and yet most lie above: the paper's one standard deviation is not reached."""
    held = [over_top(learned(encoder, number, True, method)) for number in numbers]
    free = [over_top(learned(encoder, number, False, method)) for number in numbers]
    assert min(free) > free_above
    assert np.mean(held) < np.mean(free)
    assert max(held) < held_below
    assert np.mean(np.array(held) <= 1) <= 0.5
