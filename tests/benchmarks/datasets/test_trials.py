"""What is tested is never what is learned from."""

from pathlib import Path

import numpy as np
import pytest
from support.photos import make_photos

from gair_search.benchmarks.datasets.dreambooth import TABLE
from gair_search.benchmarks.datasets.fashion import (
    FREE,
    fashion_world,
    further_views,
    instances,
)
from gair_search.benchmarks.datasets.trials import dreambooth_trials, fashion_trials, folder_trials
from gair_search.benchmarks.fashion_world import KINDS, render, scene
from gair_search.errors import DatasetError


def test_fashion_trials_show_further_views_and_instances() -> None:
    data = fashion_world(1, concepts=3, shots=2, views=2, distractors=5, size=64)
    trials = fashion_trials(data, 1, views=4, per_class=3, size=64)
    assert [trial.concept for trial in trials] == list(data.concepts)
    for trial, item in zip(trials, instances(1, 3, 64), strict=True):
        learned = {p.id for p in (*trial.pool, *trial.concept.images)}
        tested = [p.id for p in (*trial.held_out, *trial.parents, *trial.others)]
        assert len(tested) == len(set(tested)) == 4 + 3 * len(KINDS)
        assert not learned & set(tested)
        assert all(f"-{trial.concept.parent}/" in p.id for p in (*trial.held_out, *trial.parents))
        assert not any(f"-{trial.concept.parent}/" in p.id for p in trial.others)
        place = "snow"
        assert trial.item == item
        (shown,) = further_views(item, trial.concept.name, 1, [place], FREE, 64)
        wanted = render(scene(100_000 + FREE, "test", item=item, background=place), 64)
        assert np.array_equal(np.asarray(shown.image()), np.asarray(wanted))


def test_a_limit_leaves_the_first_trials_as_they_are() -> None:
    data = fashion_world(0, concepts=3, shots=2, views=2, distractors=2, size=64)
    some, all_ = (fashion_trials(d, 0, 2, 2) for d in (data.limited(2), data))
    assert some == all_[:2]


def made(folder: Path, names: tuple[str, ...], n: int) -> None:
    for i, name in enumerate(names):
        make_photos(folder / name, n, first=10 * i)


def test_dreambooth_trials_by_class(tmp_path: Path) -> None:
    parents = {"cat": "cat", "cat2": "cat", "vase": "vase"}
    made(tmp_path, tuple(parents), 5)
    rows = "".join(f"{name},{parent}\n" for name, parent in parents.items())
    (tmp_path / TABLE).write_text(f"subject_name,class\n{rows}")
    cat, cat2, vase = dreambooth_trials(tmp_path, 3, 0)
    assert cat.pool == cat2.pool == vase.pool
    assert len(cat.pool) == 9
    assert not {p.id for p in cat.pool} & {p.id for t in (cat, cat2, vase) for p in t.held_out}
    assert [len(t.held_out) for t in (cat, cat2, vase)] == [2, 2, 2]
    assert (cat.parents, cat2.parents, vase.parents) == (cat2.held_out, cat.held_out, ())
    assert (cat.others, vase.others) == (vase.held_out, (*cat.held_out, *cat2.held_out))


def test_folder_trials_halve_the_classes(tmp_path: Path) -> None:
    made(tmp_path / "concepts", ("red_teapot", "mine"), 5)
    made(tmp_path / "classes", ("teapot", "coffee-mug", "boat"), 6)
    parents = {"red_teapot": "teapot", "mine": "coffee mug"}
    trials = folder_trials(tmp_path / "concepts", tmp_path / "classes", parents, 3, 0, per_class=2)
    for trial in trials:
        assert (len(trial.concept.images), len(trial.held_out)) == (3, 2)
        assert len(trial.pool) == 6
        assert (len(trial.parents), len(trial.others)) == (2, 4)
        assert not {p.id for p in trial.pool} & {p.id for p in (*trial.parents, *trial.others)}
    assert {p.id.split("/")[0] for p in trials[1].parents} == {"coffee-mug"}
    again = folder_trials(tmp_path / "concepts", tmp_path / "classes", parents, 3, 1, per_class=2)
    assert [t.parents for t in again] == [t.parents for t in trials]  # one set of features for all seeds
    (alone,) = folder_trials(tmp_path / "concepts", None, {"mine": "mug"}, 3)
    assert (alone.pool, alone.parents, alone.others) == ((), (), ())
    with pytest.raises(DatasetError, match=r"classes/saucer/\*"):
        folder_trials(tmp_path / "concepts", tmp_path / "classes", {"mine": "saucer"})
