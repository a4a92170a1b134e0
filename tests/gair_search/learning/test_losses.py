"""The losses against hand-computed values, torch's own and diffusers' own."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from gair_search.learning.losses import (
    balanced_weights,
    classification_loss,
    diffusion_loss,
    discriminative_loss,
    joint_loss,
)


def _features(n: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


def test_each_side_weighs_half():
    weights = balanced_weights(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_a_token_that_is_its_parent_costs_log_two():
    features, parent = _features(7, 0), _features(1, 1)[0]
    labels = torch.tensor([1.0, 1, 0, 0, 0, 0, 0])
    assert classification_loss(features, labels, parent, parent, 100.0).item() == pytest.approx(math.log(2))


def test_classification_loss_is_torchs():
    features, (concept, parent) = _features(5, 0), _features(2, 1)
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    # the same as cross-entropy of CLIP's own two-class classifier, class-balanced
    logits = 20 * features @ torch.stack([parent, concept]).T
    per_class = [
        torch.nn.functional.cross_entropy(logits[labels == y], labels[labels == y].long()) for y in (0, 1)
    ]
    expected = torch.stack(per_class).mean()
    found = classification_loss(features, labels, concept, parent, 20.0)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    probability = torch.sigmoid(20 * features @ (concept - parent))
    weight = balanced_weights(labels)
    plain = torch.nn.functional.binary_cross_entropy(probability, labels, weight=weight, reduction="sum")
    assert found.item() == pytest.approx(plain.item(), abs=1e-6)


def test_discriminative_loss_by_hand():
    features = torch.eye(2)
    expected = math.log(1 + math.exp(-3))  # its own at 3, the other at 0
    assert discriminative_loss(features, torch.tensor([0, 1]), torch.eye(2), 3.0).item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_diffusion_loss_is_diffusers_own(kind):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=16,
        attention_head_dim=8,
    ).eval()
    scheduler = DDPMScheduler(prediction_type=kind)
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    steps, told = torch.tensor([0, 400, 999]), torch.randn(3, 5, 16)
    # diffusers' examples/textual_inversion, the step's loss
    predicted = unet(scheduler.add_noise(latents, noise, steps), steps, told).sample
    target = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(latents, noise, steps),
        "sample": latents,
    }
    expected = torch.nn.functional.mse_loss(predicted.float(), target[kind].float(), reduction="mean")
    assert torch.equal(diffusion_loss(unet, scheduler, latents, noise, steps, told), expected)


def test_unknown_prediction_is_refused():
    class Unet(torch.nn.Module):
        def forward(self, noisy, steps, told):
            return type("Output", (), {"sample": noisy})

    scheduler = DDPMScheduler()
    scheduler.register_to_config(prediction_type="flow")
    latents = torch.zeros(1, 4, 8, 8)
    with pytest.raises(ValueError, match="prediction type flow: expected epsilon"):
        diffusion_loss(Unet(), scheduler, latents, latents, torch.tensor([1]), torch.zeros(1, 1, 1))


def test_joint_loss_and_its_ends():
    diffusion, classification = torch.tensor(2.0), torch.tensor(3.0)
    assert joint_loss(diffusion, classification, 1.0, 0.1).item() == pytest.approx(2.3)
    assert joint_loss(diffusion, None, 1.0, 0.0).item() == 2
    assert joint_loss(None, classification, 0.0, 1.0).item() == 3
