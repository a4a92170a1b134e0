"""The data sets on made trees of the official names, and, where they are, on the real files."""

import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from support.pervl import make_pervl
from support.photos import dreambooth as dreambooth_photos
from support.photos import make_photos

from gair_search.benchmarks.datasets import (
    attributes,
    dreambooth,
    fashion,
    folders,
    pervl,
)
from gair_search.benchmarks.datasets.base import SUBJECT, RetrievalQuery, RetrievalSet
from gair_search.benchmarks.fashion_world import BACKGROUNDS, render, scene
from gair_search.benchmarks.tables.retrieval import RetrievalConfig
from gair_search.errors import DatasetError

PERVL = Path(os.environ.get("GAIR_PERVL", Path.cwd().parent / "shared/data/pervl"))


@pytest.fixture
def real_pervl() -> Path:
    if not (PERVL / "annotations/deep_fashion").is_dir():
        pytest.skip(f"PerVL's annotations are not at {PERVL} (set GAIR_PERVL)")
    return PERVL


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_pervl(tmp_path)


def cut_objects(tree: Path) -> Path:
    cut = tree / "data/youtube_vos/ytvos_PerVL/fsl_seg"
    for i, name in enumerate(("giant_panda_ab_1", "dog_cd_2")):
        make_photos(cut / "train" / name, 6)
        made = make_photos(cut / "eval/retrieval", 1)[0]
        made.rename(made.with_name(f"{name}_00{i}.jpg"))
    return cut


def test_deepfashion2_is_the_papers_protocol(tree: Path) -> None:
    data = pervl.deepfashion2(tree)
    assert data.problems == ()
    assert [(c.name, c.parent, len(c.images)) for c in data.concepts] == [
        ("9", "dress", 3),
        ("11", "dress", 7),
        ("12", "dress", 4),
    ]
    assert data.concepts[1].captions == {"110000.jpg": "a {subject} runs."}
    assert len(data.queries) == len(data.gallery) == 6
    first = data.queries[0]
    assert first.text("* skirt") == "a * skirt with a hat, by wall 0, and another * skirt."
    assert (first.concept, first.relevant) == ("11", frozenset({"1190.jpg"}))
    assert data.qrels["1190"] == {"1190.jpg": 1}
    assert data.gallery[0].image().size == (96, 64)
    short = pervl.deepfashion2(tree, captions="short", shots=5, seed=1)
    assert short.queries[0].text("skirt *") == "the skirt *'s wall 0."
    assert [len(c.images) for c in short.concepts] == [3, 5, 4]
    again = pervl.deepfashion2(tree, captions="short", shots=5, seed=1)
    assert again.concepts == short.concepts
    drawn = {pervl.deepfashion2(tree, shots=5, seed=s).concepts[1].images for s in range(5)}
    assert len(drawn) > 1
    assert {q.concept for q in data.limited(1).queries} == {"9"}
    assert data.limited(1).gallery == data.gallery


def test_all_training_photos_or_five_are_a_setting(tree: Path) -> None:
    five, every = (
        RetrievalConfig("pervl-deepfashion2", tree, shots=5),
        RetrievalConfig("pervl-deepfashion2", tree),
    )
    assert [len(concept.images) for concept in five.load(0).concepts] == [3, 5, 4]
    assert [len(concept.images) for concept in every.load(0).concepts] == [3, 7, 4]


def test_photos_that_the_benchmarks_script_sorted_out_are_found(tree: Path) -> None:
    data = tree / "data/deep_fashion2"
    for name in ("1190.jpg", "110000.jpg"):
        (data / "train/image" / name).unlink()
    with pytest.raises(DatasetError) as told:
        pervl.deepfashion2(tree)
    assert "2 of 20 files are absent" in str(told.value)
    assert str(data / "train/image/1190.jpg") in str(told.value)
    assert "DeepFashion2's train.zip" in str(told.value)
    for place, name in (("eval/test", "1190.jpg"), ("codes_infer/11", "110000.jpg")):
        make_photos(data / "personalized_test" / place, 1)[0].rename(
            data / "personalized_test" / place / name
        )
    assert len(pervl.deepfashion2(tree).gallery) == 6


