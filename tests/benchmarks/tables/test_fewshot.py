"""The classifiers by hand, and the whole table in small."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from support.papers_data import make_coop
from support.photos import make_photos

import gair_search.benchmarks.tables.fewshot as table
from gair_search.benchmarks.datasets.labelled import Class
from gair_search.benchmarks.harness.classifiers import (
    AGNOSTIC,
    BOTH,
    NEED_DIFFUSION,
    STORI,
    TASKRES,
    TEXTS,
)
from gair_search.benchmarks.methods import fewshot as methods
from gair_search.benchmarks.methods.fewshot import RARE_TOKENS, Shots
from gair_search.benchmarks.tables.fewshot import FewShotConfig, fewshot
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import DatasetError, GairError, GeneratorError
from gair_search.learning import multiclass
from gair_search.learning import stori as tw
from gair_search.learning.config import PAPER

CLASSES = (
    Class("dress", ("a photo of a dress.",), ("a long red gown.", "a dress on a hanger.")),
    Class("mug", ("a photo of a mug.",), ("a cup for coffee.",)),
)
SMALL = FewShotConfig(
    seeds=(0, 1), shots=(1, 2), token_shots=(2,), limit=3, steps=2, epochs=2, world={"size": 32, "test": 3}
)


def shots(n: int = 6, classes: int = 2, width: int = 8, epochs: int = 3) -> Shots:
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(n, width, generator=generator), dim=1)
    return Shots(features, torch.arange(n) % classes, epochs)


def test_base_prompts_keep_their_weights(encoder: Encoder) -> None:
    prompts = methods.base_and_descriptions(CLASSES, encoder.text_tower)
    assert prompts.class_of.tolist() == [0, 0, 0, 1, 1]
    weights = tw.token_weights(torch.ones(prompts.free.shape), prompts)
    assert (weights[[0, 3]] == 1).all()
    for row in (1, 2, 4):
        end = int(prompts.end[row])
        assert np.allclose(weights[row, 1:end], math.e)
        assert (weights[row, 0], weights[row, end:].unique()) == (1, 1)


def test_zero_shot_is_the_mean_of_plain_text_features(encoder: Encoder) -> None:
    found = methods.zero_shot(methods.base_and_descriptions(CLASSES, encoder.text_tower), encoder.text_tower)
    for row, one in zip(found, CLASSES, strict=True):
        mean = torch.from_numpy(encoder.encode_texts([*one.prompts, *one.descriptions])).mean(0)
        assert torch.allclose(row, torch.nn.functional.normalize(mean, dim=0), atol=1e-5)


def test_taskress_base_is_not_normalised_before_the_mean(encoder: Encoder) -> None:
    tower = encoder.text_tower
    single = methods.raw_base(tw.encode_class_prompts([c.prompts for c in CLASSES], tower), tower)
    assert torch.allclose(
        torch.nn.functional.normalize(single, dim=1),
        clip_features(encoder, [c.prompts[0] for c in CLASSES]),
        atol=1e-5,
    )
    assert (single.norm(dim=1) > 2).all()
    pair = methods.raw_base(tw.encode_class_prompts([c.descriptions for c in CLASSES], tower), tower)
    each = methods.raw_base(tw.encode_class_prompts([[t] for t in CLASSES[0].descriptions], tower), tower)
    assert torch.allclose(pair[0], each.mean(0), atol=1e-4)


def clip_features(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    return torch.from_numpy(encoder.encode_texts(texts))


@pytest.mark.parametrize(("epochs", "weight_decay"), [(1, 0.0), (4, 0.5)])
def test_taskres_against_adam_written_out(epochs: int, weight_decay: float) -> None:
    given, base = shots(epochs=epochs), torch.randn(2, 8, generator=torch.Generator().manual_seed(1)) * 3
    rate, scale = 0.1, 10.0
    x, m, v = (torch.zeros_like(base) for _ in range(3))
    for t in range(1, epochs + 1):
        leaf = x.clone().requires_grad_(True)
        rows = torch.nn.functional.normalize(base + 0.5 * leaf, dim=1)
        torch.nn.functional.cross_entropy(scale * given.features @ rows.T, given.labels).backward()
        gradient = leaf.grad + weight_decay * x
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = 1e-5 if t == 1 else rate * (1 + math.cos(math.pi * (t - 2) / epochs)) / 2
        x = x - step * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    wanted = torch.nn.functional.normalize(base + 0.5 * x, dim=1)
    found = methods.taskres(base, given, scale, rate, weight_decay)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(found, torch.nn.functional.normalize(base, dim=1), atol=1e-8)


def test_what_is_learned_fits_the_pictures(encoder: Encoder) -> None:
    """Pictures near the other class's text: both ways of learning turn the classifier round."""
    tower = encoder.text_tower
    prompts = tw.encode_class_prompts([c.descriptions for c in CLASSES], tower)
    features = methods.zero_shot(prompts, tower).flip(0)
    given = Shots(features, torch.tensor([0, 1]), 30)
    losses = {
        "zero": methods.zero_shot(prompts, tower),
        "stori": methods.stori(prompts, tower, given),
        "taskres": methods.taskres(methods.raw_base(prompts, tower), given, tower.logit_scale, 0.5, 0.0),
    }
    loss = {
        name: tw.text_classifier_loss(classifier, features, given.labels, tower.logit_scale).item()
        for name, classifier in losses.items()
    }
    assert loss["taskres"] < 0.1 < loss["zero"]
    assert loss["stori"] < loss["zero"] - 0.5


