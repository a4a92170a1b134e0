"""Table 2: its judges, its images, and all of it in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.photos import make_photos

import gair_search.benchmarks.tables.generation as table_2
from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.fashion import FREE, further_views, instances
from gair_search.benchmarks.harness.cells import Work
from gair_search.benchmarks.harness.judges import PIXELS, EncoderJudge, PixelJudge
from gair_search.benchmarks.methods.concepts import OURS, TEXT_ONLY
from gair_search.benchmarks.methods.prompts import context_conditioning
from gair_search.benchmarks.tables.generation import (
    MEASURES,
    RENDERED,
    GenerationConfig,
    generation,
    judge_accuracies,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig

WORLD = {"concepts": 3, "views": 2, "distractors": 10, "size": 64, "elsewhere": False}
SMALL = GenerationConfig(
    seeds=(0, 1),
    limit=2,
    steps=2,
    shots=2,
    attributes=("red", "old", "striped"),
    methods=(TEXT_ONLY, "textual inversion", OURS),
    contexts=("on a beach", "in the snow", "on tiles"),
    images=2,
    sampling=SamplingConfig("ddim", steps=2),
    world=WORLD,
)


def test_accuracies_by_hand() -> None:
    # two contexts, two images each; three objects, of which two are the run's
    objects = np.array([[0.9, 0.1, 0.0], [0.5, 0.1, 0.6], [0.2, 0.3, 0.1], [0.9, 0.1, 0.0]])
    contexts = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    light = np.zeros(4, bool)
    assert judge_accuracies(objects, contexts, 0, 2, light).values == dict(
        zip(MEASURES, (0.75, 0.75, 0.75, 0.5), strict=True)
    )
    dark = np.array([True, False, False, False])  # a blank image shows nothing
    assert judge_accuracies(objects, contexts, 0, 2, dark).values == dict(
        zip(MEASURES, (0.5, 0.5, 0.5, 0.25), strict=True)
    )


def test_the_prompt_is_image_of_a_concept_in_a_context(encoder: Encoder) -> None:
    tower = encoder.text_tower
    rows = tower.token_embeddings(torch.tensor(tower.token_ids("striped")))
    contexts = ("on a beach", "in the snow")
    told = context_conditioning(tower, "dress", rows, contexts)
    texts = [f"image of a striped dress {context}" for context in contexts]
    wanted = tower.encode_ids([tower.token_ids(text) for text in texts], full_context=True).conditioning
    assert torch.allclose(told, wanted, atol=1e-5)
    alone = context_conditioning(tower, "dress", rows[:0], contexts)
    texts = [f"image of a dress {context}" for context in contexts]
    wanted = tower.encode_ids([tower.token_ids(text) for text in texts], full_context=True).conditioning
    assert torch.allclose(alone, wanted, atol=1e-5)
    wanted = tower.encode_ids([tower.token_ids("image of a striped dress")], full_context=True).conditioning
    assert torch.allclose(context_conditioning(tower, "dress", rows, ("",)), wanted, atol=1e-5)
    with pytest.raises(GairError, match="name a shorter context"):
        context_conditioning(tower, "dress", rows, ["on sand " * 40])


def test_the_encoder_judge_goes_by_mean_images_and_by_texts(encoder: Encoder, tmp_path: Path) -> None:
    objects = [
        further_views(item, str(i), 0, ["beach", "snow"], FREE, 64) for i, item in enumerate(instances(0, 3))
    ]
    judge = EncoderJudge(encoder, Work("t", {}, tmp_path), objects, ("on a beach", "in the snow"))
    shown = [picture for own in objects for picture in own]
    by_object, by_context = judge.scores(shown)
    features = encoder.encode_images([p.image() for p in shown])
    mean = features[2:4].mean(0)
    assert np.allclose(by_object[:, 1], features @ mean / np.linalg.norm(mean), atol=1e-5)
    text = encoder.encode_texts(["in the snow"])[0]
    assert np.allclose(by_context[:, 1], features @ text, atol=1e-5)
    assert by_object.argmax(1).tolist() == [0, 0, 1, 1, 2, 2]
    assert by_context.argmax(1).tolist() == [0, 1] * 3
    assert judge.name == "gair-mini"


@pytest.mark.slow
def test_the_pixel_judge_reads_renderings_that_it_has_not_seen() -> None:
    places = ["beach", "forest", "night sky", "desert"]

    def shown(first: int, views: int) -> tuple[list[Picture], list[int], list[int]]:
        pictures = [
            picture
            for i, item in enumerate(instances(0, 3))
            for picture in further_views(item, str(i), 0, places * views, first, 64)
        ]
        return pictures, np.repeat(range(3), 4 * views).tolist(), [*range(4)] * (3 * views)

    judge = PixelJudge(*shown(FREE, 6))
    pictures, objects, contexts = shown(FREE + 500, 3)
    by_object, by_context = judge.scores(pictures)
    assert (by_object.shape, by_context.shape) == ((36, 3), (36, 4))
    assert np.allclose(by_object.sum(1), 1)
    assert (by_object.argmax(1) == objects).mean() > 0.9
    assert (by_context.argmax(1) == contexts).mean() > 0.9
    again = PixelJudge(*shown(FREE, 6)).scores(pictures)
    assert np.array_equal(again[0], by_object)


@pytest.mark.slow
def test_the_table_in_small_with_resume(
    model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_2, "_RENDERINGS", 30)
    done: list[tuple[int, int]] = []
    report = generation(model, SMALL, tmp_path, on_progress=lambda *n: done.append(n))
    assert done[-1] == (2 * 2 * 4,) * 2
    assert list(report.values["judges"]) == [model.spec.name, PIXELS]
    rows = [TEXT_ONLY, "textual inversion", OURS, RENDERED]
    for by_method in report.values["judges"].values():
        assert list(by_method) == rows
        for found in by_method.values():
            assert found["n"] == 4
            mean = (found["object"]["mean"] + found["context"]["mean"]) / 2
            assert found["average"]["mean"] == pytest.approx(mean, abs=1e-12)
            assert found["object of all"]["mean"] <= found["object"]["mean"]
        difference = by_method[OURS]["average"]["mean"] - by_method["textual inversion"]["average"]["mean"]
        told = by_method[OURS]["against textual inversion"]["difference"]
        assert told == pytest.approx(difference, abs=1e-12)
        assert (
            by_method[RENDERED]["average"]["mean"] > by_method[OURS]["average"]["mean"]
        )  # noise draws nothing
    assert report.values["chance"] == {"object": 1 / 2, "context": 1 / 3, "object of all": 1 / 3}
    texts = [table.markdown() for table in report.tables]
    assert "| 0.942 | 0.456 | 0.699 |" in texts[0]
    assert "| 0.967 | 0.438 | 0.702 |" in texts[1]
    files = [file.name for file in report.save(tmp_path / "out")]
    assert len([name for name in files if name.endswith(".png")]) == 2  # of the first seed's concepts

    # what is drawn is not drawn again, whatever is asked of it
    monkeypatch.setattr(Generator, "sample", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr(Encoder, "encode_images", lambda *_: pytest.fail("encoded again"))
    again = generation(model, replace(SMALL, seeds=(1,), methods=(OURS,)), tmp_path)
    for judge, by_method in again.values["judges"].items():
        by_seed = report.values["judges"][judge][OURS]["average"]["by seed"]
        assert by_method[OURS]["average"]["mean"] == by_seed[1]


@pytest.mark.slow
def test_another_encoder_judges_photos(model: Encoder, tiny: Encoder, tmp_path: Path) -> None:
    for i, name in enumerate(("mine", "yours")):
        make_photos(tmp_path / "concepts" / name, 4, first=10 * i)
    settings = GenerationConfig(
        "textual-inversion",
        tmp_path / "concepts",
        parents={"mine": "mug", "yours": "vase"},
        seeds=(0,),
        methods=(TEXT_ONLY,),
        contexts=("on a beach", "in the snow"),
        images=1,
        judge=tiny.spec.name,
        sampling=SamplingConfig("ddim", steps=1),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gair_search.benchmarks.harness.negatives.N_NEGATIVES", 4)
        report = generation(model, settings, tmp_path / "work", tiny)
    assert list(report.values["judges"]) == [model.spec.name, tiny.spec.name]
    assert list(report.values["judges"][tiny.spec.name]) == [TEXT_ONLY]
    with pytest.raises(GairError, match="is the model itself"):
        generation(model, settings, tmp_path / "work", model)


@pytest.mark.slow
def test_blank_images_show_nothing(model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_2, "_RENDERINGS", 30)
    black = lambda self, told, *_: torch.zeros(len(told), 16, 16, 3, dtype=torch.uint8)  # noqa: E731
    monkeypatch.setattr(Generator, "sample", black)
    report = generation(model, replace(SMALL, seeds=(0,), limit=1, methods=(TEXT_ONLY,)), tmp_path)
    assert report.values["blank images"] == {TEXT_ONLY: 6, RENDERED: 0}
    for by_method in report.values["judges"].values():
        assert by_method[TEXT_ONLY]["average"]["mean"] == 0
    assert "Blank images, which show nothing: text only 6" in report.tables[0].markdown()


def test_bad_settings(model: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        GairError, match="the judge pixels knows the fashion world's places alone: on a beach"
    ):
        generation(model, replace(SMALL, contexts=("in a fridge",), judge=PIXELS), tmp_path)
    assert replace(SMALL, contexts=("in a fridge",)).second_judge == ""
    assert len(GenerationConfig().context_texts) == len(GenerationConfig("dreambooth").context_texts) == 10
    monkeypatch.setattr(
        "gair_search.benchmarks.harness.learned_tokens.load_own_generator",
        lambda *_: (None, "it has no generator"),
    )
    with pytest.raises(GairError, match="takes a generator: it has no generator"):
        generation(model, SMALL, tmp_path)