def test_missing_annotations_say_what_to_get(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="5 of 5 files are absent") as told:
        pervl.deepfashion2(tmp_path / "elsewhere")
    assert "https://github.com/NVlabs/PerVLBenchmark" in str(told.value)
    with pytest.raises(DatasetError, match=r"validation_captions\.csv"):
        pervl.deepfashion2(tree, "validation")
    (tree / "annotations/deep_fashion/test_captions.csv").write_text("image_name,caption\nx,y\n")
    with pytest.raises(DatasetError, match="no column pair_id"):
        pervl.deepfashion2(tree)


def test_rows_that_do_not_resolve_are_told_and_left_out(tree: Path) -> None:
    place = tree / "annotations/deep_fashion"
    with (place / "test_captions.csv").open("a") as file:
        file.write("train/image/1190.jpg,77,a person.\ntrain/image/1191.jpg,11,nobody.\n")
        file.write("train/image/none.jpg,11,a person.\ntrain/image/110001.jpg,11,a person.\n")
    with (place / "test_fsl_train.txt").open("a") as file:
        file.write("\ncodes_infer/5:\n000001.jpg\nwhat is this\n")
    facts = pervl.deepfashion2_annotations(tree)
    assert len(facts.queries) == 6 + 2
    assert list(facts.problems) == [
        'test_fsl_train.txt:23: neither a pair nor a photo: "what is this"',
        "test_captions.csv:8: pair 77 has no class in train_coarse_grained_names.csv",
        'test_captions.csv:9: no "person" in the caption "nobody."',
        "test_fsl_train.txt: 110001.jpg is a training photo and a query's image",
        "test_fsl_train.txt: pair 5 has no caption in test_captions.csv",
    ]
    short = pervl.deepfashion2_annotations(tree, captions="short")
    assert "test_captions.csv:10: train/image/none.jpg has no short caption" in short.problems


def test_ytvos(tree: Path) -> None:
    with pytest.raises(DatasetError, match="4 of 4 files are absent") as told:
        pervl.ytvos(tree)
    assert "https://youtube-vos.org" in str(told.value)
    cut = cut_objects(tree)
    data = pervl.ytvos(tree, shots=5)
    assert data.problems == ()
    assert [(c.name, c.parent, len(c.images)) for c in data.concepts] == [
        ("giant_panda_ab_1", "giant panda", 5),
        ("dog_cd_2", "dog", 5),
    ]
    assert data.queries[0].text("ape *") == "an ape * behind ape *'s tree."
    assert data.queries[0].text("* panda") == "a * panda behind * panda's tree."
    assert data.queries[1].relevant == frozenset({"dog_cd_2_001.jpg"})
    assert data.gallery[1].image().mode == "RGB"
    (cut / "eval/retrieval/dog_cd_2_001.jpg").unlink()
    sorted_out = tree / "data/youtube_vos/retrival_sets/test/eval/test"
    make_photos(sorted_out, 1)[0].rename(sorted_out / "dog_cd_2.jpg")
    assert pervl.ytvos(tree).gallery[1].image().size == (96, 64)


@pytest.mark.parametrize(("split", "queries"), [("test", 221), ("validation", 229)])
@pytest.mark.parametrize("captions", ["detailed", "short"])
def test_every_row_of_the_real_deepfashion2_annotations_resolves(
    real_pervl: Path, split: pervl.Split, queries: int, captions: pervl.Captions
) -> None:
    facts = pervl.deepfashion2_annotations(real_pervl, split, captions)
    assert facts.problems == ()
    assert (len(facts.queries), len(facts.training)) == (queries, 50)
    assert {caption.concept for caption in facts.queries} == set(facts.training) == set(facts.parents)
    assert sum(map(len, facts.training.values())) == {"test": 653, "validation": 661}[split]
    assert facts.training_captions
    for caption in facts.queries:
        assert "{subject}" in caption.template
        assert not re.search(r"\bperson\b", caption.template)  # "personal" stays


