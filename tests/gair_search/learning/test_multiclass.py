"""MC-TI: tokens that tell their classes apart, without class names."""

import math
from dataclasses import replace

import pytest
import torch

from gair_search.encoder.clip import Encoder
from gair_search.learning.config import LearningConfig
from gair_search.learning.losses import discriminative_loss
from gair_search.learning.multiclass import Classes, Classifier, class_features, held_out_loss, learn_classes
from gair_search.learning.templates import Slot


@pytest.fixture
def classes(encoder: Encoder) -> Classes:
    texts = ["a red dress", "a photo of a red dress", "a blue vase", "a photo of a blue vase"]
    with torch.inference_mode():
        features = torch.from_numpy(encoder.encode_texts(texts)).clone()
    table = encoder.text_tower.token_table
    first = table.mean(0).expand(2, 1, -1).clone()
    return Classes(features, torch.tensor([0, 0, 1, 1]), first)


def test_tokens_classify_their_own_images(encoder: Encoder, classes: Classes):
    settings = LearningConfig(learning_rate=5e-3, steps=15, scale=30.0, check_every=5).with_method(
        "prompt tuning"
    )
    losses: list[tuple[int, float, torch.Tensor]] = []
    vectors = learn_classes(classes, encoder.text_tower, settings, on_step=lambda *told: losses.append(told))
    assert [step for step, _, _ in losses] == [5, 10, 15]
    assert losses[-1][1] < losses[0][1]
    assert torch.equal(losses[-1][2], vectors)
    held_out = [
        held_out_loss(told[2], encoder.text_tower, settings, classes.features[1::2], torch.arange(2))
        for told in losses
    ]
    rows = class_features(encoder.text_tower, vectors).detach()
    by_hand = -(30 * classes.features[1::2] @ rows.T).log_softmax(1).diagonal().mean()
    assert held_out[-1] == pytest.approx(by_hand.item(), rel=1e-4)
    assert held_out[-1] < held_out[0]
    with torch.inference_mode():
        classifier = Classifier(("a", "b"), class_features(encoder.text_tower, vectors), 30.0)
    assert classifier.classify(classes.features) == ["a", "a", "b", "b"]
    assert torch.allclose(classifier.probabilities(classes.features).sum(1), torch.ones(4))
    assert torch.equal(learn_classes(classes, encoder.text_tower, settings), vectors)


def test_equal_tokens_give_even_odds(encoder: Encoder, classes: Classes):
    with torch.inference_mode():
        classifier = Classifier(("a", "b"), class_features(encoder.text_tower, classes.first), 30.0)
    odds = classifier.probabilities(classes.features)
    assert odds.flatten().tolist() == pytest.approx([0.5] * 8, abs=1e-5)


def test_odds_by_hand() -> None:
    """Cosines 1 and 0 at a temperature of 1 / 2: e^2 to 1."""
    classifier = Classifier(("a", "b"), torch.eye(2), 2.0)
    share = math.exp(2) / (math.exp(2) + 1)
    expected = torch.tensor([[share, 1 - share], [1 - share, share], [share, 1 - share]])
    images = torch.eye(2)[[0, 1, 0]]
    assert torch.allclose(classifier.probabilities(images), expected)
    assert classifier.classify(images) == ["a", "b", "a"]


@pytest.mark.parametrize("steps", [1, 2])
def test_every_step_moves_the_vectors_by_the_rate_and_nothing_shrinks_them(
    encoder: Encoder, classes: Classes, steps: int
) -> None:
    """AdamW's first step is the rate, whatever the gradient; a decay of the weights would add to it."""
    config = LearningConfig(learning_rate=1e-3, steps=steps, scale=30.0).with_method("prompt tuning")
    large = replace(classes, first=classes.first + 10)  # what a decay would be seen on
    moved = (learn_classes(large, encoder.text_tower, config) - large.first).abs()
    assert moved.max() <= steps * 1e-3 * 1.01
    if steps == 1:
        assert moved.median() == pytest.approx(1e-3, rel=0.01)
    else:
        assert moved.max() > 1.5e-3