def test_the_nearest_class_mean_by_hand() -> None:
    features = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    found = methods.nearest_class_mean(Shots(features, torch.tensor([0, 1, 0]), 1), 2)
    assert torch.allclose(found, torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0], [0, 0, 1]]))


def test_the_descriptions_nearest_to_the_pictures_are_kept(encoder: Encoder) -> None:
    texts = ("a blue mug", "a red dress", "a green umbrella", "a red gown")
    classes = (
        Class("one", ("a photo of a thing.",), texts),
        Class("other", ("a photo of a mug.",), ("a mug",)),
    )
    given = Shots(clip_features(encoder, ["a red dress", "a blue mug"]), torch.arange(2), 1)
    one, other = methods.keep_nearest_descriptions(classes, encoder.text_tower, given, 2)
    assert one == replace(classes[0], descriptions=("a red dress", "a red gown"))
    assert other == classes[1]


def test_nonsense_is_added_to_all_alike_or_takes_the_place_of_every_token(encoder: Encoder) -> None:
    added = methods.with_nonsense(CLASSES, 3)
    pairs = [
        pair
        for c, rows in zip(CLASSES, added, strict=True)
        for pair in zip(c.descriptions, rows, strict=True)
    ]
    (end,) = {new.removeprefix(old) for old, new in pairs}
    assert len(end.split()) == 5
    assert set(end.split()) <= set(RARE_TOKENS)
    assert methods.with_nonsense(CLASSES, 4) != added
    instead = methods.nonsense_instead(CLASSES, encoder.text_tower, 3)
    for c, rows in zip(CLASSES, instead, strict=True):
        for old, new in zip(c.descriptions, rows, strict=True):
            assert set(new.split()) <= set(RARE_TOKENS)
            assert len(new.split()) == len(encoder.text_tower.token_ids(old))


def test_tokens_learn_to_tell_classes_apart(encoder: Encoder) -> None:
    texts = ["a red dress", "a blue mug", "a green umbrella"]
    given = Shots(clip_features(encoder, texts), torch.arange(3), 1)
    settings = replace(PAPER, n_vectors=2, steps=25, learning_rate=0.02).with_method("prompt tuning")
    found = methods.tokens(encoder.text_tower, given, 3, settings)
    assert (given.features @ found.T).argmax(1).tolist() == [0, 1, 2]
    assert torch.equal(found, methods.tokens(encoder.text_tower, given, 3, settings))


