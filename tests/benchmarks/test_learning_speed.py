"""The two loops do the same work on the same weights, at random ones."""

import random
from pathlib import Path

import pytest
import torch
from gair_search.benchmarks.learning_speed import (
    OURS,
    THEIRS,
    DiffusersLoop,
    Speed,
    measure,
    settings_of,
    table,
)
from support.generator import tiny_model
from support.photos import make_photos

from gair_search.clip import Clip
from gair_search.models import resolve
from gair_search.pipeline import pipeline_folder
from gair_search.tokens.learn import PAPER
from gair_search.tokens.prompts import PARAPHRASES, Slot


@pytest.fixture
def tiny(tmp_path: Path) -> Clip:
    return Clip(resolve(f"local-dir:{tiny_model(tmp_path / 'tiny')}"), "cpu")


def test_their_loop_learns_the_concept_s_rows_alone_from_our_conditioning(tiny: Clip, tmp_path: Path) -> None:
    files = make_photos(tmp_path / "photos", 3)
    settings = settings_of(tiny.spec, 2, 2, 3)
    loop = DiffusersLoop(pipeline_folder(tiny.spec), files, "dress", settings, tiny, 0)
    assert loop.rows == [49408, 49409, 49410]
    (dress,) = tiny.text_tower.token_ids("dress")
    with torch.inference_mode():
        for template in PARAPHRASES[:3]:
            slot = Slot.template(tiny.text_tower, template, "dress")
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


def test_settings_are_a_piece_of_a_run(tiny: Clip) -> None:
    settings = settings_of(tiny.spec, 25, 4)
    assert (settings.lambda_sd, settings.lambda_ce, settings.projection) == (1, 0, False)
    assert (settings.steps, settings.check_every, settings.batch_size) == (25, 25, 4)
    assert settings.held_out_noises == PAPER.held_out_noises / 4  # the paper's looks are 100 steps apart
    assert settings.n_vectors == PAPER.n_vectors


def test_both_are_timed(tiny: Clip, tmp_path: Path) -> None:
    files = make_photos(tmp_path / "photos", 2)
    speed = measure(tiny, files, "dress", settings_of(tiny.spec, 2, 2, 2), rounds=2)
    assert {name: len(seconds) for name, seconds in speed.seconds.items()} == {OURS: 2, THEIRS: 2}
    assert speed.ratio > 0
    assert speed.prepared > 0
    told = Speed({OURS: [1.0, 2.0, 9.0], THEIRS: [8.0, 1.0, 6.0]}, 10, 0.5)
    assert (told.steps_per_second(OURS), told.ratio) == (5, 3)
    assert "| gair-search | 5.00 | 3.00 | 1.00 to 9.00 | 0.5 |" in table(told)