@pytest.mark.parametrize("given", [None, 3.0])
def test_the_scale_is_the_models_own_unless_given(
    encoder: Encoder, classes: Classes, given: float | None
) -> None:
    told: list[float] = []
    config = LearningConfig(steps=1, scale=given).with_method("prompt tuning")
    first = classes.first + torch.tensor([0.01, -0.01])[:, None, None]
    learn_classes(
        replace(classes, first=first),
        encoder.text_tower,
        config,
        on_step=lambda _, loss, __: told.append(loss),
    )
    rows = class_features(encoder.text_tower, first).detach()
    logits = (given or encoder.text_tower.logit_scale) * classes.features @ rows.T
    by_hand = torch.nn.functional.cross_entropy(logits, classes.labels).item()
    assert told == [pytest.approx(by_hand, rel=1e-4)]
    found = held_out_loss(first, encoder.text_tower, config, classes.features, classes.labels)
    assert found == pytest.approx(by_hand, rel=1e-4)


def test_one_class_a_step_is_denoised_and_only_where_that_counts(
    encoder: Encoder, classes: Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With lambda_SD, each step takes one class's own latents and vectors; at 0 none is taken."""
    taken: list[tuple[object, float, int]] = []

    def loss(
        denoiser: object, tower: object, slot: Slot, vectors: torch.Tensor, n: int, draws: object
    ) -> torch.Tensor:
        taken.append((denoiser, float(vectors.detach().sum()), n))
        return vectors.square().sum()

    monkeypatch.setattr("gair_search.learning.multiclass.sample_diffusion_loss", loss)
    own = replace(classes, denoisers=("first", "second"))  # type: ignore[arg-type]
    sums = dict(zip(own.denoisers, own.first.sum((1, 2)).tolist(), strict=True))
    config = LearningConfig(learning_rate=0.0, steps=12, batch_size=3)
    learn_classes(own, encoder.text_tower, config.with_method("textual inversion"))
    assert len(taken) == 12
    assert {denoiser for denoiser, _, _ in taken} == {"first", "second"}
    for denoiser, total, n in taken:
        assert (total, n) == (pytest.approx(sums[denoiser], abs=1e-4), 3)  # type: ignore[index]
    taken.clear()
    learn_classes(own, encoder.text_tower, config.with_method("prompt tuning"))
    assert taken == []


def test_a_run_is_its_seed(encoder: Encoder, classes: Classes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gair_search.learning.multiclass.sample_diffusion_loss",
        lambda denoiser, tower, slot, vectors, n, draws: (vectors * torch.rand((), generator=draws)).sum(),
    )
    own = replace(classes, denoisers=("first", "second"))  # type: ignore[arg-type]
    config = LearningConfig(learning_rate=1e-2, steps=4).with_method("textual inversion")
    plain, zero, one = (
        learn_classes(own, encoder.text_tower, config, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert torch.equal(plain, zero)
    assert not torch.equal(plain, one)


@pytest.mark.parametrize(
    ("steps", "check_every", "done", "kept"),
    [(1, 3, 0, False), (9, 3, 2, False), (9, 3, 3, True), (2, 3, 2, True)],
)
def test_ctrl_c_in_a_step(
    encoder: Encoder,
    classes: Classes,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    check_every: int,
    done: int,
    kept: bool,
) -> None:
    """Before the first look there is nothing to keep, however many steps were done."""
    calls: list[int] = []

    def loss(*args: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > done:
            raise KeyboardInterrupt
        return discriminative_loss(*args)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gair_search.learning.multiclass.discriminative_loss", loss)
    config = LearningConfig(steps=steps, check_every=check_every).with_method("prompt tuning")
    on_step = stop if done == steps else None
    if kept:
        assert not torch.equal(
            learn_classes(classes, encoder.text_tower, config, on_step=on_step), classes.first
        )
    else:
        with pytest.raises(KeyboardInterrupt):
            learn_classes(classes, encoder.text_tower, config, on_step=on_step)


def test_ctrl_c_keeps_what_is_learned_and_nothing_else(
    encoder: Encoder, classes: Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LearningConfig(learning_rate=5e-3, steps=9, check_every=3).with_method("prompt tuning")
    seen: list[torch.Tensor] = []

    def stop(step: int, loss: float, vectors: torch.Tensor) -> None:
        seen.append(vectors)
        raise KeyboardInterrupt

    assert torch.equal(learn_classes(classes, encoder.text_tower, config, on_step=stop), seen[0])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gair_search.learning.multiclass.discriminative_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learn_classes(classes, encoder.text_tower, config)
