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
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(GairError, match=message):
        GairConfig(**options)
