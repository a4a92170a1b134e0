import copy

import pytest
import timm
import torch
from torch import nn


def test_one_positive_a_row_is_plain_cross_entropy() -> None:
    from training.align import contrast

    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(6)
    both = (nn.functional.cross_entropy(logits, rows) + nn.functional.cross_entropy(logits.T, rows)) / 2
    assert contrast(logits, torch.eye(6, dtype=torch.bool)).item() == pytest.approx(both.item(), abs=1e-6)


def test_rows_without_a_positive_do_not_count() -> None:
    from training.align import contrast

    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    positive = torch.eye(3, dtype=torch.bool)
    alone = torch.cat([logits, torch.zeros(1, 3)]), torch.cat([positive, torch.zeros(1, 3, dtype=torch.bool)])
    one_way = nn.functional.cross_entropy(logits, torch.arange(3))
    columns = nn.functional.cross_entropy(alone[0].T, torch.arange(3))
    assert contrast(*alone).item() == pytest.approx(((one_way + columns) / 2).item(), abs=1e-6)


def test_a_caption_suits_what_it_does_not_contradict() -> None:
    from training.align import caption_matches

    images = torch.tensor([[0, 1, 2, -1, 3], [0, 1, 2, 4, 3]])
    captions = torch.tensor([[0, -2, -2, -2, 3], [0, 1, 2, 4, 3], [1, -2, -2, -2, -2]])
    assert caption_matches(captions, images).tolist() == [[True, False, False], [True, True, False]]


def test_views_of_one_instance_attract_each_other() -> None:
    from training.align import instance_loss

    near = nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), dim=-1)
    right, wrong = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert instance_loss(near, right) < 0.01 < instance_loss(near, wrong)


def test_folding_batch_norms_and_back_changes_nothing() -> None:
    from gair_search.encoder.folding import fold_batch_norms
    from training.align import unfold_batch_norms
    from training.trunk import SHAPE, halves

    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
    images = torch.randn(2, 3, 224, 224)
    front, back = halves(net)
    states = front(images)
    assert states.shape[1:] == SHAPE
    expected = back(states)
    assert torch.allclose(expected, net.forward_features(images).mean((2, 3)), atol=1e-4)
    folded = fold_batch_norms(copy.deepcopy(back))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(states), expected, atol=1e-3)
    unfold_batch_norms(back, folded)
    assert torch.allclose(back(states), expected, atol=1e-3)


def test_every_value_has_prompts_that_name_it_alone() -> None:
    from training.align import attribute_prompts
    from training.codes import ATTRIBUTES

    prompts = attribute_prompts()
    assert {name: len(values) for name, values in prompts.items()} == {
        name: len(values) for name, values in ATTRIBUTES.items() if name != "second_color"
    }
    flat = [text for values in prompts.values() for texts in values for text in texts]
    assert len(flat) == len(set(flat))
    assert "a photo of a red thing" in prompts["color"][0]


def test_training_leaves_the_analytic_head_alone() -> None:
    from training.align import hold_analytic, new_head
    from training.codes import CODES, DETAIL_DIM

    torch.manual_seed(0)
    head = new_head()
    hold_analytic(head)
    head(torch.randn(4, 1280)).square().sum().backward()
    spare = 1000 + DETAIL_DIM
    assert not head.fc1.weight.grad[:spare].any()
    assert head.fc1.weight.grad[spare:].any()
    held = head.fc2.weight.grad[:, :spare].clone()
    assert held[CODES].any()
    held[CODES] = 0
    assert not held.any()
