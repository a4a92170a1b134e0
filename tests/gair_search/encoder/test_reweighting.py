import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gair_search.encoder.reweighting import causal_mask, reweighted_mask, start_block


def equation_4(q: torch.Tensor, k: torch.Tensor, w: list[float]) -> list[list[float]]:
    """Equation 4 of Kim et al. 2024 as plain loops, under the causal mask; `q`, `k`: [n, d]."""
    rows = []
    for m in range(len(q)):
        terms = [w[n] * math.exp(float(q[m] @ k[n])) if n <= m else 0.0 for n in range(len(k))]
        rows.append([term / sum(terms) for term in terms])
    return rows


def test_the_mask_form_equals_equation_4() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 5, 4, dtype=torch.float64)
    w = [1.0, 1.5, 0.0, 0.3, 1.0]
    mask = reweighted_mask(causal_mask(5).double(), torch.tensor([w], dtype=torch.float64))[0]
    attention = torch.softmax(q @ k.T + mask, dim=-1)
    assert torch.allclose(attention, torch.tensor(equation_4(q, k, w), dtype=torch.float64), atol=1e-12)


def test_weight_1_is_the_causal_mask_and_weight_0_masks() -> None:
    mask = reweighted_mask(causal_mask(3), torch.tensor([[1.0, 0.0, 1.0]]))[0]
    inf = math.inf
    assert mask.tolist() == [[0, -inf, -inf], [0, -inf, -inf], [0, -inf, 0]]


def test_a_weight_doubles_attention_odds() -> None:
    mask = reweighted_mask(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))[0]
    assert torch.softmax(mask, -1)[0].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_each_prompt_of_a_batch_has_its_own_weights() -> None:
    """`[B, n_ctx]` weights stand in the columns of each prompt's own mask: a batch is its prompts one by one."""
    weights = torch.tensor([[1.0, 2.0, 4.0], [1.0, 0.5, 0.0]])
    masks = reweighted_mask(causal_mask(3), weights)
    assert masks.shape == (2, 3, 3)
    inf, two = math.inf, math.log(2)
    expected = [
        [[0, -inf, -inf], [0, two, -inf], [0, two, 2 * two]],
        [[0, -inf, -inf], [0, -two, -inf], [0, -two, -inf]],
    ]
    assert torch.allclose(masks, torch.tensor(expected))
    assert torch.equal(masks[1], reweighted_mask(causal_mask(3), weights[1:])[0])


@settings(max_examples=25)
@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=6),
    st.integers(0, 2**31),
)
def test_attention_is_equation_4_whatever_the_weights(rest: list[float], seed: int) -> None:
    w = [1.0, *rest]  # the start token's weight is never 0
    n, draws = len(w), torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, n, 3, generator=draws, dtype=torch.float64)
    mask = reweighted_mask(causal_mask(n).double(), torch.tensor([w], dtype=torch.float64))[0]
    attention = torch.softmax(q @ k.T + mask, dim=-1)
    assert torch.allclose(attention, torch.tensor(equation_4(q, k, w), dtype=torch.float64), atol=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 48), st.floats(0, 1))
def test_the_start_block_is_one_of_the_towers(n: int, fraction: float) -> None:
    first = start_block(n, fraction)
    assert 0 <= first <= n
    assert abs(first - n * fraction) <= 0.5


@pytest.mark.parametrize(
    ("n", "fraction", "first"), [(12, 0.5, 6), (4, 0.5, 2), (24, 0.5, 12), (12, 0, 0), (12, 1, 12)]
)
def test_start_block_is_the_papers_fraction_of_the_depth(n: int, fraction: float, first: int) -> None:
    assert start_block(n, fraction) == first
