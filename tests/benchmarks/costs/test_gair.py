"""The ways to search for a mixing weight draw the same images and are held against the loop."""

from dataclasses import replace
from pathlib import Path

import pytest

from gair_search.benchmarks.costs.gair import (
    LOOP,
    WAYS,
    SearchCost,
    SearchOutcome,
    stand_in,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError
from gair_search.gair.algorithm import TENTHS
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.tokens.store import TokenStore

_, UPPER, REFINED, WHOLE = WAYS


@pytest.mark.slow
def test_all_ways_see_the_same_images(tiny: Encoder, generator: Generator, tmp_path: Path) -> None:
    part = SearchCost(tiny, generator, 2, (), SamplingConfig(steps=1))
    part.run(3, tmp_path, tiny.device)
    for found in part.found.values():
        assert list(found) == [(3, 0), (3, 1)]
    for key, loop in part.found[LOOP].items():
        assert tuple(loop.scores) == TENTHS
        assert (loop.images, loop.rows) == (11, 22)  # each with its unconditional branch
        upper = part.found[UPPER][key]
        assert upper.scores == loop.within([0.6]).scores
        assert (upper.images, upper.rows) == (6, 12)
        for name, least in ((REFINED, 0.6), (WHOLE, 0.0)):
            one = part.found[name][key]
            both = set(one.scores) & set(loop.scores)
            assert {least, 1.0} <= both
            assert min(one.scores) == least
            assert {w: one.scores[w] for w in both} == pytest.approx(
                {w: loop.scores[w] for w in both}, abs=1e-3
            )
            assert one.images + 1 <= one.rows <= one.images + 2  # one unconditional row a batch
            assert one.images < 11
    assert all(len(seconds) == 2 for seconds in part.seconds[0].values())


def test_figures_are_held_against_the_loop_s(tiny: Encoder, generator: Generator) -> None:
    part = SearchCost(tiny, generator, 2, (), SamplingConfig(steps=1))
    loop = {0.0: 0.1, 0.5: 0.6, 0.6: 0.5, 0.8: 0.3}
    part.found = {
        LOOP: {(0, i): SearchOutcome(loop, 11, 22) for i in range(2)},
        UPPER: {(0, i): SearchOutcome({0.6: 0.5, 0.8: 0.3}, 6, 12) for i in range(2)},
        REFINED: {(0, i): SearchOutcome({0.6: 0.5, 0.8: 0.3}, 4, 5) for i in range(2)},
        WHOLE: {(0, 0): SearchOutcome({0.0: 0.1, 0.6: 0.5}, 5, 6), (0, 1): SearchOutcome({0.0: 0.1}, 7, 9)},
    }
    part.seconds = [{LOOP: [4.0, 2.0], UPPER: [2.0, 2.0], REFINED: [1.0, 1.0], WHOLE: [1.0, 2.0]}]
    assert part.ratios(WHOLE) == [0.5]  # by the total
    ways = part.values()["ways"]
    assert ways[WHOLE] == pytest.approx(
        {
            "seconds": 1.5,
            "images": 6,
            "images per second": 4,
            "denoiser rows": 7.5,
            "same w": 0,
            "within 0.1": 0.5,
            "short": (0.1 + 0.5) / 2,
        }
    )
    # what could not be selected is not asked for
    assert (ways[REFINED]["same w"], ways[REFINED]["short"], ways[LOOP]["within 0.1"]) == (1, 0, 1)
    rows = {row[0]: row[1:] for row in part.table().rows}
    assert rows[WHOLE] == ("1.50", "2.00", "6.0", "4.00", "7.5", "0.000", "0.500", "+0.3000")
    assert rows[LOOP][1] == "1.00"
    assert "2 searches over 1 seed(s)" in part.table().note


@pytest.mark.slow
def test_stored_tokens_are_searched_for(tiny: Encoder, generator: Generator, tmp_path: Path) -> None:
    token = stand_in(0, 0, tiny)
    TokenStore().save(token)
    part = SearchCost(tiny, generator, 1, (token.name,), SamplingConfig(steps=1))
    part.run(0, tmp_path, tiny.device)
    assert len(part.found[LOOP]) == 1
    TokenStore().save(replace(token, name="bare", facts={}))
    with pytest.raises(ConceptError, match="<bare> holds no features"):
        SearchCost(tiny, generator, 1, ("bare",), SamplingConfig(steps=1))
