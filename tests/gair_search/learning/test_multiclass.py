"""MC-TI: tokens that tell their classes apart, without class names."""

import pytest
import torch

from gair_search.encoder.clip import Encoder
from gair_search.learning.config import LearningConfig
from gair_search.learning.multiclass import Classes, Classifier, class_features, held_out_loss, learn_classes


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
