import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gair_search.benchmarks.fashion_world import instance, render, scene
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import GairError, PromptError, TokenWeightError
from gair_search.learning import stori
from gair_search.learning.stori import TokenWeightsConfig
from gair_search.learning.token_weights import TokenWeights
from gair_search.query.compiler import query_vector
from gair_search.query.language import parse
from gair_search.query.terms import weighted_sum
from gair_search.tokens.custom_token import CustomToken

COLORS = ("red", "blue", "green")
TEXTS = [["a photo of a red dress", "red"], ["a blue dress on the grass"], ["green, stripy t-shirt"]]


@pytest.fixture(scope="module")
def tower(encoder: Encoder) -> TextTower:
    return encoder.text_tower


@pytest.fixture(scope="module")
def prompts(tower: TextTower) -> stori.ClassPrompts:
    return stori.encode_class_prompts(TEXTS, tower)


@pytest.fixture(scope="module")
def pictures(encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Dresses that differ by colour: image features and labels of 4 a colour."""
    scenes = [
        scene(s, "test", item=instance(s, "test", color=color, pattern="plain", kind="dress"))
        for color in COLORS
        for s in range(4)
    ]
    pixels = np.stack([np.asarray(render(s, 224).convert("RGB")) for s in scenes])
    return torch.from_numpy(encoder.encode_pixels(pixels)), torch.arange(len(COLORS)).repeat_interleave(4)


def no_concept(name: str) -> CustomToken:
    raise AssertionError(name)


def random_log_weights(prompts: stori.ClassPrompts, seed: int = 0) -> Tensor:
    return torch.randn(prompts.free.shape, generator=torch.Generator().manual_seed(seed))


def random_features(n: int, seed: int = 0) -> Tensor:
    return nn.functional.normalize(torch.randn(n, 640, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_log_weights_0_are_plain_encoding(
    encoder: Encoder, tower: TextTower, prompts: stori.ClassPrompts
) -> None:
    classifier = stori.text_classifier(torch.zeros(prompts.free.shape), prompts, tower)
    for row, texts in zip(classifier, TEXTS, strict=True):
        mean = torch.from_numpy(encoder.encode_texts(texts)).mean(0)
        assert torch.allclose(row, mean / mean.norm(), atol=1e-6)


def test_a_classifier_of_weights_is_that_of_the_whole_tower(
    tower: TextTower, prompts: stori.ClassPrompts
) -> None:
    """The part of the tower that is computed once is exactly the part that no weight reaches."""
    log_weights = random_log_weights(prompts)
    weights = stori.token_weights(log_weights, prompts)
    rows = torch.full(prompts.free.shape, tower.end_id)
    for row, own in zip(rows, prompts.ids, strict=True):
        row[: len(own) + 1] = torch.tensor([tower.start_id, *own])
    whole = tower(tower.token_embeddings(rows), prompts.end, weights).features
    expected = torch.stack([whole[:2].mean(0), whole[2], whole[3]])
    got = stori.text_classifier(log_weights, prompts, tower)
    assert torch.allclose(got, nn.functional.normalize(expected, dim=-1), atol=1e-6)


def test_only_words_are_weighed(prompts: stori.ClassPrompts) -> None:
    weights = stori.token_weights(torch.full(prompts.free.shape, math.log(3)), prompts)
    assert weights[1, :4].tolist() == pytest.approx([1, 3, 1, 1])  # start, "red", end, what follows
    assert weights[0, -1] == 1
    assert weights.min() == 1
    huge = stori.token_weights(torch.tensor([[1e9], [-1e9]]).expand(2, 3), _free(2, 3))
    assert huge[:, 0].tolist() == pytest.approx([1e6, 1e-6], rel=1e-4)


def _free(rows: int, places: int) -> stori.ClassPrompts:
    """Prompts of which only `free` matters."""
    nothing = torch.zeros(rows, places)
    return stori.ClassPrompts((), (), nothing, nothing, nothing, nothing, torch.ones(rows, places).bool())


def test_the_loss_is_cross_entropy_by_hand() -> None:
    classifier = torch.eye(2)
    features = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # logits [2, 0] for class 0 and [1.2, 1.6] for class 1
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1.2 - 1.6))) / 2
    loss = stori.text_classifier_loss(classifier, features, torch.tensor([0, 1]), 2.0)
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    logits = 2 * features @ classifier.T
    assert float(loss) == pytest.approx(float(nn.CrossEntropyLoss()(logits, torch.tensor([0, 1]))))


def test_the_gradient_reaches_the_log_weights_of_words_alone(
    tower: TextTower, prompts: stori.ClassPrompts
) -> None:
    log_weights = torch.zeros(prompts.free.shape, requires_grad=True)
    classifier = stori.text_classifier(log_weights, prompts, tower)
    stori.text_classifier_loss(classifier, random_features(3), torch.arange(3), 30).backward()
    assert log_weights.grad is not None
    assert torch.equal(log_weights.grad != 0, prompts.free)
    assert all(parameter.grad is None for parameter in tower.parameters())
    assert not prompts.hidden.requires_grad


def test_many_prompts_in_parts_have_the_same_gradient(
    tower: TextTower, prompts: stori.ClassPrompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []
    for at_once in (stori.PROMPTS_AT_ONCE, 3):
        monkeypatch.setattr(stori, "PROMPTS_AT_ONCE", at_once)
        log_weights = random_log_weights(prompts).requires_grad_()
        classifier = stori.text_classifier(log_weights, prompts, tower)
        stori.text_classifier_loss(classifier, random_features(3), torch.arange(3), 30).backward()
        gradients.append(log_weights.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)


def test_the_word_that_tells_classes_apart_gets_the_weight(
    tower: TextTower, pictures: tuple[Tensor, Tensor]
) -> None:
    """The pictures differ by colour alone, the prompts by the colour's word alone."""
    prompts = stori.encode_class_prompts([[f"a photo of a {color} dress"] for color in COLORS], tower)
    seen: list[tuple[int, int, str]] = []
    log_weights, losses = stori.learn_token_weights(
        prompts, *pictures, tower, on_epoch=lambda done, total, note: seen.append((done, total, note))
    )
    assert losses[-1] < losses[0]
    assert seen == [(i, 100, f"loss {loss:.4f}") for i, loss in enumerate(losses, start=1)]
    learned = stori.read_out(log_weights, prompts, tower, COLORS)
    for color, (prompt,) in zip(COLORS, learned.prompts, strict=True):
        weights = dict(zip(prompt.tokens, prompt.weights, strict=True))
        assert weights[color] > 1
        assert all(weights[other] < weights[color] / 2 for other in ("photo", "of", "dress"))


def test_seeds_give_the_same_weights_twice(
    tower: TextTower, prompts: stori.ClassPrompts, pictures: tuple[Tensor, Tensor]
) -> None:
    preset = TokenWeightsConfig(epochs=3, batch_size=4)
    runs = [stori.learn_token_weights(prompts, *pictures, tower, preset, seed)[0] for seed in (5, 5, 6)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(("images", "epochs"), [(1, 100), (12, 100), (13, 200)])
def test_epochs_are_the_papers_by_images_a_class(
    tower: TextTower,
    prompts: stori.ClassPrompts,
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    epochs: int,
) -> None:
    fixed = torch.eye(3, 640, requires_grad=True)
    monkeypatch.setattr(stori, "text_classifier", lambda log_weights, *_: fixed + 0 * log_weights.sum())
    _, losses = stori.learn_token_weights(prompts, random_features(images), torch.arange(images) % 3, tower)
    assert len(losses) == epochs


def test_prompts_with_weights_written_back_give_the_classifier(encoder: Encoder, tower: TextTower) -> None:
    """One weight a word can be written without loss; the classes' prompts add up with --plus."""
    texts = [
        ["a photo of a stripy t-shirt, 100% cotton", "don't (really) touch: 10:30"],
        [r"[odd] *, <br> \ a|b (x:2) AND more"],
    ]
    prompts = stori.encode_class_prompts(texts, tower)
    log_weights = random_log_weights(prompts).gather(1, prompts.leads)
    learned = stori.read_out(log_weights, prompts, tower, ("shirt", "odd"))
    for own, row in zip(learned.prompts, learned.classifier, strict=True):
        assert all(prompt.exact for prompt in own)
        terms = [(1.0, query_vector(prompt.query, encoder, no_concept)[0]) for prompt in own]
        assert np.allclose(weighted_sum(terms, ""), row, atol=1e-4)


def test_pieces_of_one_word_are_written_with_their_geometric_mean(tower: TextTower) -> None:
    query, exact = stori.as_query("a stripy dress.", [1.0, 2.0, 8.0, 0.5, 0.5], tower)
    assert query == "a (stripy:4) (dress.:0.5)"
    assert not exact
    query, exact = stori.as_query("A  Stripy dress", [1.0, 4.0, 4.0, 1.23456], tower)
    assert (query, exact) == ("a (stripy:4) (dress:1.235)", True)
    assert stori.as_query("a dress", [1.0, 1.0], tower) == ("a dress", True)


def test_whole_words_share_one_weight(tower: TextTower, pictures: tuple[Tensor, Tensor]) -> None:
    texts = [[f"a {color} stripy corduroyish dress"] for color in COLORS]
    prompts = stori.encode_class_prompts(texts, tower)
    log_weights, _ = stori.learn_token_weights(
        prompts, *pictures, tower, TokenWeightsConfig(epochs=5, whole_words=True)
    )
    learned = stori.read_out(log_weights, prompts, tower, COLORS)
    for (prompt,) in learned.prompts:
        assert prompt.tokens[2:8] == ("stri", "py", "cor", "du", "roy", "ish")
        assert len(set(prompt.weights[2:4])) == len(set(prompt.weights[4:8])) == 1
        assert prompt.exact
        assert len(parse(prompt.query)) > 3
    free, _ = stori.learn_token_weights(prompts, *pictures, tower, TokenWeightsConfig(epochs=5))
    assert not stori.read_out(free, prompts, tower, COLORS).prompts[0][0].exact


@pytest.fixture
def learned(tower: TextTower, prompts: stori.ClassPrompts) -> TokenWeights:
    log_weights = random_log_weights(prompts)
    return stori.read_out(log_weights, prompts, tower, COLORS, "gair-mini", {"seed": 0, "loss": 0.5})


def test_classify_takes_the_nearest_class(learned: TokenWeights) -> None:
    assert learned.classify(learned.classifier[[2, 0, 1]]).tolist() == [2, 0, 1]
    assert np.allclose(np.diag(learned.scores(learned.classifier)), 1, atol=1e-6)
    with pytest.raises(GairError, match=r"expected image features \[N, 640\], got \[1, 5\].*gair-mini"):
        learned.classify(np.zeros((1, 5), np.float32))


def test_saved_weights_come_back_as_they_were(
    learned: TokenWeights, tower: TextTower, tmp_path: Path
) -> None:
    learned.save(tmp_path / "weights.json")
    loaded = TokenWeights.load(tmp_path / "weights.json", tower)
    assert np.array_equal(loaded.classifier, learned.classifier)
    assert loaded.classifier.dtype == np.float32
    assert (loaded.classes, loaded.prompts, loaded.facts) == (learned.classes, learned.prompts, learned.facts)
    with pytest.raises(TokenWeightError, match="can't be written"):
        learned.save(tmp_path)


def test_weights_of_another_tower_are_refused(
    learned: TokenWeights, tower: TextTower, tmp_path: Path
) -> None:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(learned.to_json() | {"text_tower": "f" * 16, "embedder": "ViT-X"}))
    with pytest.raises(TokenWeightError, match=rf"ViT-X \(text tower f+\).*{tower.table_hash}.*again"):
        TokenWeights.load(path, tower)
    assert TokenWeights.load(path).embedder == "ViT-X"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("classes"),
        lambda content: content.update(format="something"),
        lambda content: content.update(classes=[]),
        lambda content: content["classes"][0].update(features="%%"),
        lambda content: content["classes"][0].update(features=content["classes"][0]["features"][:8]),
        lambda content: content["classes"][0]["prompts"][0]["tokens"][0].update(weight=float("nan")),
        lambda content: content["classes"][0]["prompts"][0]["tokens"][0].update(weight=-1),
    ],
)
def test_damaged_files_are_refused(learned: TokenWeights, tmp_path: Path, damage) -> None:
    content = learned.to_json()
    damage(content)
    (tmp_path / "weights.json").write_text(json.dumps(content))
    with pytest.raises(TokenWeightError, match=r"weights\.json holds no learned token weights"):
        TokenWeights.load(tmp_path / "weights.json")


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"\xff", b"3"):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(TokenWeightError):
            TokenWeights.load(tmp_path / "x.json")
    with pytest.raises(TokenWeightError, match="can't be read"):
        TokenWeights.load(tmp_path / "none.json")


