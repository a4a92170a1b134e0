import torch
from torch import nn


def test_a_convolution_is_trained_through_its_view() -> None:
    from training.optim import MuonAdamW

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4), nn.Flatten(), nn.Linear(16, 2))
    optim, before = MuonAdamW(model, 1e-2, 1e-2), {k: v.clone() for k, v in model.state_dict().items()}
    images = torch.randn(5, 3, 4, 4)
    losses = []
    for step in range(30):
        loss = model(images).square().mean()
        loss.backward()
        optim.step(0.2 + step / 100)
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_muon_moves_a_convolution_as_the_matrix_that_it_is() -> None:
    from training.optim import MuonAdamW

    torch.manual_seed(0)
    conv, matrix = nn.Conv2d(3, 4, 2, bias=False), nn.Linear(12, 4, bias=False)
    matrix.weight.data.copy_(conv.weight.data.flatten(1))
    gradient = torch.randn(4, 12) * 0.01
    for module in (conv, matrix):
        optim = MuonAdamW(nn.Sequential(module, nn.LayerNorm(4)), 1e-2, 1e-2)
        for parameter in optim.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        module.weight.grad = gradient.view_as(module.weight).clone()
        optim.step(0.5)
    assert torch.allclose(conv.weight.flatten(1), matrix.weight, atol=1e-6)


def test_checkpoints_go_on_where_they_were() -> None:
    from training.optim import MuonAdamW

    def run(stop: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        optim = MuonAdamW(model, 1e-2, 1e-2)
        for step in range(6):
            if step == stop:
                state, kept = optim.state_dict(), {k: v.clone() for k, v in model.state_dict().items()}
                model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
                optim = MuonAdamW(model, 1e-2, 1e-2)
                model.load_state_dict(kept)
                optim.load_state_dict(state)
            data = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
            model(data).pow(4).mean().backward()
            optim.step(step / 6)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(run(None), run(3))
