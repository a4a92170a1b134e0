"""`gair bench reproduce`."""

import json
from pathlib import Path

import pytest
from support.cli import Gair
from support.papers_data import make_celeba, make_cub

from gair_search.benchmarks.reproduction import estimate, reproduce, sources
from gair_search.benchmarks.tables import preference


@pytest.fixture
def cub_alone(tiny_folder: Path, tmp_path: Path) -> list[object]:
    """Options: CUB is there, CelebA is not, and the tiny model stands for all."""
    make_cub(tmp_path / "data" / sources.CUB)
    model = f"local-dir:{tiny_folder}"
    return ["--data", tmp_path / "data", "--model", model, "--metaclip", model, "--trial"]


def test_what_is_missing_is_listed(gair: Gair, cub_alone: list[object], tmp_path: Path) -> None:
    code, out, err = gair("bench", "reproduce", *cub_alone, "--tables", "stori-3")
    assert (code, out) == (1, "")
    assert "get:   img_align_celeba.zip" in err
    assert f"put:   {tmp_path / 'data/celeba'}" in err
    assert "error: 1 of what these tables need is not here" in err
    assert "model:" not in err  # said before a model is loaded
    code, out, _ = gair("bench", "reproduce", *cub_alone, "--tables", "stori-3", "--json")
    (missing,) = json.loads(out)["missing"]
    assert code == 1
    assert (missing["name"], missing["put"]) == ("CelebA", str(tmp_path / "data/celeba"))
    code, _, err = gair("bench", "reproduce", *cub_alone, "--tables", "stori-3", "--skip-missing", "--yes")
    assert code == 1
    assert "no table is left" in err
    code, _, err = gair("bench", "reproduce", "--tables", "stori-11")
    assert code == 1
    assert "no table stori-11" in err


def test_a_dry_run_says_the_cost_and_runs_nothing(
    gair: Gair, cub_alone: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ["--tables", "stori-3,stori-7", "--skip-missing"]
    with monkeypatch.context() as patched:
        patched.setattr(reproduce, "measure", lambda *_: pytest.fail("it was run"))
        code, out, err = gair("bench", "reproduce", *cub_alone, *told, "--dry-run")
    assert code == 3  # stori-3 is left out
    assert "CelebA\n  found: " in err
    assert "| speed | 128 | 12 | " in out
    code, out, _ = gair("bench", "reproduce", *cub_alone, "--tables", "stori-7", "--dry-run", "--json")
    answer = json.loads(out)
    assert (code, answer["missing"]) == (0, [])
    assert answer["estimate"]["runs"]["speed"]["work"] == {estimate.PROMPTS: 12, estimate.ENCODED: 128}
    assert answer["estimate"]["hours"] > 0
    code, _, _ = gair("bench", "reproduce", *cub_alone, *told, "--yes", "--json")
    assert code == 3
    code, _, err = gair("bench", "reproduce", *cub_alone, "--tables", "stori-7")
    assert code == 1
    assert "say --yes to start" in err  # nobody can be asked


@pytest.mark.slow
@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(
    gair: Gair, cub_alone: list[object], answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: object) -> None:
        asked.append(text)
        if not answer:
            import typer

            raise typer.Abort

    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    code, out, _ = gair("bench", "reproduce", *cub_alone, "--tables", "stori-7")
    assert asked == ["Start what takes an estimated 0.0 hours?"]
    assert (code, "The papers' figures and ours" in out) == ((0, True) if answer else (130, False))


@pytest.mark.slow
def test_figures_are_printed_and_written(
    gair: Gair, cub_alone: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "ZERO_SHOT_AUC", 0.0)
    make_celeba(tmp_path / "data" / sources.CELEBA)
    told = [*cub_alone, "--tables", "stori-3", "--yes", "--out", tmp_path / "out"]
    code, out, _ = gair("bench", "reproduce", *told)
    assert code == 0
    assert "### Tables 3 and 5, three attributes: SToRI" in out
    assert "| stori-3 | plain | CUB: AP | 0.154 ± 0.070 | " in out
    assert (tmp_path / "out/preference-cub/preference.md").is_file()
    assert (tmp_path / "out/reproduce.md").read_text() in out
    code, out, _ = gair("bench", "reproduce", *told, "--json")
    answer = json.loads(out)
    assert list(answer["runs"]) == ["preference-celeba", "preference-cub"]
    assert answer["settings"]["scale"]["limit"] == 2
    assert answer["estimate"]["device"].startswith("cpu")
