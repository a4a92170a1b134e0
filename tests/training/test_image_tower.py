import pytest
import torch
from torch import nn


def test_the_mean_of_rectified_normals_is_that_of_draws() -> None:
    from training.image_tower import photo_mean

    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([-1.0, 0.5, 5.0]))
        norm.weight.copy_(torch.tensor([1.0, 2.0, -3.0]))
    draws = torch.randn(400_000, 3, generator=torch.Generator().manual_seed(0))
    expected = (draws * norm.weight + norm.bias).clamp(0, 6).mean(0)
    assert photo_mean(norm).tolist() == pytest.approx(expected.tolist(), abs=0.02)


def test_the_analytic_head_is_conse_with_rectified_logits() -> None:
    from training.align import new_head
    from training.codes import CODES, DETAIL
    from training.image_tower import THRESHOLD, detail_directions, set_head
    from training.towers import EMBED_DIM, SEMANTIC_DIM

    torch.manual_seed(0)
    classifier, head = nn.Linear(1280, 1000), new_head()
    names, photos = torch.randn(1000, EMBED_DIM), torch.rand(64, 1280)
    with torch.no_grad():
        classifier.weight.mul_(5)
    set_head(head, classifier, names, photos.mean(0), photos)
    with torch.no_grad():
        found, logits = head(photos), classifier(photos)
    semantics = nn.functional.normalize(names[:, :SEMANTIC_DIM], dim=-1)
    rectified = nn.functional.gelu(2 * (logits - THRESHOLD)) / 2
    expected = rectified @ (semantics - semantics.mean(0))
    assert torch.allclose(found[:, :SEMANTIC_DIM], expected, atol=1e-4)
    assert not found[:, CODES].any()
    # the detail is a rotation of the features, up to one scale
    detail = (photos - photos.mean(0)) @ detail_directions(classifier.weight, DETAIL.stop - DETAIL.start).T
    scale = (found[:, DETAIL] * detail).sum() / detail.square().sum()
    assert torch.allclose(found[:, DETAIL], scale * detail, atol=1e-3)
