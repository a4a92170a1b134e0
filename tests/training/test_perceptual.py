import torch


def test_the_distance_is_nought_to_itself_and_grows() -> None:
    from gair_search.benchmarks.fashion_world import render, scene
    from gair_search.encoder.clip import Encoder
    from gair_search.encoder.models import resolve
    from training.perceptual import PerceptualDistance
    from training.renders import pixels

    distance = PerceptualDistance(Encoder(resolve("gair-mini"), "cpu"))
    drawn = torch.stack([torch.tensor(list(render(scene(i), 64).getdata())) for i in range(2)])
    images = pixels(drawn.view(2, 64, 64, 3), slice(None))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    near, far = (images + 0.1 * noise).requires_grad_(True), images + 0.5 * noise
    found = distance(near, images)
    found.backward()
    assert distance(images, images).item() < 1e-5
    assert 0 < found.item() < distance(far, images).item()
    assert near.grad is not None
    assert float(near.grad.abs().max()) > 0
    assert all(p.grad is None for p in distance.parameters())