def test_tokens_that_were_cut_short_are_no_result(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    shots = Shots(torch.eye(encoder.spec.embed_dim)[:2], torch.arange(2), 1, seed=0)
    config = replace(PAPER, n_vectors=1, steps=4, check_every=1).with_method("prompt tuning")
    assert methods.tokens(encoder.text_tower, shots, 2, config).shape == (2, encoder.spec.embed_dim)
    seen: list[object] = []
    really = multiclass.discriminative_loss

    def stop(*args: object) -> object:
        seen.append(args)
        if len(seen) == 3:  # after the first look, so that learning alone would keep what it has
            raise KeyboardInterrupt
        return really(*args)

    monkeypatch.setattr(multiclass, "discriminative_loss", stop)
    with pytest.raises(KeyboardInterrupt):
        methods.tokens(encoder.text_tower, shots, 2, config)


@pytest.mark.slow
def test_the_table_in_small_with_resume_and_runs(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[int, int]] = []
    report = fewshot(tiny, SMALL, tmp_path, on_progress=lambda *steps: done.append(steps))
    # named: 2 zero-shot rows and 4 rows x 2 shots; nonsense: 3 x 2; without names: 4 rows, 2 shots alone
    assert done[-1] == (2 * (2 + 8 + 6 + 4),) * 2
    named, nonsense, agnostic = (report.values[name] for name in ("named", "nonsense", "agnostic"))
    assert set(nonsense["rows"]) == set(TEXTS)
    assert set(agnostic["rows"]) == set(AGNOSTIC)
    assert set(named["rows"][f"{STORI}, {BOTH}"]) == {"1", "2"}
    for part in (named, nonsense, agnostic):
        for found in part["rows"].values():
            for one in found.values():
                assert one["n"] == 2
                assert one["images"] == 2 * 9
                assert one["mean"] == pytest.approx(np.mean(one["by seed"]))
                assert all((9 * share) % 1 == pytest.approx(0, abs=1e-9) for share in one["by seed"])
    assert {(c["a"], c["b"], c["shots"]) for c in named["compared"]} >= {
        (STORI, TASKRES, 1),
        (STORI, TASKRES, 2),
    }
    (compared,) = [c for c in named["compared"] if (c["b"], c["shots"]) == (TASKRES, 2)]
    means = [named["rows"][f"{row}, {BOTH}"]["2"]["mean"] for row in (STORI, TASKRES)]
    assert compared["difference"] == pytest.approx(means[0] - means[1])
    assert compared["n"] == 9
    text = "\n".join(each.markdown() for each in report.tables)
    assert "| paper, 1 | paper, 2 |" in text
    assert "82.01 | 83.28 |" in text

    def again(make: object) -> None:
        raise AssertionError(f"{make} is learned again")

    monkeypatch.setattr(table, "_learn_classifier", again)
    saved = fewshot(tiny, SMALL, tmp_path, save_run=True)
    assert saved.values == report.values
    files = {file.stem: file for file in saved.save_runs(tmp_path / "runs")}
    qrels = list(ir_measures.read_trec_qrels(str(files["fewshot"])))
    for stem, part, row, k in (
        ("fewshot-named-SToRI-base-descriptions-2-shot", named, f"{STORI}, {BOTH}", 2),
        ("fewshot-nonsense-nonsense-instead-0-shot", nonsense, TEXTS[2], 0),
        ("fewshot-agnostic-MC-TI-2-shot", agnostic, "MC-TI", 2),
    ):
        run = list(ir_measures.read_trec_run(str(files[stem])))
        own = {line.query_id for line in run}
        measured = ir_measures.iter_calc([ir_measures.P @ 1], qrels, run)
        per_query = [metric.value for metric in measured if metric.query_id in own]
        assert np.mean(per_query) == pytest.approx(part["rows"][row][str(k)]["mean"], abs=1e-9)
    assert {file.suffix for file in report.save(tmp_path / "out")} == {".md", ".json", ".svg"}


def test_without_a_generator_its_rows_are_left_out(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "load_own_generator", lambda *_: (None, "there is none"))
    report = fewshot(tiny, replace(SMALL, seeds=(0,), shots=(1,), token_shots=(1,)), tmp_path)
    assert not NEED_DIFFUSION & set(report.values["agnostic"]["rows"])
    assert "Left out: MC-TI, textual inversion, since there is none." in report.tables[-1].note


def test_a_changed_photo_is_learned_again(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, name in enumerate("ab"):
        make_photos(tmp_path / "data" / name, 3, first=10 * i)
    settings = FewShotConfig(
        "folders", tmp_path / "data", seeds=(0,), shots=(1,), token_shots=(1,), steps=1, epochs=1
    )
    monkeypatch.setattr(table, "load_own_generator", lambda *_: (None, "there is none"))
    learn, made = table._learn_classifier, []
    monkeypatch.setattr(table, "_learn_classifier", lambda make: made.append(make) or learn(make))

    def learned() -> int:
        made.clear()
        fewshot(tiny, settings, tmp_path / "work")
        return len(made)

    # named: 2 zero-shot, 4 learned; nonsense: 3 and 3; without names: 2 learned
    assert (learned(), learned()) == (14, 0)
    data, _ = settings.load(0)
    pictures, ours = data.pictures, data.shots(1)
    (other,) = make_photos(tmp_path / "other", 1, first=50)
    first, rest = pictures[ours[0]].path, [pictures[i].path for i in data.test if i not in ours]
    shutil.copyfile(other, rest[0])
    assert learned() == 0  # it is classified only
    shutil.copyfile(other, first)
    assert learned() == 9
    make_photos(tmp_path / "data" / "c", 3, first=70)
    assert learned() == 14  # a class more


def test_settings_that_can_not_be_meant(tmp_path: Path) -> None:
    for wrong in ({"shots": ()}, {"shots": (0, 1)}, {"shots": (1, 1)}, {"token_shots": (0,)}, {"limit": 1}):
        with pytest.raises(GairError):
            FewShotConfig(**wrong)
    with pytest.raises(DatasetError, match="is no file"):
        FewShotConfig(descriptions=tmp_path / "absent.json")
    with pytest.raises(DatasetError, match="--data FOLDER"):
        FewShotConfig(dataset="folders").load(0)
    with pytest.raises(DatasetError, match="absent"):
        FewShotConfig(dataset="cub", data=tmp_path).load(0)


def test_no_token_shots_leave_the_table_without_names_out(tiny: Encoder, tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        make_photos(tmp_path / "data" / name, 3, first=10 * i)
    settings = FewShotConfig(
        "folders", tmp_path / "data", seeds=(0,), shots=(1,), token_shots=(), epochs=1, generator="nowhere"
    )
    report = fewshot(tiny, settings, tmp_path / "work")  # and nobody asks for a generator
    assert set(report.values) == {"named", "nonsense", "skipped"}
    assert report.values["skipped"] == {}
    assert len(report.tables) == 2
    assert list(report.figures) == ["fewshot-named"]
    with pytest.raises(GeneratorError, match="there is no generator nowhere"):
        fewshot(tiny, replace(settings, token_shots=(1,)), tmp_path / "work")


def test_coop_s_sets_have_the_paper_s_rates(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_coop(tmp_path / "coop")
    learn, seen = methods.stori, list[float | None]()

    def stori(
        prompts: tw.ClassPrompts, tower: TextTower, few: Shots, rate: float | None = None
    ) -> torch.Tensor:
        seen.append(rate)
        return learn(prompts, tower, few, rate)

    monkeypatch.setattr(methods, "stori", stori)
    settings = FewShotConfig("food101", tmp_path / "coop", seeds=(0,), shots=(1, 2), token_shots=(), epochs=1)
    fewshot(tiny, settings, tmp_path / "work")
    assert seen == [0.1] * 5  # of two shots, and of table 1's three texts
    seen.clear()
    fewshot(tiny, replace(settings, rate=0.3), tmp_path / "work")
    assert seen == [0.3] * 5
    flowers = replace(settings, dataset="flowers102")
    assert flowers.rates(tiny, (1, 4, 8, 16)) == {1: 0.05, 4: 0.05, 8: 0.1, 16: 0.1}
    assert flowers.to_json(tiny)["rates"] == [0.05, 0.1]
    assert "rates" not in FewShotConfig().to_json(tiny)
