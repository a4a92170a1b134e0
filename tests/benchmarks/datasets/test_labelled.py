"""Descriptions of classes from a file."""

import json
from pathlib import Path

import pytest

from gair_search.benchmarks.datasets import labelled, labelled_fashion
from gair_search.errors import DatasetError


def test_descriptions_from_a_file(tmp_path: Path) -> None:
    data = labelled_fashion.fashion_instances(0, 2, shots=1, test=1)
    path = tmp_path / "cupl.json"
    path.write_text(json.dumps({"Mug 0": ["a mug", "a cup"], "mug 1": ["another"]}))
    assert [c.descriptions for c in labelled.with_descriptions(data, path).classes] == [
        ("a mug", "a cup"),
        ("another",),
    ]
    path.write_text(json.dumps({"mug 0": ["a mug"]}))
    with pytest.raises(DatasetError, match="1 classes, as mug 1"):
        labelled.with_descriptions(data, path)
    for content in ("[]", "{", '{"mug 0": 3}'):
        path.write_text(content)
        with pytest.raises(DatasetError, match="list of texts"):
            labelled.with_descriptions(data, path)
    with pytest.raises(DatasetError, match="absent"):
        labelled.with_descriptions(data, tmp_path / "absent.json")
