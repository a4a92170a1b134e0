"""`gair bench generation`."""

import json
from pathlib import Path

from support.cli import Gair


def test_the_table_is_printed_and_written(gair: Gair, on_dreambooth: list[str], tmp_path: Path) -> None:
    told = [*on_dreambooth, "--methods", "text only", "--out", tmp_path / "out"]
    quick = ["--contexts", "in the snow,on a lawn", "--images", "1", "--draw-steps", "1"]
    code, out, _ = gair("bench", "generation", *told, *quick, "--limit", "2")
    assert code == 0
    assert "n = 2 concepts over 1 seeds, 2 contexts x 1 images each" in out
    assert (tmp_path / "out/generation-dog.png").is_file()
    code, out, _ = gair("bench", "generation", *told[:-2], *quick, "--json")
    assert json.loads(out)["settings"]["contexts"] == ["in the snow", "on a lawn"]
