import itertools

import pytest


def test_the_rate_rises_then_falls_to_a_fiftieth() -> None:
    from training.schedule import rate

    rates = [rate(i / 1000) for i in range(1001)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates.index(max(rates)) == 10
    assert rates[0] > 0
    assert rates[-1] == pytest.approx(0.02)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
