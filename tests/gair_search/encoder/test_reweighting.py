import math

import pytest
import torch

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


@pytest.mark.parametrize(
    ("n", "fraction", "first"), [(12, 0.5, 6), (4, 0.5, 2), (24, 0.5, 12), (12, 0, 0), (12, 1, 12)]
)
def test_start_block_is_the_papers_fraction_of_the_depth(n: int, fraction: float, first: int) -> None:
    assert start_block(n, fraction) == first
