import math

import pytest

from gair_search.errors import GairError
from gair_search.gair.options import GairConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing_weight": 1.5}, r"mixing weight 1.5: expected 0"),
        ({"candidates": (0.5, -0.1)}, "mixing weight -0.1"),
        ({"candidates": (math.nan,)}, "mixing weight nan"),
        ({"candidates": ()}, "one candidate weight or more"),
        ({"mixing_weight": 0.5, "candidates": (0.5,)}, "not both"),
        ({"step": 0}, "step 0"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
        ({"seeds": (0, 2**63)}, "seeds"),
        ({"coarse": (0.5, 1.5)}, "mixing weight 1.5"),
        ({"coarse": ()}, "one candidate weight or more"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(GairError, match=message):
        GairConfig(**options)


def test_both_ends_of_every_range_are_taken() -> None:
    assert GairConfig(mixing_weight=0).first_weights == (0,)
    assert GairConfig(mixing_weight=1).first_weights == (1,)
    assert GairConfig(candidates=(0, 1)).first_weights == (0, 1)
    assert GairConfig(seeds=(0, 2**63 - 1)).seeds == (0, 2**63 - 1)


def test_unless_given() -> None:
    """Two images a candidate, kept on disk; nothing is fetched from the web."""
    config = GairConfig()
    assert (config.seeds, config.cache, config.allow_urls) == ((0, 1), True, False)
    assert (config.mixing_weight, config.candidates, config.attributes, config.concept_images) == (
        None,
        None,
        (),
        (),
    )
    assert (config.coarse, config.step) == ((0.6, 0.8, 1.0), 0.1)


@pytest.mark.parametrize(
    ("options", "first", "refines"),
    [
        ({}, (0.6, 0.8, 1.0), True),
        ({"coarse": (1.0, 0.5, 0.5)}, (0.5, 1.0), True),
        ({"candidates": (0.9, 0.1, 0.9)}, (0.1, 0.9), False),
        ({"mixing_weight": 0.3}, (0.3,), False),
    ],
)
def test_which_weights_are_tried_first(options: dict, first: tuple[float, ...], refines: bool) -> None:
    """Sorted and once each; around candidates that are given, or a weight by hand, nothing more is tried."""
    config = GairConfig(**options)
    assert (config.first_weights, config.refines) == (first, refines)
