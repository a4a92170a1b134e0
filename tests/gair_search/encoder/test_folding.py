import timm
import torch
from torch import nn

from gair_search.encoder.clip import Encoder
from gair_search.encoder.folding import fold_if_unchanged


def scrambled(net: nn.Module) -> nn.Module:
    """Batch norms that do something."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return net.eval()


def has_batch_norms(net: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_folded_networks_say_the_same() -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for name in ("tf_efficientnet_lite0", "resnet18"):
        net = scrambled(timm.create_model(name, num_classes=5))
        twin = fold_if_unchanged(net, images[:1])
        assert has_batch_norms(net), "the original is left alone"
        assert not has_batch_norms(twin)
        with torch.inference_mode():
            assert torch.allclose(twin(images), net(images), atol=1e-4, rtol=1e-3)


def test_nothing_is_folded_where_the_order_is_another() -> None:
    class Before(nn.Module):
        """The batch norm is registered after the convolution, and used before it."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.norm(x))

    net = scrambled(Before())
    assert fold_if_unchanged(net, torch.randn(1, 3, 8, 8)) is net


def test_a_network_without_batch_norms_is_itself() -> None:
    net = nn.Conv2d(3, 4, 3).eval()
    assert fold_if_unchanged(net, torch.randn(1, 3, 8, 8)) is net


def test_the_bundled_tower_is_folded(encoder: Encoder) -> None:
    assert not has_batch_norms(encoder.image_tower)
