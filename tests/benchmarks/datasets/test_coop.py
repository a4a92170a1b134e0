"""CoOp's layout and splits, on made trees."""

import json
from pathlib import Path

import pytest
from support.class_sets import check_class_set
from support.papers_data import make_coop

from gair_search.benchmarks.datasets.coop import COOP_SETS, coop_classes
from gair_search.errors import DatasetError


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coop") / "data"
    make_coop(folder)
    return folder


@pytest.mark.parametrize("key", COOP_SETS)
def test_what_is_learned_from_and_tested_is_the_split_s(key: str, tree: Path) -> None:
    data = coop_classes(tree, key, shots=1)
    check_class_set(data)
    assert len(data.classes) == 2
    assert [len(own) for own in data.train] == [1, 1]
    assert len(data.test) == 4
    assert data.name == COOP_SETS[key].name
    if key == "imagenet":
        assert [c.name for c in data.classes] == ["tench", "goldfish"]
        return
    assert [c.name for c in data.classes] == [f"{key} class 0", f"{key} class 1"]
    assert {Path(data.pictures[i].id).name for i in data.test} == {"0001.jpg", "0003.jpg"}
    learned = {Path(data.pictures[own[0]].id).name for own in data.train}
    assert learned <= {"0000.jpg", "0002.jpg"}
    drawn = {coop_classes(tree, key, seed, shots=1).pictures[-1].id for seed in range(6)}
    assert len(drawn) == 2
    assert data.pictures[0].image().size == (24, 24)


def test_base_prompts_are_coop_s(tree: Path) -> None:
    found = {key: coop_classes(tree, key).classes[0].prompts[0] for key in COOP_SETS}
    assert found == {
        "imagenet": "a photo of a tench.",
        "dtd": "dtd class 0 texture.",
        "flowers102": "a photo of a flowers102 class 0, a type of flower.",
        "sun397": "a photo of a sun397 class 0.",
        "caltech101": "a photo of a caltech101 class 0.",
        "food101": "a photo of food101 class 0, a type of food.",
    }


def test_fewer_classes_and_pictures(tree: Path) -> None:
    data = coop_classes(tree, "dtd", n=1, per_class=1)
    assert (len(data.classes), len(data.test)) == (1, 1)


def test_what_is_absent_is_said(tmp_path: Path) -> None:
    make_coop(tmp_path)
    (tmp_path / "dtd/images/dtd_0/0001.jpg").unlink()
    with pytest.raises(DatasetError, match="dtd: 1 of 8 files are absent"):
        coop_classes(tmp_path, "dtd")
    (tmp_path / "food-101/split_zhou_Food101.json").unlink()
    with pytest.raises(DatasetError, match=r"(?s)split_zhou_Food101\.json.*CoOp/blob/main/DATASETS"):
        coop_classes(tmp_path, "food101")
    split = tmp_path / "sun397/split_zhou_SUN397.json"
    for wrong in ("no JSON", "[]", '{"train": []}', '{"train": [["a.jpg"]], "test": []}'):
        split.write_text(wrong)
        with pytest.raises(DatasetError, match="is no split file of CoOp"):
            coop_classes(tmp_path, "sun397")
    rows = [["sun397_0/0000.jpg", 0, "abbey"]]
    split.write_text(json.dumps({"train": rows, "test": [["sun397_0/0001.jpg", 0, "abbeys"]]}))
    with pytest.raises(DatasetError, match="no picture of abbey is to be tested"):
        coop_classes(tmp_path, "sun397")
