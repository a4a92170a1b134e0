"""Classes in folders: what is learned from and what is classified never meet, and classes are called rightly."""

from pathlib import Path

import pytest
from support.class_sets import check_class_set
from support.photos import dreambooth, make_photos

from gair_search.benchmarks.datasets import labelled_folders
from gair_search.errors import DatasetError
from gair_search.learning.templates import PARAPHRASES


def test_class_folders_are_split_by_the_seed(tmp_path: Path) -> None:
    for name, n in (("red_fox", 5), ("owl", 2)):
        make_photos(tmp_path / name, n)
    data = labelled_folders.folder_classes(tmp_path, seed=0)
    check_class_set(data)
    assert [c.name for c in data.classes] == ["owl", "red fox"]
    assert data.classes[1].prompts == ("a photo of a red fox.",)
    assert data.classes[1].descriptions == tuple(text.format("red fox") for text in PARAPHRASES)
    assert [len(own) for own in data.train] == [1, 3]
    assert len(data.test) == 3
    assert data.most_shots == 3
    assert len(data.shots(16)) == 4
    assert any(labelled_folders.folder_classes(tmp_path, seed).train != data.train for seed in range(1, 5))
    assert len(labelled_folders.folder_classes(tmp_path, per_class=1).test) == 2


def test_imagenets_layout(tmp_path: Path) -> None:
    for part, n in (("train", 4), ("val", 2)):
        for place in ("n01440764", "n01443537"):
            make_photos(tmp_path / part / place, n, first=0 if part == "train" else 10)
    with pytest.raises(DatasetError, match=r"classnames\.txt"):
        labelled_folders.folder_classes(tmp_path)
    (tmp_path / "classnames.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    data = labelled_folders.folder_classes(tmp_path, shots=2)
    check_class_set(data)
    assert data.ids == ["tench", "goldfish"]
    assert [c.name for c in data.classes] == ["tench", "goldfish"]
    assert [len(part) for part in data.parts] == [4, 4]
    assert {data.pictures[place].path.parts[-3] for place in data.test} == {"val"}
    (tmp_path / "classnames.txt").write_text("n01440764 crane\nn01443537 crane\n")
    same = labelled_folders.folder_classes(tmp_path, shots=2)
    assert (same.ids, same.classes[0].prompts) == (["crane #0", "crane #1"], ("a photo of a crane.",))
    (tmp_path / "val/n01443537").rename(tmp_path / "val/.n01443537")
    with pytest.raises(DatasetError, match="n01443537"):
        labelled_folders.folder_classes(tmp_path)


def test_real_dreambooth_photos_by_class_and_by_subject() -> None:
    folder = dreambooth()
    classes, subjects = (
        labelled_folders.dreambooth_classes(folder),
        labelled_folders.dreambooth_subjects(folder),
    )
    for data, n in ((classes, 15), (subjects, 30)):
        check_class_set(data)
        assert len(data.classes) == n
        assert len(data.pictures) == 158
        assert min(map(len, data.train)) >= 2
    assert set(labelled_folders.DREAMBOOTH_DESCRIPTIONS) == {c.name for c in classes.classes}
    few = labelled_folders.dreambooth_subjects(folder, n=3, per_class=1)
    assert (len(few.classes), len(few.test)) == (3, 3)


def test_an_incomplete_dreambooth_is_told(tmp_path: Path) -> None:
    make_photos(tmp_path / "dog", 2)
    (tmp_path / "prompts_and_classes.txt").write_text("subject_name,class\ndog,dog\nvase,vase\n")
    with pytest.raises(DatasetError, match="vase"):
        labelled_folders.dreambooth_classes(tmp_path)