def test_bad_prompts_are_refused(tower: TextTower) -> None:
    for texts in ([["a"]], [["a"], []], []):
        with pytest.raises(GairError, match="two or more"):
            stori.encode_class_prompts(texts, tower)
    with pytest.raises(PromptError, match="empty"):
        stori.encode_class_prompts([["a"], [" "]], tower)
    with pytest.raises(PromptError, match="76 tokens and the model takes 75"):
        stori.encode_class_prompts([["a"], ["word " * 76]], tower)


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (torch.zeros(3, 640), torch.zeros(2).long(), "labels"),
        (torch.zeros(0, 640), torch.zeros(0).long(), "N >= 1"),
        (torch.zeros(1, 640), torch.tensor([3]), "from 3 to 3; expected 0 to 2"),
        (torch.full((1, 640), torch.nan), torch.tensor([0]), "NaN"),
    ],
)
def test_bad_features_and_labels_are_refused(
    tower: TextTower, prompts: stori.ClassPrompts, features: Tensor, labels: Tensor, said: str
) -> None:
    with pytest.raises(GairError, match=said):
        stori.learn_token_weights(prompts, features, labels, tower)


@pytest.mark.parametrize("wrong", [{"learning_rate": 0}, {"epochs": 0}, {"batch_size": 0}])
def test_a_preset_that_can_not_be_meant_is_refused(wrong: dict) -> None:
    with pytest.raises(GairError, match="expected a positive learning rate"):
        TokenWeightsConfig(**wrong)
