"""What every run is made of: rows by name, JSON values, progress."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.generator import TINY_WIDTH, tiny_generator

from gair_search.benchmarks.harness.run import (
    ProgressCounter,
    RunConfig,
    json_value,
    known_rows,
    load_own_generator,
    without_generator,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError, GeneratorError


def test_rows_are_the_table_s_in_its_order_and_spelling() -> None:
    assert known_rows((), ("A", "b")) == ("A", "b")
    assert known_rows(("B", "a"), ("A", "b")) == ("A", "b")
    assert known_rows(("B",), ("A", "b")) == ("b",)
    with pytest.raises(GairError, match='no part "c"; there are: A, b'):
        known_rows(("c",), ("A", "b"), "part")


def test_rows_that_need_a_generator_are_skipped_without_one() -> None:
    assert without_generator(("a", "b"), {"b", "c"}, None, "none") == (("a",), {"b": "none"})
    generator: object = object()
    assert without_generator(("a", "b"), {"b"}, generator, "") == (("a", "b"), {})  # type: ignore[arg-type]


def test_a_generator_that_was_chosen_is_the_one_or_an_error(tiny: Encoder, tmp_path: Path) -> None:
    own, _ = load_own_generator(tiny)
    chosen, why = load_own_generator(tiny, str(tiny_generator(tmp_path / "another", TINY_WIDTH)))
    assert own is not None
    assert chosen is not None
    assert (chosen.identity != own.identity, why) == (True, "")
    with pytest.raises(GeneratorError, match="there is no generator nowhere"):
        load_own_generator(tiny, "nowhere")


def test_a_configuration_is_json(encoder: Encoder, tmp_path: Path) -> None:
    config = RunConfig(data=tmp_path, seeds=(0, 4))
    assert config.to_json(encoder) == {
        "dataset": "fashion", "data": str(tmp_path), "seeds": [0, 4], "limit": None, "model": "gair-mini",
    }  # fmt: skip
    assert json_value({"a": (1, [Path("/b")])}) == {"a": [1, ["/b"]]}
    assert config.folder == tmp_path
    with pytest.raises(DatasetError, match="fashion: say where it lies with --data FOLDER"):
        _ = replace(config, data=None).folder


def test_progress_counts_up_to_a_total_that_may_grow() -> None:
    steps: list[tuple[int, int]] = []
    counter = ProgressCounter(lambda done, total: steps.append((done, total)), 2)
    counter.advance()
    counter.total += 3
    counter.advance(4)
    assert steps == [(1, 2), (5, 5)]
    ProgressCounter(None).advance()