@pytest.mark.parametrize(("split", "queries"), [("test", 252), ("validation", 246)])
def test_every_row_of_the_real_ytvos_annotations_resolves(
    real_pervl: Path, split: pervl.Split, queries: int
) -> None:
    facts = pervl.ytvos_annotations(real_pervl, split)
    assert facts.problems == ()
    assert len(facts.queries) == len(facts.parents) == queries
    assert not any("*" in caption.template or "_" in caption.parent for caption in facts.queries)


def test_dreambooth_on_the_real_photos() -> None:
    data = dreambooth.dreambooth(dreambooth_photos(), seed=2)
    assert (len(data.concepts), len(data.gallery)) == (30, 158)
    for concept, query in zip(data.concepts, data.queries, strict=True):
        learned = {picture.id for picture in concept.images}
        own = {picture.id for picture in data.gallery if picture.id.startswith(f"{concept.name}/")}
        assert (len(learned), query.excluded) == (3, learned)
        assert query.relevant == own - learned
        assert query.relevant
    assert data.concepts != dreambooth.dreambooth(dreambooth_photos(), seed=3).concepts
    assert {c.name: c.parent for c in data.concepts}["grey_sloth_plushie"] == "stuffed animal"


def test_dreambooth_half_unpacked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"prompts_and_classes\.txt"):
        dreambooth.dreambooth(tmp_path)
    (tmp_path / dreambooth.TABLE).write_text("Classes\n\nsubject_name,class\ndog,dog\ncat2,cat\n\nPrompts\n")
    make_photos(tmp_path / "dog", 5)
    with pytest.raises(DatasetError, match="1 of 2 files are absent") as told:
        dreambooth.dreambooth(tmp_path)
    assert "cat2/*.jpg" in str(told.value)
    make_photos(tmp_path / "cat2", 4)
    data = dreambooth.dreambooth(tmp_path)
    assert [len(query.relevant) for query in data.queries] == [2, 1]


def fashion_items(data: RetrievalSet) -> dict[str, tuple[str, str]]:
    """Picture id -> (instance, place), as its id says."""
    return {picture.id: tuple(picture.id.split("/")) for picture in data.gallery}


def test_fashion_world_cannot_be_wrong() -> None:
    small = {"seed": 1, "concepts": 6, "shots": 3, "views": 2, "distractors": 4, "kinds": 3}
    data = fashion.fashion_world(**small)
    assert (len(data.concepts), len(data.queries), len(data.gallery)) == (6, 12, 10 * len(BACKGROUNDS))
    items = fashion_items(data)
    assert len(items) == len(set(items.values())) == 120  # one view of an instance in a place
    assert fashion.fashion_world(**small, elsewhere=False).gallery == data.gallery[:20]
    for query in data.queries:
        (answer,) = query.relevant
        name, place = items[answer]
        assert query.template.endswith(BACKGROUNDS[place][0])
        assert name == query.concept
    one, two = data.gallery[0].image(), data.gallery[1].image()
    assert one.size == (32, 32)
    assert np.any(np.asarray(one) != np.asarray(two))
    assert np.array_equal(np.asarray(one), np.asarray(data.gallery[0].image()))
    assert fashion.fashion_world(**small) == data
    assert not {p.id for p in data.gallery} & {
        p.id for p in fashion.fashion_world(**small | {"seed": 2}).gallery
    }
    for bad, told in (({"views": 12}, "places are to train in"), ({"kinds": 13}, "1 to 12")):
        with pytest.raises(ValueError, match=told):
            fashion.fashion_world(**bad)


