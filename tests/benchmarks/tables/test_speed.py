"""All parts of the table in small, with a model at random weights."""

import json
import shutil
from pathlib import Path

import pytest

from gair_search.benchmarks.costs.gair import LOOP
from gair_search.benchmarks.costs.indexing import IndexingCost
from gair_search.benchmarks.costs.learning import OURS, THEIRS
from gair_search.benchmarks.costs.text import TextCost
from gair_search.benchmarks.tables.speed import PARTS, SpeedConfig, speed
from gair_search.encoder.clip import Encoder
from gair_search.encoder.models import resolve
from gair_search.errors import ConceptError, GairError, GeneratorError
from gair_search.generation.sampling import SamplingConfig

QUICK = {"rounds": 3, "images": 32, "steps": 1, "queries": 1, "sampling": SamplingConfig(steps=1)}


@pytest.fixture(scope="module")
def bare(tiny: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The same without a generator."""
    assert tiny.spec.folder is not None
    folder = tmp_path_factory.mktemp("bare") / "bare"
    shutil.copytree(tiny.spec.folder, folder, ignore=shutil.ignore_patterns("generator"))
    return Encoder(resolve(f"local-dir:{folder}"), "cpu")


@pytest.mark.slow
def test_one_report_of_all_parts(tiny: Encoder) -> None:
    steps: list[tuple[int, int]] = []
    report = speed(tiny, SpeedConfig(**QUICK), lambda *step: steps.append(step))
    assert steps == [(i, 14) for i in range(1, 15)]  # 3 of text, 5 of indexing and learning, a query
    assert list(report.values) == [*PARTS, "skipped"]
    assert len(report.tables) == 4
    for name in PARTS:
        for facts in report.values[name]["ratios"].values():
            assert facts["mean"] > 0
            assert facts["baseline"] in report.values[name]["milliseconds"]
    assert set(report.values["text"]["ratios"]) == set(TextCost.baselines)
    assert report.values["indexing"]["ratios"]["indexing"]["baseline"] == IndexingCost.baselines["indexing"]
    assert report.values["learning"]["ratios"][OURS]["baseline"] == THEIRS
    assert {facts["baseline"] for facts in report.values["gair"]["ratios"].values()} == {LOOP}
    assert report.values["skipped"] == {}
    assert "table 7" in report.tables[0].note
    assert "on cpu" in report.tables[-1].note
    assert (
        report.settings["sampling"] | {"steps": 1, "height": 16, "width": 16} == report.settings["sampling"]
    )
    assert json.loads(json.dumps(report.to_json())) == report.to_json()


def test_without_a_generator_two_parts_are_left_out_and_named(bare: Encoder) -> None:
    report = speed(bare, SpeedConfig(("gair", "text", "learning"), **QUICK))
    assert list(report.values) == ["text", "skipped"]
    assert set(report.values["skipped"]) == {"learning", "gair"}
    assert "Left out: learning, gair, since" in report.tables[-1].note
    assert "has no generator" in report.tables[-1].note
    with pytest.raises(GairError, match=r"nothing to time of gair: .* has no generator"):
        speed(bare, SpeedConfig(("gair",), **QUICK))


@pytest.mark.slow
def test_another_generator_is_taken_by_both(bare: Encoder, tiny: Encoder, tmp_path: Path) -> None:
    assert tiny.spec.folder is not None
    parts = str(tiny.spec.folder / "generator")  # without a text encoder
    report = speed(bare, SpeedConfig(("learning", "gair"), (0, 3), generator=parts, **QUICK))
    assert list(report.values) == ["learning", "gair", "skipped"]
    assert report.values["learning"]["times as fast"]["n"] == 2
    assert "2 searches over 2 seed(s)" in report.tables[1].note
    with pytest.raises(GeneratorError, match="there is no generator"):
        speed(bare, SpeedConfig(("learning",), generator=str(tmp_path / "none"), **QUICK))


@pytest.mark.slow
def test_what_can_t_be_timed_is_said_before_anything_is(tiny: Encoder, tmp_path: Path) -> None:
    with pytest.raises(GairError, match='no part "query"; there are: text, indexing, learning, gair'):
        speed(tiny, SpeedConfig(("query",)))
    for settings, message in (
        (SpeedConfig(photos=(tmp_path,)), "no photo that can be read"),
        (SpeedConfig(photos=(tmp_path / "none",)), "is not there"),
        (SpeedConfig(parent=" "), "say what the photos show"),
        (SpeedConfig(concepts=("unknown",)), "unknown"),
    ):
        with pytest.raises(ConceptError, match=message):
            speed(tiny, settings)
    with pytest.raises(GeneratorError, match="scheduler magic"):
        speed(tiny, SpeedConfig(("learning",), sampling=SamplingConfig("magic")))
