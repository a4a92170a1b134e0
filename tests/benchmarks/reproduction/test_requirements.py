"""What is missing, and what is said of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gair_search.benchmarks.reproduction.requirements import REQUIREMENTS, find_missing
from gair_search.benchmarks.reproduction.sources import Sources


def test_nothing_is_missing_where_all_is_there(made: Sources) -> None:
    assert find_missing(REQUIREMENTS, made) == {}


@pytest.mark.parametrize(
    ("lost", "keys", "where"),
    [
        (
            "textual_inversion/red_teapot",
            ["concepts recognised", "concepts drawn"],
            "rinongal/textual_inversion",
        ),
        ("textual_inversion/clock", ["concepts drawn"], "rinongal/textual_inversion"),
        ("256_ObjectCategories/041.coffee-mug", ["caltech256"], "data.caltech.edu/records/nyy15-4j048"),
        ("PerVLBenchmark/data", ["pervl"], "switchablenorms/DeepFashion2"),
        ("PerVLBenchmark/annotations", ["pervl"], "NVlabs/PerVLBenchmark"),
        ("celeba/img_align_celeba", ["celeba"], "mmlab.ie.cuhk.edu.hk/projects/CelebA.html"),
        ("coop/dtd/images", ["dtd"], "vgg/data/dtd/"),
        ("coop/imagenet/images/val/n01443537", ["imagenet"], "https://image-net.org"),
        ("CUB_200_2011/attributes", ["cub"], "data.caltech.edu/records/65de6-vp158"),
    ],
)
def test_a_lost_folder_is_missed_and_no_other(
    made: Sources, tmp_path: Path, lost: str, keys: list[str], where: str
) -> None:
    data = shutil.copytree(made.data, tmp_path / "data")
    shutil.rmtree(data / lost)
    found = find_missing(REQUIREMENTS, replace(made, data=data))
    assert list(found) == keys
    for one in found.values():
        assert where in one.get
        depth = 2 if lost.startswith("coop") else 1
        assert one.put == str(data.joinpath(*lost.split("/")[:depth]))
        assert str(data) in one.problem
        assert one.size
        assert "\n" not in one.problem


def test_models_that_are_not_here_say_the_command(made: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Sources(made.data)  # the papers' own models, in no cache of ours
    monkeypatch.setattr("gair_search.encoder.models._cached_weights", lambda name: None)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    found = find_missing(("clip", "metaclip", "judge", "generator"), absent)
    assert found["clip"].get == "gair models pull ViT-L-14/openai"
    assert found["metaclip"].get == "gair models pull ViT-L-14-quickgelu/metaclip_400m"
    assert found["judge"].get == "gair models pull ViT-B-32/laion2b_s34b_b79k"
    assert found["generator"].get.startswith("hf download CompVis/stable-diffusion-v1-4 ")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_missing(["scikit-image"], made)["scikit-image"].get == "pip install 'gair-search[bench]'"


def test_a_parent_that_is_no_class_is_said(made: Sources) -> None:
    found = find_missing(["caltech256"], replace(made, recognised={"red_teapot": "tea pot"}))
    assert "has no class tea pot" in found["caltech256"].problem


def test_descriptions_are_missed_by_file_and_by_class(made: Sources, tmp_path: Path) -> None:
    data = shutil.copytree(made.data, tmp_path / "data")
    (data / "cupl/food101.json").unlink()
    (data / "cupl/dtd.json").write_text('{"dtd class 0": ["a texture."]}')
    found = find_missing(REQUIREMENTS, replace(made, data=data))
    assert list(found) == ["cupl dtd", "cupl food101"]
    assert "no descriptions of 1 classes, as dtd class 1" in found["cupl dtd"].problem
    assert found["cupl food101"].put == str(data / "cupl/food101.json")
    assert "sarahpratt/CuPL" in found["cupl food101"].get
    other = shutil.copytree(made.data, tmp_path / "other")
    shutil.rmtree(other / "coop/food-101")
    # what is wrong of the data set is said of it alone
    assert list(find_missing(["food101", "cupl food101"], replace(made, data=other))) == ["food101"]
