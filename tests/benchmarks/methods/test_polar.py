"""POLAR: its update by hand, against a tower whose weights are really changed, and what it leaves alone."""

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from gair_search.benchmarks.methods.polar import (
    PAPER,
    LastBlock,
    PolarConfig,
    add_to_values,
    initial_factors,
    learn_update,
    polar_loss,
    read_polar_config,
    text_features_with_update,
)
from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ModelError

TEXTS = ["a photo of a sks dress", "one sks dress", "sks"]


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return Encoder(models.resolve("gair-mini"), "cpu").text_tower


def some_factors(tower: TextTower, rank: int = 1) -> torch.Tensor:
    factors = initial_factors(tower.width, rank, 0)
    factors[1] = 5 * torch.randn(rank, tower.width, generator=torch.Generator().manual_seed(1))
    return factors


def plain_features(tower: TextTower) -> torch.Tensor:
    with torch.no_grad():
        return tower.encode_ids([tower.token_ids(text) for text in TEXTS]).features


def some_images(tower: TextTower) -> torch.Tensor:
    """Features as of images of red things."""
    with torch.no_grad():
        return tower.encode_ids(
            [tower.token_ids(f"a red {noun}") for noun in ("dress", "hat", "bag")]
        ).features


def test_settings_are_the_model_s_own_else_the_paper_s(tmp_path: Path) -> None:
    spec = models.resolve("gair-mini")
    # to the letter: kept cells are known by it
    assert json.dumps(asdict(read_polar_config(spec))) == (
        '{"rank": 1, "steps": 500, "learning_rate": 0.01, "regularisation": 0.0001}'
    )
    own = replace(spec, architecture=f"local-dir:{tmp_path}")
    assert read_polar_config(own) == read_polar_config(replace(spec, architecture="ViT-B-32")) == PAPER
    (tmp_path / "polar.json").write_text('{"rank": 2}')
    assert read_polar_config(own) == PolarConfig(rank=2)
    for text in ("{", '{"ranks": 2}', '{"rank": "2"}', '{"steps": null}'):
        (tmp_path / "polar.json").write_text(text)
        with pytest.raises(ModelError, match=r"polar\.json is no file of learning settings"):
            read_polar_config(own)


def test_update_by_hand() -> None:
    weight = torch.arange(12.0).reshape(6, 2)
    factors = torch.tensor([[[3.0, 4.0]], [[10.0, -5.0]]])  # A / 5 = (0.6, 0.8)
    found = add_to_values(weight, factors)
    assert torch.equal(found[:4], weight[:4])
    assert torch.allclose(found[4:], torch.tensor([[8 + 6.0, 9 + 8.0], [10 - 3.0, 11 - 4.0]]))


def test_loss_by_hand() -> None:
    features, images = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.6, 0.8], [0, 1]])
    b = torch.tensor([[1.0, -3.0]])
    assert polar_loss(features, images, b, 0.1).item() == pytest.approx(0.8 / 4 + 0.1 * 5)


def test_the_first_update_is_the_plain_encoding(tower: TextTower) -> None:
    assert torch.equal(
        text_features_with_update(tower, TEXTS, initial_factors(tower.width, 1, 0)), plain_features(tower)
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_an_update_is_that_of_the_weights(tower: TextTower, rank: int) -> None:
    factors = some_factors(tower, rank)
    changed = copy.deepcopy(tower)
    attention = changed.transformer.transformer.resblocks[-1].attn
    a = factors[0] / factors[0].norm(dim=1, keepdim=True)
    attention.in_proj_weight[-tower.width :] += factors[1].T @ a
    wanted = plain_features(changed)
    assert torch.allclose(text_features_with_update(tower, TEXTS, factors), wanted, atol=1e-6)
    assert not torch.allclose(wanted, plain_features(tower), atol=1e-2)


def test_gradients_reach_the_factors_alone(tower: TextTower) -> None:
    weights = copy.deepcopy(tower.state_dict())
    last, factors = LastBlock(tower), some_factors(tower).requires_grad_(True)
    last.with_update(*last.hidden(TEXTS), factors)[:, 0].sum().backward()
    assert factors.grad is not None
    assert factors.grad[0].norm() > 0
    assert factors.grad[1].norm() > 0
    learn_update(tower, TEXTS, some_images(tower), PolarConfig(steps=2))
    assert all(p.grad is None and not p.requires_grad for p in tower.parameters())
    after = tower.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], weights[name]) for name in weights)


def test_learning_draws_the_text_to_the_images(tower: TextTower) -> None:
    images = some_images(tower)

    def learned(seed: int = 0, regularisation: float = 0.0) -> torch.Tensor:
        settings = PolarConfig(steps=60, learning_rate=0.03, regularisation=regularisation)
        return learn_update(tower, TEXTS, images, settings, seed)

    factors = learned()
    near, far = (
        (text_features_with_update(tower, TEXTS, f) * images).sum(1).mean()
        for f in (factors, initial_factors(tower.width, 1, 0))
    )
    assert near > far + 0.1
    assert factors[0].norm(dim=1).tolist() == pytest.approx([1.0])
    assert torch.equal(factors, learned())
    assert not torch.equal(factors, learned(seed=1))
    assert learned(regularisation=0.1)[1].norm() < 0.2 * factors[1].norm()
