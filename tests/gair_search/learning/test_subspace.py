"""The attribute subspace: what projection keeps and what it takes away."""

import pytest
import torch
from sklearn.decomposition import PCA

from gair_search.learning.subspace import attribute_subspace, coordinates, from_coordinates, project


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(12, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_projection_is_idempotent(embeddings):
    subspace = attribute_subspace(embeddings, rank=4)
    once = project(torch.ones(3, 20, dtype=torch.float64), subspace)
    assert torch.allclose(project(once, subspace), once, atol=1e-12)


def test_projection_keeps_the_mean_and_the_attributes(embeddings):
    subspace = attribute_subspace(embeddings)
    assert subspace.rank == 11
    assert torch.allclose(project(subspace.mean, subspace), subspace.mean, atol=1e-12)
    assert torch.allclose(project(embeddings, subspace), embeddings, atol=1e-9)


def test_full_rank_is_the_identity():
    many = torch.randn(40, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    vectors = torch.randn(5, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(project(vectors, attribute_subspace(many)), vectors, atol=1e-9)


def test_by_hand():
    # attributes on the line y = 1: the projection of (3, 5) on it is (3, 1)
    subspace = attribute_subspace(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    assert subspace.rank == 1
    assert project(torch.tensor([3.0, 5.0]), subspace).tolist() == pytest.approx([3, 1])


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_rounding_is_no_direction_however_long_the_embeddings(size):
    """Attributes on a line in three dimensions, in float32: one direction, whatever their length."""
    line = torch.tensor([[1.0, 2.0, 3.0]]) / 3 + torch.tensor([[0.0], [0.1], [0.7], [2.0]]) * torch.tensor(
        [[0.3, -0.7, 0.1]]
    )
    assert attribute_subspace(size * line).rank == 1


def test_equal_attributes_span_nothing():
    same = attribute_subspace(torch.ones(3, 4))
    assert same.rank == 0
    assert project(torch.zeros(2, 4), same).tolist() == [[1.0] * 4] * 2


def test_no_more_directions_than_there_are(embeddings):
    assert attribute_subspace(embeddings, rank=4).rank == 4
    assert attribute_subspace(embeddings, rank=40).rank == 11


def test_is_scikit_learns_pca(embeddings):
    subspace, pca = attribute_subspace(embeddings, rank=5), PCA(5).fit(embeddings.numpy())
    vectors = torch.ones(2, 20, dtype=torch.float64)
    expected = pca.inverse_transform(pca.transform(vectors.numpy()))
    assert torch.allclose(project(vectors, subspace), torch.from_numpy(expected), atol=1e-10)


def test_gradient_stays_in_the_subspace(embeddings):
    subspace = attribute_subspace(embeddings, rank=3)
    vector = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    project(vector, subspace).square().sum().backward()
    inside = vector.grad @ subspace.basis.T @ subspace.basis
    assert torch.allclose(vector.grad, inside, atol=1e-12)


def test_coordinates_are_those_of_the_projection(embeddings):
    subspace = attribute_subspace(embeddings, rank=4)
    vectors = torch.randn(3, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(
        from_coordinates(coordinates(vectors, subspace), subspace), project(vectors, subspace), atol=1e-12
    )
    places = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(coordinates(from_coordinates(places, subspace), subspace), places, atol=1e-12)


def test_coordinates_count_in_the_attributes_standard_deviations(embeddings):
    own = coordinates(embeddings, attribute_subspace(embeddings))
    assert torch.allclose(own.mean(0), torch.zeros(11, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(own.T @ own / 11, torch.eye(11, dtype=torch.float64), atol=1e-9)
    # (0, 1) and (2, 1): mean (1, 1), standard deviation sqrt(2)
    line = attribute_subspace(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    assert coordinates(torch.tensor([3.0, 5.0]), line).abs().tolist() == pytest.approx([2**0.5])
