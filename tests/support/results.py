"""A result of GAIR, made up."""

import numpy as np

from gair_search.gair.result import Candidate, GairResult
from gair_search.generation.sampling import SamplingConfig
from gair_search.query.compiler import Query, Token

PROMPT = "a <my-dress> on (grass:1.5)"


def gair_result(selected: float = 0.5, *, excluded: bool = False, seeds: int = 2) -> GairResult:
    """A result as GAIR gives it, of plain colours."""
    candidates = []
    for w in (0.0, 0.5, 1.0):
        images = np.full((seeds, 16, 16, 3), round(200 * w), np.uint8)
        gone = excluded and w == 1.0
        scores = (None, None) if gone else (w, 1 - w)
        candidates.append(Candidate(w, images, *scores, seeds if gone else 0))
    query = Query(PROMPT, np.zeros(3, np.float32), (Token("a", 1.0, 0, 1),), ((1.0, PROMPT),), selected)
    return GairResult(
        selected,
        False,
        tuple(candidates),
        query,
        "my-dress",
        ("red", "<b>old"),
        np.zeros(3, np.float32),
        np.zeros(3, np.float32),
        SamplingConfig("ddim", 2),
        tuple(range(seeds)),
        18,
        0,
        ("mind the <gap>",),
    )
