"""The joint space's three parts, and the codes of what the fashion world names.

| dimensions | part | on texts | on images |
|---|---|---|---|
| 0-383 | semantics | the teacher's features | mixture of class names (ConSE); the caption's semantics |
| 384-447 | codes | one axis for each named kind, colour, pattern, second colour, background | the same |
| 448-639 | detail | nothing, but for words that name no word: custom tokens | what makes this object this one |
"""

from __future__ import annotations

import numpy as np

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    Caption,
    Scene,
)
from training.towers import EMBED_DIM, SEMANTIC_DIM

CODE_DIM = 64
DETAIL_DIM = EMBED_DIM - SEMANTIC_DIM - CODE_DIM
CODES = slice(SEMANTIC_DIM, SEMANTIC_DIM + CODE_DIM)
DETAIL = slice(SEMANTIC_DIM + CODE_DIM, EMBED_DIM)

CODE_LENGTH = 0.35
"""Length of one named attribute beside semantics of length 1; all five make 0.78."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "color": tuple(COLORS),
    "pattern": tuple(PATTERNS),
    "second_color": tuple(COLORS),
    "background": tuple(BACKGROUNDS),
}
"""Attribute -> its values, in the order of the axes."""


def axes() -> dict[str, slice]:
    """Attribute -> its axes among the codes."""
    spans, start = {}, 0
    for name, values in ATTRIBUTES.items():
        spans[name] = slice(start, start + len(values))
        start += len(values)
    return spans


def caption_code(caption: Caption) -> np.ndarray:
    """float32 `[CODE_DIM]`: CODE_LENGTH on the axis of each value that the caption names."""
    code = np.zeros(CODE_DIM, np.float32)
    for name, span in axes().items():
        value = getattr(caption, name)
        if value is not None:
            code[span.start + ATTRIBUTES[name].index(value)] = CODE_LENGTH
    return code


def scene_labels(scene: Scene) -> np.ndarray:
    """int64 `[5]`: the index of the scene's value of each attribute; -1 for no second colour."""
    item = scene.item
    shown = (item.kind, item.color, item.pattern, item.second_color, scene.background)
    return np.array(
        [
            -1 if value is None else values.index(value)
            for value, values in zip(shown, ATTRIBUTES.values(), strict=True)
        ]
    )
