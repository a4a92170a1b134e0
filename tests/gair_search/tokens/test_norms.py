"""The paper's figure 4iv on gair-mini: what the projection does to the norm of a learned token."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gair_search.clip import Clip
from gair_search.generator import Generator
from gair_search.tokens import lessons
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.learn import Method
from gair_search.tokens.report import describe, measured
from gair_search.world import BACKGROUNDS, Instance, instance, render, scene

Features = NDArray[np.float32]


def views_of(item: Instance, n: int, first: int) -> list[Image.Image]:
    """An instance in as many places."""
    places = list(BACKGROUNDS)
    return [render(scene(first + i, "test", item=item, background=places[i]), 96) for i in range(n)]


def learned(clip: Clip, number: int, projection: bool, method: Method, steps: int) -> CustomToken:
    """A token of an instance of the test split, against others of its kind; gair-mini's own settings."""
    item = instance(number, "test")
    others = [instance(number + 1 + i, "test", kind=item.kind) for i in range(16)]
    negatives = [views_of(other, 1, 100 * i)[0] for i, other in enumerate(others)]

    def find(parent: Features, concept: Features) -> Features:
        return lessons.image_features(negatives, clip).numpy()

    preset = replace(lessons.settings_for(clip.spec), projection=projection, steps=steps, views=2)
    generator = None if method == "prompt tuning" else Generator.load(clip)
    lesson = lessons.learn_token(
        "it",
        views_of(item, 3, number),
        item.kind,
        clip,
        find,
        settings=preset,
        method=method,
        generator=generator,
    )
    return lesson.token


@pytest.mark.parametrize(
    ("number", "method", "steps"),
    [(7000, "prompt tuning", 100), (7100, "prompt tuning", 100), (7000, "joint", 40)],
)
def test_the_projection_keeps_the_norm_in_the_attributes_range(
    clip: Clip, number: int, method: Method, steps: int
):
    """As section 4.3 says: within it with the projection, above it without."""
    held, free = (learned(clip, number, projection, method, steps) for projection in (True, False))
    range_ = measured(held)
    assert range_["norm_lowest"] == pytest.approx(measured(free)["norm_lowest"])
    assert range_["norm_lowest"] <= np.mean(describe(held)["norms"]) <= range_["norm_highest"]
    assert np.mean(describe(free)["norms"]) > range_["norm_highest"]
    assert min(measured(held)["separation"], measured(free)["separation"]) > 0.6
