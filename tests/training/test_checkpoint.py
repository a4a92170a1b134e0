import json
from pathlib import Path

import torch


def test_a_checkpoint_comes_back_and_replaces_the_old_one(tmp_path: Path) -> None:
    from training import checkpoint

    path = tmp_path / "text.pt"
    assert checkpoint.load(path) is None
    for step in (1, 2):
        checkpoint.save(path, {"step": step, "tower": {"weight": torch.ones(2)}})
    state = checkpoint.load(path)
    assert state is not None
    assert state["step"] == 2
    assert [file.name for file in tmp_path.iterdir()] == ["text.pt"]


def test_a_curve_grows_line_by_line(tmp_path: Path) -> None:
    from training import checkpoint

    for step in (1, 2):
        checkpoint.log(tmp_path / "text.log.jsonl", {"step": step})
    lines = (tmp_path / "text.log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
