"""One run after the other, without what is missing, and again from what is kept."""

import shutil
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.reproduction import reproduce
from gair_search.benchmarks.reproduction.estimate import DRAWN, UNITS
from gair_search.benchmarks.reproduction.papers_fewshot import MEAN
from gair_search.benchmarks.reproduction.plan import TABLES, PlannedRun, choose_tables
from gair_search.benchmarks.reproduction.reproduce import Reproduction, missing_text
from gair_search.benchmarks.reproduction.sources import PAPERS, TRIAL, Sources
from gair_search.benchmarks.tables import preference
from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.learning import negatives
from gair_search.progress import Progress


def load(name: str) -> Encoder:
    return Encoder(models.resolve(name), "cpu")


class Model:
    """Stands for a model of that name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Bars:
    """Counts what each run's bar was told."""

    def __init__(self) -> None:
        self.done: dict[str, tuple[int, int]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[Progress]:
        def show(done: int, total: int, note: str = "") -> None:
            self.done[name] = done, total

        yield show


def test_tables_without_their_data_are_left_out(made: Sources, tmp_path: Path) -> None:
    data = shutil.copytree(made.data, tmp_path / "data")
    for name in ("PerVLBenchmark", "CUB_200_2011"):
        shutil.rmtree(data / name)
    whole = Reproduction(dict(TABLES), replace(made, data=data))
    assert set(whole.missing) == {"pervl", "cub"}
    assert missing_text(whole.missing.values()).count("\n  put:   ") == 2
    kept = whole.without_missing()
    assert kept.missing == {}
    assert {"tokens-4", "stori-3", "stori-5"} == set(kept.left_out)
    assert set(kept.tables) == set(TABLES) - set(kept.left_out)
    only = Reproduction(choose_tables(["tokens-2"]), replace(made, data=data))
    assert only.missing == {}  # what others need is not asked for


def test_the_estimate_is_of_the_chosen_runs(made: Sources) -> None:
    chosen = Reproduction(choose_tables(["tokens-2", "stori-7"]), made)
    found = chosen.estimate(load, least=0)
    assert set(found.work) == {"generation", "speed"}
    assert set(found.seconds_each) == set(UNITS)
    assert found.device == "cpu, 1 thread(s)" or found.device.startswith("cpu, ")
    undrawn = Reproduction(choose_tables(["stori-7"]), replace(made, generator="nowhere")).estimate(load, 0)
    assert DRAWN not in undrawn.seconds_each  # and no generator is asked for


def test_each_run_has_its_own_model_and_one_is_held_at_a_time(
    made: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[Model]] = []
    given: list[tuple[str, str, str]] = []
    alive: list[list[str]] = []

    def load_model(name: str) -> Model:
        alive.append([one.name for one in (ref() for ref in held) if one])
        model = Model(name)
        held.append(weakref.ref(model))
        return model

    def measured(config: object, encoder: Model, _work: object, judge: Model | None, _bar: object) -> Report:
        given.append((type(config).__name__, encoder.name, judge.name if judge else ""))
        return Report("a table", {}, pictures={"a": lambda: encoder})  # type: ignore[dict-item,return-value]

    monkeypatch.setattr(reproduce, "measure", measured)
    monkeypatch.setattr(reproduce, "FIGURES", defaultdict(lambda: lambda report: iter(())))
    sources = replace(made, model="one", metaclip="two", judge="three")
    whole = Reproduction(choose_tables(["tokens-2", "stori-3", "stori-5"]), sources)
    whole.run(load_model, Bars())  # type: ignore[arg-type]
    assert alive == [[], ["one"], []]  # when each is loaded: the judge beside the model, and then neither
    assert given == [
        ("GenerationConfig", "one", "three"),
        *[("PreferenceConfig", name, "") for name in ("one", "one", "two", "two")],
    ]


@pytest.mark.slow
def test_preference_and_speed_again_from_what_is_kept(
    made: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "ZERO_SHOT_AUC", 0.0)
    chosen = Reproduction(choose_tables(["stori-3", "stori-7"]), made, TRIAL)
    bars, seen = Bars(), list[str]()

    def on_report(run: PlannedRun, _: object) -> None:
        seen.append(run.name)

    report = chosen.run(load, bars, tmp_path, on_report)
    assert seen == ["preference-celeba", "preference-cub", "speed"]
    assert {done == total for done, total in bars.done.values()} == {True}
    figures = report.values["figures"]
    assert {one["table"] for one in figures} == {"stori-3", "stori-7"}  # CelebA's run has stori-4, too
    assert [one["table"] for one in figures] == sorted(one["table"] for one in figures)
    assert "-" not in {one["ours"] for one in figures}
    assert "Not at the papers' scale, but seeds 1, limit 2" in report.tables[0].note
    assert report.settings["tables"] == ["stori-3", "stori-7"]
    monkeypatch.setattr(Encoder, "encode_images", lambda *_: pytest.fail("encoded again"))
    chosen = Reproduction(choose_tables(["stori-3"]), made, TRIAL)
    again = chosen.run(load, bars, tmp_path)
    assert again.values["figures"] == [one for one in figures if one["table"] == "stori-3"]
    assert Reproduction({}, made).scale == PAPERS


@pytest.mark.slow
def test_all_tables_end_to_end(made: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run at the smallest size on the made data; every figure of every table has one of ours."""
    monkeypatch.setattr(preference, "ZERO_SHOT_AUC", 0.0)
    monkeypatch.setattr(negatives, "unlike_concept", lambda found, *_: np.ones(len(found), bool))
    report = Reproduction(dict(TABLES), made, TRIAL).run(load, Bars(), tmp_path)
    figures = report.values["figures"]
    assert {one["table"] for one in figures} == set(TABLES)
    assert any(one["column"].startswith("ALIGN, ours gair-mini") for one in figures)
    lacking = {(one["table"], one["row"].split(", ")[-1]) for one in figures if one["ours"] == "-"}
    more_shots = {(f"stori-{table}", f"{k} shots") for table in (2, 8) for k in (4, 8, 16)}
    assert {one for one in lacking if one[0] != "stori-1"} <= more_shots
    assert sum(one["column"] == MEAN for one in figures) == 2 * 15