def test_fashion_concepts_share_places_and_words() -> None:
    """Every query has rivals: the concept in each other place, and others of its kind in this one."""
    data = fashion.fashion_world(concepts=4, views=3, distractors=2, kinds=2)
    items = fashion_items(data)
    kinds = {name: name.rsplit("-", 1)[1] for name, _ in items.values()}
    assert len(set(kinds.values())) == 2
    for query in data.queries:
        name, place = items[next(iter(query.relevant))]
        assert {p for n, p in items.values() if n == name} == set(BACKGROUNDS)
        assert sum(kinds[n] == kinds[name] and p == place for n, p in items.values()) == 3
    texts = {query.template: query.concept for query in data.queries}
    assert len(texts) == 3 * len({t.split(SUBJECT)[0] for t in texts})  # the same for all concepts


def test_instances_with_the_same_words_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    family = list(itertools.islice(fashion._instances_of_same_words(0, "hat", 32), 6))
    assert len({(i.kind, i.color, i.pattern, i.second_color) for i in family}) == 1
    drawn = [np.asarray(render(scene(0, "test", item=item), 32), np.float64) for item in family]
    apart = [np.sqrt(((a - b) ** 2).mean()) for a, b in itertools.combinations(drawn, 2)]
    assert min(apart) >= fashion.APART
    monkeypatch.setattr(fashion, "APART", min(apart) + 0.1)  # leaves out one of the nearest two
    assert list(itertools.islice(fashion._instances_of_same_words(0, "hat", 32), 6)) != family


def test_training_views_are_in_other_places_than_test_views() -> None:
    data = fashion.fashion_world(concepts=5, shots=8, views=4, distractors=0, train_places=3)
    items = fashion_items(data)
    tests = {items[answer][1] for query in data.queries for answer in query.relevant}
    assert len(tests) == 4
    images = {image.image().tobytes() for concept in data.concepts for image in concept.images}
    assert not images & {picture.image().tobytes() for picture in data.gallery}
    for concept in data.concepts:
        assert len({image.image().tobytes() for image in concept.images}) == 8
        shown = {place for place in BACKGROUNDS for image in concept.images if f"'{place}'" in image.content}
        assert len(shown) == 3
        assert not shown & tests


def test_features_are_known_by_what_is_drawn() -> None:
    """The same names with other pictures: other keys, so that no kept features are taken for them."""
    few, many = (fashion.fashion_world(concepts=2, train_places=n).concepts[1].images for n in (1, 2))
    assert [p.id for p in few] == [p.id for p in many]
    assert few[1].content_key != many[1].content_key
    small, large = (fashion.fashion_world(concepts=1, size=n).gallery[0] for n in (32, 64))
    assert small.content_key != large.content_key


@pytest.mark.parametrize(
    ("template", "subject", "text"),
    [
        ("a {subject} here", "umbrella", "an umbrella here"),
        ("a {subject} here", "* umbrella", "a * umbrella here"),
        ("A {subject}", "item", "An item"),
        ("on grass {subject}", "old hat", "on grass old hat"),
        ("by {the} {subject}", "hat", "by {the} hat"),
    ],
)
def test_query_texts_take_any_subject(template: str, subject: str, text: str) -> None:
    assert RetrievalQuery("q", template, "c", frozenset()).text(subject) == text


def test_class_folders_take_images_alone(tmp_path: Path) -> None:
    make_photos(tmp_path / "n01", 2)
    (tmp_path / "n01/000.jpg").rename(tmp_path / "n01/n01_1.JPEG")
    (tmp_path / "n01/notes.txt").write_text("x")
    make_photos(tmp_path / "n02", 1)
    found = folders.complete_classes(tmp_path)
    assert {name: [p.id for p in images] for name, images in found.items()} == {
        "n01": ["n01/001.jpg", "n01/n01_1.JPEG"],
        "n02": ["n02/000.jpg"],
    }
    (tmp_path / "n03").mkdir()
    with pytest.raises(DatasetError, match="n03"):
        folders.complete_classes(tmp_path)
    with pytest.raises(DatasetError, match="one folder of images a class"):
        folders.complete_classes(tmp_path / "none")


