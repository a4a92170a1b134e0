"""GAIR, generation aided image retrieval: Algorithm 1 of Perera et al. (section 4.4), in the paper's symbols.

    t, *, c   the words before the concept, its custom token, the words after it
    W         candidate weights, each in 0..1
    q(w)      w g([t, *, c]) + (1 - w) mean_i g([t, a_i, c]): the mixed conditioning (`mixing.py`)
    d(q)      the images that are generated from it (`drawing.py`)
    s_o(I)    object score: f(I) . f(x), of the concept images x (`scores.py`)
    s_c(I)    context score: f(I) . f(x_c), of the context images x_c = d(q(0)) (`scores.py`)
    S         the score of each weight: the worse of the two
    w*        the selected weight, whose images score best

The same q(w*) of the text features is what is then searched with. `selection.py` puts a prompt and a generator in.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

Q = TypeVar("Q")
I = TypeVar("I")  # noqa: E741 - the paper's symbol

COARSE = (0.6, 0.8, 1.0)
"""Candidate weights that are tried first: their midpoints are tenths. The paper doesn't name its own; below a half
the concept is the smaller part of its own query, and is seldom found (benchmarks/RESULTS.md)."""

STEP = 0.1
"""Candidates are not refined below this distance."""

TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The candidates of the plain loop."""

Refine = Callable[[Mapping[float, float]], Sequence[float]]
"""The scores so far -> the weights to try next; none where that is all."""


def algorithm_1(
    W: Sequence[float],
    q: Callable[[float], Q],
    d: Callable[[Sequence[Q]], Sequence[I]],
    s_o: Callable[[I], float],
    s_c: Callable[[I], float],
    refine: Refine = lambda S: (),
) -> tuple[float, dict[float, float]]:
    """Algorithm 1. It draws the candidates of a round in one batch, and asks `refine` for another round.

    Returns:
        w* and S. A score is -inf where no image of the weight is any good.
    """
    S: dict[float, float] = {}
    while W:
        images = d([q(w) for w in W])
        for w, image in zip(W, images, strict=True):
            S[w] = score(s_o(image), s_c(image))
        W = refine(S)
    return select(S), S


def score(s_o: float, s_c: float) -> float:
    """The worse of object and context score: what scores well shows both."""
    return min(s_o, s_c)


def select(S: Mapping[float, float]) -> float:
    """w* = argmax S; of equals the weight that is nearest to the plain query, w = 1."""
    return max(S, key=lambda w: (S[w], w))


def midpoints(S: Mapping[float, float], step: float = STEP) -> list[float]:
    """Coarse to fine: half-way from the best weight to its neighbours, where that is `step` away or more.

    As a `refine`, it never ends below what it has seen, since the best weight so far stays in S.
    """
    tried, best = sorted(S), select(S)
    if S[best] == -math.inf:
        return []
    place = tried.index(best)
    neighbours = tried[max(place - 1, 0) : place] + tried[place + 1 : place + 2]
    return [(best + other) / 2 for other in neighbours if abs(best - other) / 2 >= step - 1e-9]


def plain_loop(
    q: Callable[[float], Q],
    d: Callable[[Sequence[Q]], Sequence[I]],
    s_o: Callable[[I], float],
    s_c: Callable[[I], float],
    W: Sequence[float] = TENTHS,
) -> tuple[float, dict[float, float]]:
    """Algorithm 1 as written, one candidate after the other: the reference for drawing in batches and refining."""
    rest = iter(W)
    return algorithm_1(list(islice(rest, 1)), q, d, s_o, s_c, refine=lambda S: list(islice(rest, 1)))
