"""Tables 1 and 3: their measures by hand, and both in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from support.photos import make_photos

from gair_search.benchmarks.datasets.base import Concept
from gair_search.benchmarks.harness import learned_tokens, negatives, token_cells
from gair_search.benchmarks.harness.learned_tokens import LearnedTokens
from gair_search.benchmarks.methods.concepts import (
    OURS,
    PROMPT_TUNING,
    TEXT_ONLY,
    Study,
)
from gair_search.benchmarks.presentation import recognition as presentation
from gair_search.benchmarks.presentation.recognition import ACCURACIES, ATTRIBUTES, AUCS, SAMPLES
from gair_search.benchmarks.tables.recognition import (
    Embeddings,
    RecognitionConfig,
    TrialFeatures,
    correlations,
    recognition,
    token_features,
    token_measures,
)
from gair_search.benchmarks.tables.retrieval import RetrievalConfig, retrieval
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError, GeneratorError
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.learning.attributes import average_embeddings
from gair_search.learning.config import PAPER

WORLD = {"concepts": 2, "views": 2, "distractors": 10, "size": 64, "elsewhere": False}
WORDS = ("red", "old", "striped")
SMALL = RecognitionConfig(seeds=(0, 1), steps=2, shots=2, attributes=WORDS, per_class=3, world=WORLD)


def test_measures_by_hand_and_as_scikit_learn_has_them() -> None:
    concept, parent = np.array([1.0, 0], np.float32), np.array([0, 1.0], np.float32)
    tested = TrialFeatures(
        np.array([[0.9, 0.1], [0.4, 0.5]], np.float32),
        np.array([[0.5, 0.6], [0.2, 0.2]], np.float32),
        np.array([[0.0, 0.9]], np.float32),
    )
    found = token_measures(tested, concept, parent)
    # f(x) . tau_*: 0.9, 0.4 of the concept, 0.5, 0.2 of the parent, 0 of others
    assert found == {AUCS[0]: 0.75, AUCS[1]: 1.0, AUCS[2]: 1.0, ACCURACIES[0]: 1.0, ACCURACIES[1]: 0.5}
    rng = np.random.default_rng(0)
    random = TrialFeatures(*(rng.normal(size=(n, 2)).astype(np.float32) for n in (7, 9, 11)))
    found = token_measures(random, concept, parent)
    pairs = (
        (random.concept, random.parents),
        (random.concept, random.others),
        (random.parents, random.others),
    )
    for name, (high, low) in zip(AUCS, pairs, strict=True):
        theirs = roc_auc_score([1] * len(high) + [0] * len(low), [*(high @ concept), *(low @ concept)])
        assert found[name] == pytest.approx(theirs, abs=1e-9)
    alone = replace(random, parents=np.empty((0, 2), np.float32))
    assert set(token_measures(alone, concept, parent)) == {AUCS[1], ACCURACIES[1]}


def test_text_features_are_those_of_the_words(encoder: Encoder) -> None:
    tower = encoder.text_tower
    rows = tower.token_embeddings(torch.tensor(tower.token_ids("striped")))
    told = token_features(tower, "dress", rows)
    wanted = encoder.encode_texts(["image of a striped dress", "image of a dress"])
    assert np.allclose(np.stack(told), wanted, atol=1e-5)
    assert np.array_equal(*token_features(tower, "dress", rows[:0]))


def test_norms_and_correlations_by_hand() -> None:
    vectors = torch.tensor([[3.0, 4, 0], [-3, 4, 0]])  # their mean is (0, 4, 0)
    attributes = torch.tensor([[0.0, 2, 0], [3, 3, 0], [0, 0, 1], [0, -5, 0]])
    norms, cosines = correlations(vectors, attributes)
    assert norms.tolist() == [5, 5]
    assert cosines.tolist() == pytest.approx([1, 0.5**0.5, 0, -1])
    assert correlations(0 * vectors, attributes)[1].tolist() == [0] * 4


def test_figure_4_is_of_all_vectors_and_attributes(model: Encoder) -> None:
    tower, parent = model.text_tower, "dress"
    words = ("red", "old", "striped")
    rows = average_embeddings(tower, words)
    study = Study(model, Concept("c", parent, ()), (), *[np.zeros((1, 2), np.float32)] * 2, PAPER, words)
    found = Embeddings(tower)
    assert found.values == {}
    found.add("a", study, rows[:1])
    found.add("a", study, 2 * rows[:1])
    values = found.values
    units = (rows / rows.norm(dim=1, keepdim=True)).numpy()
    pairs = [units[0] @ units[1], units[0] @ units[2], units[1] @ units[2]]
    assert values[ATTRIBUTES]["norm"]["n"] == values[ATTRIBUTES]["cosine"]["n"] == 3  # once, not a token each
    assert values[ATTRIBUTES]["norm"]["mean"] == pytest.approx(rows.norm(dim=1).mean().item(), abs=1e-6)
    assert values[ATTRIBUTES]["cosine"]["quantiles"][2] == pytest.approx(np.median(pairs), abs=1e-6)
    assert values["a"]["norm"]["n"] == 2
    assert values["a"]["norm"]["mean"] == pytest.approx(1.5 * rows[0].norm().item(), abs=1e-5)
    # its length does not matter: red is as near to red as ever
    assert values["a"]["cosine"]["mean"] == pytest.approx((1 + pairs[0] + pairs[1]) / 3, abs=1e-6)


@pytest.mark.slow
def test_the_tables_in_small_share_tokens(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = (PROMPT_TUNING, "textual inversion", OURS)
    lessons = RetrievalConfig(seeds=(0, 1), steps=2, shots=2, attributes=WORDS, methods=named, world=WORLD)
    retrieval(model, lessons, tmp_path)
    learned: list[str] = []
    really = token_cells.learn_token

    def seen(*args: object) -> object:
        learned.append("with")
        return really(*args)

    monkeypatch.setattr(token_cells, "learn_token", seen)
    monkeypatch.setattr(token_cells, "learn_token_by", lambda *_: pytest.fail("table 4 has learned it"))
    settings = replace(SMALL, methods=(TEXT_ONLY, *named))
    done: list[tuple[int, int]] = []
    report = recognition(model, settings, tmp_path, save_run=True, on_progress=lambda *n: done.append(n))
    assert len(learned) == 2 * 2 * 2  # of four loss weights two are methods
    assert done[-1] == (2 * 2 * 8,) * 2
    found = report.values["methods"]
    assert list(found) == [TEXT_ONLY, *("textual inversion", PROMPT_TUNING, OURS)]
    assert list(report.values["loss weights"]) == ["(0, 1)", "(1, 0.1)", "(1, 0.001)", "(1, 0)"]
    assert report.values["loss weights"]["(0, 1)"][AUCS[0]] == found[PROMPT_TUNING][AUCS[0]]
    assert found[OURS]["n"] == found[OURS][AUCS[0]]["n"] == 4
    mean = np.mean([found[OURS][name]["mean"] - found[PROMPT_TUNING][name]["mean"] for name in AUCS])
    assert found[OURS]["against prompt tuning"]["difference"] == pytest.approx(mean, abs=1e-12)
    for label, run in report.runs[OURS].items():
        assert len(run) == 8 + 3 * 12
        assert len(report.qrels[label]) == 8
        high = [run[name] for name in report.qrels[label]]
        low = [score for name, score in run.items() if name not in report.qrels[label]]
        assert (np.array(high)[:, None] > low).mean() > 0.5
    third, first, fourth = (table.markdown() for table in report.tables)
    assert "| 98.9 ± 2.2 | 100.0 ± 0.0 | 85.5 ± 11.4 |" in third
    assert "| 93.3 | 100 |" in first
    embeddings = report.values["embeddings"]
    assert set(embeddings) == {ATTRIBUTES, *report.values["loss weights"], *set(found) - {TEXT_ONLY}}
    assert embeddings[OURS]["norm"]["n"] == 4 * report.settings["learning"]["n_vectors"]
    assert embeddings[OURS]["cosine"]["n"] == 4 * len(WORDS)
    assert embeddings["(1, 0)"] == embeddings["textual inversion"]
    assert "| loss weights (1, 0.1) |" in fourth
    quick = SamplingConfig("ddim", steps=2)
    monkeypatch.setattr(presentation, "SamplingConfig", lambda: quick)
    drawn: list[int] = []
    sample = Generator.sample

    def counted(self: Generator, told: torch.Tensor, *args: object) -> torch.Tensor:
        drawn.append(len(told))
        return sample(self, told, *args)

    monkeypatch.setattr(Generator, "sample", counted)
    names = {file.name for file in report.save(tmp_path / "out")}
    report.pictures["recognition-loss-weights"]()
    wanted = {"recognition-loss-weights.png", "recognition-embeddings.svg", "recognition-affinity.svg"}
    assert wanted <= names
    axes = report.figures["recognition-affinity"]().axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [*WORDS, *(name for name in found if name != TEXT_ONLY)]
    assert np.diag(axes.images[0].get_array()).tolist() == pytest.approx([1] * len(WORDS))
    assert drawn == [SAMPLES] * 2 * 4  # two concepts of the first seed, four pairs, once

    monkeypatch.setattr(token_cells, "learn_token", lambda *_: pytest.fail("learned again"))
    monkeypatch.setattr(Encoder, "encode_images", lambda *_: pytest.fail("encoded again"))
    again = recognition(model, replace(settings, seeds=(1,), methods=("Ours",)), tmp_path)
    assert again.values["methods"][OURS][AUCS[0]]["mean"] == found[OURS][AUCS[0]]["by seed"][1]


@pytest.mark.slow
def test_without_a_generator_what_needs_one_is_left_out(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_tokens, "load_own_generator", lambda *_: (None, "it has no generator"))
    config = replace(SMALL, seeds=(0,), limit=1, methods=(PROMPT_TUNING, OURS), negatives="gallery")
    report = recognition(model, config, tmp_path)
    assert report.pictures == {}
    assert list(report.values["methods"]) == [PROMPT_TUNING]
    assert list(report.values["loss weights"]) == ["(0, 1)"]
    assert list(report.values["skipped"]) == [OURS, "(1, 0.1)", "(1, 0.001)", "(1, 0)"]
    assert "Left out: ours, (1, 0.1)" in report.tables[0].markdown()
    with pytest.raises(GairError, match="takes a generator: it has no generator"):
        recognition(model, replace(SMALL, negatives="drawn"), tmp_path)


@pytest.mark.slow
def test_drawn_negatives_are_drawn_once(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    really = negatives.parent_images

    def seen(parent: str, *args: object) -> object:
        drawn.append(parent)
        return really(parent, *args[:-1], 6)

    monkeypatch.setattr(negatives, "parent_images", seen)
    settings = replace(SMALL, seeds=(0,), negatives="drawn")
    for _ in range(2):
        lessons = LearnedTokens(model, settings, tmp_path)
        studies = [lessons.study(trial, 0) for trial in settings.trials(0)]
        assert [study.others.shape for study in studies] == [(6, model.spec.embed_dim)] * 2
    assert sorted(drawn) == sorted({study.concept.parent for study in studies})


def test_textual_inversion_against_class_folders(model: Encoder, tmp_path: Path) -> None:
    for folder, names in (
        ("concepts", ("mine", "red_teapot")),
        ("classes", ("teapot", "coffee-mug", "boat")),
    ):
        for i, name in enumerate(names):
            make_photos(tmp_path / folder / name, 6, first=10 * i)
    settings = RecognitionConfig(
        "textual-inversion",
        tmp_path / "concepts",
        (0,),
        classes=tmp_path / "classes",
        parents={"red_teapot": "teapot", "mine": "coffee mug"},
        methods=(TEXT_ONLY,),
        negatives="gallery",
        per_class=3,
        loss_weights=(),
    )
    report = recognition(model, settings, tmp_path / "work")
    assert report.values["methods"][TEXT_ONLY]["n"] == 2
    assert set(AUCS) <= set(report.values["methods"][TEXT_ONLY])
    assert len(report.tables) == 1
    assert report.figures == report.pictures == {}
    with pytest.raises(DatasetError, match="--classes FOLDER"):
        recognition(model, replace(settings, classes=None), tmp_path)
    with pytest.raises(DatasetError, match="--parents"):
        recognition(model, replace(settings, parents={}), tmp_path)


def test_bad_settings(model: Encoder, tmp_path: Path) -> None:
    with pytest.raises(GairError, match='no method "PALAVRA"; there are: text only, textual inversion'):
        recognition(model, replace(SMALL, methods=("PALAVRA",)), tmp_path)
    with pytest.raises(DatasetError, match="--data FOLDER"):
        recognition(model, RecognitionConfig("dreambooth", methods=(TEXT_ONLY,)), tmp_path)


def test_a_generator_that_was_chosen_is_asked_for(model: Encoder, tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="there is no generator nowhere"):
        recognition(model, replace(SMALL, generator="nowhere"), tmp_path)
    assert replace(SMALL, generator="nowhere").token_key(model) == SMALL.token_key(model)