def test_caltech_256(tmp_path: Path) -> None:
    for i in range(1, 258):
        name = {1: "001.ak47", 2: "002.american-flag", 212: "212.teapot-101"}.get(i, f"{i:03d}.thing{i}")
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{i:03d}_0001.jpg").touch()
    (tmp_path / "002.american-flag/RENAME2").touch()
    found = folders.caltech256(tmp_path)
    assert len(found) == folders.CALTECH_CLASSES
    assert [p.id for p in found["teapot"]] == ["212.teapot-101/212_0001.jpg"]
    assert len(found["american flag"]) == 1
    (tmp_path / "001.ak47/001_0001.jpg").unlink()
    (tmp_path / "001.ak47").rmdir()
    with pytest.raises(DatasetError, match=r"001\.\*"):
        folders.caltech256(tmp_path)
    (tmp_path / "ak47").mkdir()
    (tmp_path / "ak47/1.jpg").touch()
    with pytest.raises(DatasetError, match="not named like"):
        folders.caltech256(tmp_path)


def test_textual_inversion(tmp_path: Path) -> None:
    make_photos(tmp_path / "red_teapot", 5)
    make_photos(tmp_path / "clock", 3)
    ((concept, rest),) = folders.textual_inversion(tmp_path, {"red_teapot": "teapot"}, seed=1)
    assert (concept.parent, len(concept.images), len(rest)) == ("teapot", 3, 2)
    assert not set(concept.images) & set(rest)
    with pytest.raises(DatasetError, match="clock"):
        folders.textual_inversion(tmp_path, {"red_teapot": "teapot", "clock": "clock"})


def test_celeba(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="3 of 3 files are absent"):
        attributes.celeba(tmp_path)
    files = [path.name for path in make_photos(tmp_path / "img_align_celeba", 3)]
    lists = [f"{file} {'1 -1' if i else '-1  1'}" for i, file in enumerate(files)]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["3", "Male Smiling ", *lists, ""]))
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{f} {i}\n" for i, f in enumerate(files)))
    found = attributes.celeba(tmp_path)
    assert found.labels["Male"].tolist() == [False, True, True]
    assert found.labels["Smiling"].tolist() == [True, False, False]
    assert found.test.tolist() == [False, False, True]
    assert found.pictures[2].image().size == (96, 64)
    (tmp_path / "img_align_celeba" / files[1]).unlink()
    with pytest.raises(DatasetError, match="1 of 3 files are absent"):
        attributes.celeba(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["3", "Male Smiling", *lists[:2]]))
    with pytest.raises(DatasetError, match="lists 2"):
        attributes.celeba(tmp_path)


def test_cub(tmp_path: Path) -> None:
    root = tmp_path / "CUB_200_2011"
    (root / "attributes").mkdir(parents=True)
    with pytest.raises(DatasetError, match="4 of 4 files are absent"):
        attributes.cub(root)
    make_photos(root / "images/001.Bird", 2)
    (tmp_path / "attributes.txt").write_text("1 has_shape::duck-like\n2 has_wing_color::yellow\n")
    (root / "images.txt").write_text("1 001.Bird/000.jpg\n2 001.Bird/001.jpg\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n")
    labels = ["1 1 1 3 27.7", "1 2 0 4 27.7", "2 1 0 3 7.0", "2 2 1 1 0 10.5"]
    (root / "attributes/image_attribute_labels.txt").write_text("\n".join(labels))
    found = attributes.cub(root)
    assert found.labels["has_shape::duck-like"].tolist() == [True, False]
    assert found.labels["has_wing_color::yellow"].tolist() == [False, True]
    assert found.test.tolist() == [False, True]
    (root / "attributes/image_attribute_labels.txt").write_text("\n".join(labels[:3]))
    with pytest.raises(DatasetError, match="1 of 4 labels are absent"):
        attributes.cub(root)
