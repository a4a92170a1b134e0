import json
from pathlib import Path

import torch
from torch import nn


def trained(path: Path, until: int, steps: int = 6) -> nn.Module:
    """A small network after `until` steps of a run of `steps`."""
    from training import parallel
    from training.loop import Loop

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    loop = Loop(path, model, (1e-2, 1e-2), steps, decay=0.5, every=2)
    for step in loop:
        if step == until:
            break
        noise = parallel.noise_source(step, torch.device("cpu"))
        loop.learn(model(torch.randn(5, 3, 4, 4, generator=noise)).square().mean())
    return loop.averaged.module


def test_an_interrupted_run_ends_as_the_one_that_nobody_disturbed(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole.pt", 6)
    trained(tmp_path / "cut.pt", 5)  # the checkpoint is that of step 4
    resumed = trained(tmp_path / "cut.pt", 6)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    curve = [json.loads(line)["step"] for line in (tmp_path / "cut.log.jsonl").read_text().splitlines()]
    assert curve == [2, 4, 6]


def test_rows_are_those_of_the_step_and_ascend() -> None:
    from training.parallel import rows_of

    rows = rows_of((0, 3, 7), 1_000, 64, torch.device("cpu"))
    assert torch.equal(rows, rows_of((0, 3, 7), 1_000, 64, torch.device("cpu")))
    assert not torch.equal(rows, rows_of((0, 3, 8), 1_000, 64, torch.device("cpu")))
    assert len(rows) == 64
    assert bool((rows.diff() >= 0).all())
