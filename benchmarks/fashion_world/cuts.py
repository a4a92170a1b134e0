"""The cut of every kind."""

from __future__ import annotations

from collections.abc import Callable

from gair_search.benchmarks.fashion_world.accessories import bag, boot, hat
from gair_search.benchmarks.fashion_world.dice import Dice
from gair_search.benchmarks.fashion_world.garments import (
    coat,
    dress,
    shorts,
    skirt,
    trousers,
    tshirt,
)
from gair_search.benchmarks.fashion_world.parts import Cut
from gair_search.benchmarks.fashion_world.things import mug, umbrella, vase

CUTS: dict[str, Callable[[Dice], Cut]] = {
    "dress": dress,
    "t-shirt": tshirt,
    "skirt": skirt,
    "coat": coat,
    "trousers": trousers,
    "shorts": shorts,
    "hat": hat,
    "bag": bag,
    "boot": boot,
    "mug": mug,
    "umbrella": umbrella,
    "vase": vase,
}
