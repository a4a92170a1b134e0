"""`gair bench recognition`."""

from pathlib import Path

from support.cli import Gair


def test_the_table_is_printed_and_runs_are_written(
    gair: Gair, on_dreambooth: list[str], tmp_path: Path
) -> None:
    told = [*on_dreambooth, "--methods", "text only", "--out", tmp_path / "out"]
    code, out, _ = gair(
        "bench", "recognition", *told, "--loss-weights", "none", "--save-run", tmp_path / "runs"
    )
    assert code == 0
    assert "of n = 3 concepts over 1 seeds (2 with pictures of the parent)" in out
    assert "Table 1" not in out
    assert (tmp_path / "runs/recognition.qrels").is_file()
