"""Work is counted as it will be done, and a unit of it is timed."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gair_search.benchmarks.methods import concepts
from gair_search.benchmarks.reproduction import estimate
from gair_search.benchmarks.reproduction.estimate import (
    CLASSIFICATION,
    DIFFUSION,
    DRAWN,
    ENCODED,
    NEED_GENERATOR,
    PROMPTS,
    UNITS,
    WEIGHED,
    Estimate,
    count_work,
    probe_device,
)
from gair_search.benchmarks.reproduction.plan import RUNS, measure
from gair_search.benchmarks.reproduction.sources import PAPERS, TRIAL, Sources
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.generation.generator import Generator
from gair_search.learning import negatives, stori
from gair_search.learning.config import PAPER, LearningConfig
from gair_search.learning.joint import Problem


def test_the_papers_own_work(made: Sources, tiny: Encoder) -> None:
    """By hand: 5 concepts x (textual inversion, ours, two more pairs of loss weights) x 20,000 steps."""
    found = count_work(RUNS["recognition"].configure(made, PAPERS), tiny)
    assert found[DIFFUSION] == 5 * 4 * 20_000
    assert found[CLASSIFICATION] == 5 * 4 * 20_000  # prompt tuning, ours, and these two pairs
    assert found[DRAWN] == 3 * 64  # negatives of three parents
    found = count_work(RUNS["generation"].configure(made, PAPERS), tiny)
    assert (found[DIFFUSION], found[CLASSIFICATION]) == (6 * 2 * 20_000, 6 * 20_000)
    assert found[DRAWN] == 6 * 2 * 10 * 8 + 4 * 64
    found = count_work(RUNS["retrieval"].configure(made, PAPERS), tiny)
    assert found[DIFFUSION] == 3 * 3 * 20_000  # three seeds, the made benchmark's three concepts
    assert found[CLASSIFICATION] == 2 * found[DIFFUSION]
    assert found[DRAWN] == 3 * (6 * 2 * (3 + 2 + 1) * 2 + 64)
    assert count_work(RUNS["preference-cub"].configure(made, PAPERS), tiny)[ENCODED] == 12
    faces = count_work(RUNS["preference-celeba"].configure(made, PAPERS), tiny)[ENCODED]
    assert faces == 160 + 8 * 100 * 20 + 32 * 5 * 2
    # two classes with a base prompt and two descriptions each; 1 shot and 2, and the three texts of table 1
    few = count_work(RUNS["fewshot-dtd"].configure(made, PAPERS), tiny)
    assert few == {WEIGHED: 3 * 100 * (2 * 6 + 3 * 4), ENCODED: 3 * 8}
    assert count_work(RUNS["speed"].configure(made, PAPERS), tiny)[PROMPTS] == 4 * 28_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recognition", "generation", "retrieval"])
def test_a_run_does_what_was_counted(
    name: str, made: Sources, tiny: Encoder, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negatives, "unlike_concept", lambda found, *_: np.ones(len(found), bool))
    done = {DIFFUSION: 0, CLASSIFICATION: 0, DRAWN: 0}
    learn, sample = concepts.learn_vectors, Generator.sample

    def learned(problem: Problem, tower: object, config: LearningConfig, seed: int) -> object:
        done[DIFFUSION] += config.steps * bool(config.lambda_sd)
        done[CLASSIFICATION] += config.steps * bool(config.lambda_ce)
        return learn(problem, tower, config, seed)  # type: ignore[arg-type]

    def drawn(self: Generator, conditioning: Tensor, *rest: object, **named: object) -> Tensor:
        done[DRAWN] += len(conditioning)
        return sample(self, conditioning, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(concepts, "learn_vectors", learned)
    monkeypatch.setattr(Generator, "sample", drawn)
    config = RUNS[name].configure(made, TRIAL)
    measure(config, tiny, judge=encoder)
    counted = count_work(config, tiny)
    assert {kind: counted[kind] for kind in (DIFFUSION, CLASSIFICATION)} == {
        kind: done[kind] for kind in (DIFFUSION, CLASSIFICATION)
    }
    if name == "retrieval":  # a search may end early, and negatives are of the gallery
        assert 0.5 * counted[DRAWN] <= done[DRAWN] <= counted[DRAWN]
    else:
        assert done[DRAWN] == counted[DRAWN]


@pytest.mark.slow
def test_token_weights_take_the_prompts_that_were_counted(
    made: Sources, tiny: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    classifier = stori.text_classifier

    def counted(log_weights: Tensor, prompts: stori.ClassPrompts, tower: TextTower) -> Tensor:
        done.append(len(prompts.free) * log_weights.requires_grad)
        return classifier(log_weights, prompts, tower)

    monkeypatch.setattr(stori, "text_classifier", counted)
    config = replace(RUNS["fewshot-food101"].configure(made, TRIAL), epochs=3)  # type: ignore[type-var]
    measure(config, tiny)
    found = count_work(config, tiny)
    assert found[WEIGHED] == sum(done) == 3 * (2 * 6 + 3 * 4)


def test_a_unit_is_timed_in_growing_numbers() -> None:
    seen: list[int] = []

    def work(n: int) -> None:
        seen.append(n)
        time.sleep(0.002 * n)

    found = estimate._seconds_each(work, torch.device("cpu"), 0.02)
    assert seen == [1, 1, 4, 16]
    assert 0.002 <= found < 0.004


def test_the_probe_times_all_kinds(tiny: Encoder, generator: Generator) -> None:
    quick = replace(PAPER, steps=1)
    found = probe_device(tiny, generator, quick, least=0)
    assert set(found) == set(UNITS)
    assert min(found.values()) > 0
    assert set(probe_device(tiny, None, quick, least=0)) == set(UNITS) - set(NEED_GENERATOR)


def test_hours_are_units_times_seconds() -> None:
    found = Estimate({"a": {DRAWN: 1800, ENCODED: 7}, "b": {DRAWN: 900}}, {DRAWN: 4.0}, "cuda, a GPU")
    assert (found.hours("a"), found.total_hours) == (2.0, 3.0)
    assert found.to_json()["runs"]["b"] == {"work": {DRAWN: 900}, "hours": 1.0}
    text = found.table().markdown()
    assert "| all | 2,700 | 7 | 3.00 |" in text
    assert "on cuda, a GPU: images drawn 4 s each" in text
