"""The two loops do the same work on the same weights, at random ones."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.photos import make_photos

from gair_search.benchmarks.costs.learning import (
    OURS,
    THEIRS,
    DiffusersLoop,
    LearningCost,
    find_pipeline,
    readable_photos,
    short_inversion_config,
)
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.generation.export import pipeline_folder
from gair_search.generation.generator import Generator
from gair_search.learning.config import PAPER
from gair_search.learning.templates import PARAPHRASES, Slot


def test_their_loop_learns_the_concept_s_rows_alone_from_our_conditioning(
    tiny: Encoder, tmp_path: Path
) -> None:
    files = make_photos(tmp_path / "photos", 3)
    settings = replace(short_inversion_config(tiny.spec, 2), batch_size=2, n_vectors=3)
    loop = DiffusersLoop(pipeline_folder(tiny.spec), files, "dress", settings, tiny, (16, 16), 0)
    assert loop.rows == [49408, 49409, 49410]
    (dress,) = tiny.text_tower.token_ids("dress")
    with torch.inference_mode():
        for template in PARAPHRASES[:3]:
            slot = Slot.from_template(tiny.text_tower, template, "dress")
            rows = loop.before[[dress] * 3]
            ours = slot.encode(tiny.text_tower, rows, full_context=True).conditioning
            theirs = loop.conditioning(loop.photos.ids(template)[None])
            assert torch.allclose(ours, theirs, atol=1e-5)
    random.seed(0)
    first = loop.photos[4]
    assert first["pixels"].shape == (3, 16, 16)
    assert -1 <= first["pixels"].min() < first["pixels"].max() <= 1
    assert loop.step() > 0
    assert loop.step() > 0
    assert torch.equal(loop.table[:49408], loop.before[:49408])
    assert (loop.table[49408:] != loop.before[49408:]).any(dim=1).all()
    trained = [loop.unet, loop.vae, loop.text_encoder]
    assert [p.shape for part in trained for p in part.parameters() if p.requires_grad] == [(49411, 32)]


def test_settings_are_a_piece_of_a_run(tiny: Encoder) -> None:
    settings = short_inversion_config(tiny.spec, 25)
    assert (settings.lambda_sd, settings.lambda_ce, settings.projection) == (1, 0, False)
    assert (settings.steps, settings.check_every, settings.batch_size) == (25, 25, PAPER.batch_size)
    assert settings.n_vectors == PAPER.n_vectors


def part(encoder: Encoder, folder: Path, rounds: int) -> LearningCost:
    make_photos(folder, 2)
    return LearningCost(encoder, Generator.load(encoder), pipeline_folder(encoder.spec), rounds, 2, [folder])


@pytest.mark.slow
def test_both_are_timed(tiny: Encoder, tmp_path: Path) -> None:
    learning = part(tiny, tmp_path / "photos", 2)
    learning.run(0, tmp_path, tiny.device)
    (seconds,) = learning.seconds
    assert {name: len(found) for name, found in seconds.items()} == {OURS: 2, THEIRS: 2}
    assert learning.prepared[0] > 0
    learning.seconds = [{OURS: [1.0, 2.0, 9.0], THEIRS: [8.0, 6.0, 9.0]}]
    learning.prepared = [0.5]
    found = learning.values()
    assert found["ratios"][OURS]["mean"] == pytest.approx(1 / 3)
    assert found["times as fast"]["mean"] == pytest.approx(3)
    assert found["steps per second"][OURS]["mean"] == 1
    assert learning.table().rows == (
        (OURS, "1.00", "3.00", "1.00 to 9.00", "0.5"),
        (THEIRS, "0.25", "1.00", "6.00 to 9.00", "-"),
    )
    assert "2 photos, 10 vectors, batches of 4, 2 steps a round" in learning.table().note


@pytest.mark.slow
def test_a_generator_need_not_be_square(own_tiny_folder: Path, tmp_path: Path) -> None:
    folder = own_tiny_folder
    config = folder / "generator/unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": [8, 12]}))
    encoder = Encoder(resolve(f"local-dir:{folder}"), "cpu")
    learning = part(encoder, tmp_path / "photos", 1)
    tasks = learning.tasks(0, tmp_path)
    for name in (OURS, THEIRS):
        assert tasks[name](0)
    loop = DiffusersLoop(
        learning.pipeline, learning.files, "dress", learning.settings, encoder, learning.generator.size, 0
    )
    assert loop.photos[0]["pixels"].shape == (3, 16, 24)
    assert loop.step() > 0


def test_photos_that_can_t_be_read_are_left_out(tmp_path: Path) -> None:
    first, second = make_photos(tmp_path, 2)
    second.write_bytes(b"no image")
    assert readable_photos([tmp_path]) == [first]


def test_parts_alone_are_joined_for_diffusers(tiny: Encoder, tmp_path: Path) -> None:
    assert tiny.spec.folder is not None
    parts = str(tiny.spec.folder / "generator")
    assert find_pipeline(tiny, None, tmp_path / "own") == pipeline_folder(tiny.spec)
    assert find_pipeline(tiny, parts, tmp_path / "joined") == tmp_path / "joined"
    assert (tmp_path / "joined/text_encoder/config.json").is_file()
    assert find_pipeline(tiny, str(tmp_path / "joined"), tmp_path / "other") == tmp_path / "joined"
    assert find_pipeline(tiny, "somebody/repository", tmp_path / "other") == "somebody/repository"
