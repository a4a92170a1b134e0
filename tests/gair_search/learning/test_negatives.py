"""Negative images: the parent, but not the concept. Features on a circle, so that all angles are known."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.photos import make_photos
from support.points import EMBEDDER, point

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GalleryError
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.learning.negatives import (
    MIN_NEGATIVES,
    find_negatives,
    from_gallery,
    likeness,
    require,
    unlike_concept,
)


def at(*degrees: float) -> NDArray[np.float32]:
    """Features `[len(degrees), 3]` on the unit circle."""
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d)), 0] for d in degrees], np.float32)


def test_likeness_is_that_of_the_oddest_photo_to_the_others():
    assert likeness(at(-10, 10)) == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    # the photo in the middle has its others' mean; an outer one's others have theirs half way, at 10 degrees
    assert likeness(at(-20, 0, 20)) == pytest.approx(math.cos(math.radians(30)), abs=1e-6)
    assert likeness(at(5, 5)) == pytest.approx(1, abs=1e-6)


def test_what_is_as_like_as_the_concept_is_to_itself_is_left_out():
    concept = at(-10, 10)  # their mean is at 0, their likeness 20 degrees
    candidates = at(90, 19, 21, -19, -21, 0, 180)
    assert unlike_concept(candidates, concept).tolist() == [0, 2, 4, 6]
    assert unlike_concept(candidates, concept, 2).tolist() == [0, 2]
    assert unlike_concept(at(0, 5), concept).tolist() == []


def test_a_gallery_gives_what_is_near_the_parent_and_not_the_concept(tmp_path: Path):
    angles = {"own": 75, "alike": 15, "near": 50, "nearer": 62, "far": 120}
    gallery = EmbeddedGallery(tmp_path / "gallery")
    gallery.ensure(EMBEDDER)
    gallery.upsert(
        [
            point(i, at(angle)[0].tolist(), path=str(tmp_path / name))
            for i, (name, angle) in enumerate(angles.items())
        ]
    )
    (tmp_path / "own").touch()
    (tmp_path / "link").symlink_to(tmp_path / "own")
    parent, concept = at(60)[0], at(-10, 10)
    found = from_gallery(gallery, parent, concept, without=[tmp_path / "link"])
    assert np.allclose(found, at(62, 50, 120), atol=1e-6)  # nearest to the parent first
    assert np.allclose(from_gallery(gallery, parent, concept, 1), at(62), atol=1e-6)
    assert np.allclose(from_gallery(gallery, parent, concept), at(62, 50, 75, 120), atol=1e-6)
    (own,) = (record.id for record in gallery.records() if record.payload["path"].endswith("own"))
    assert np.allclose(from_gallery(gallery, parent, concept, without=[own]), at(62, 50, 120), atol=1e-6)
    # all is the concept: nothing is left, in the right shape
    everything = [tmp_path / name for name in angles]
    assert from_gallery(gallery, parent, concept, without=everything).shape == (0, 3)
    gallery.close()


def test_too_few_are_refused():
    enough = np.zeros((MIN_NEGATIVES, 2), np.float32)
    assert require(enough, "the folder") is enough
    with pytest.raises(
        ConceptError, match=f"the folder gives {MIN_NEGATIVES - 1} negative images.*--negatives"
    ):
        require(enough[1:], "the folder")


def test_negatives_come_from_where_the_user_says_else_from_the_gallery(encoder: Encoder, tmp_path: Path):
    files = make_photos(tmp_path / "others", MIN_NEGATIVES)
    features = encoder.encode_files(files)
    gallery = EmbeddedGallery(tmp_path / "gallery")
    plain, concept = features[0], np.stack([-features.mean(0)] * 2) / np.linalg.norm(features.mean(0))

    def found(source: str | Path | None, without: list[Path]) -> NDArray[np.float32]:
        return find_negatives(
            source, "dress", plain, concept, encoder=encoder, gallery=gallery, generator=None, without=without
        )

    assert np.allclose(found(tmp_path / "others", files), features, atol=1e-5)
    with pytest.raises(ConceptError, match="gives 0 negative images"):
        found(None, [])
    with pytest.raises(GalleryError, match="no gallery"):
        found("gallery", [])
    gallery.ensure(encoder.embedder_id)
    gallery.upsert([point(i, row.tolist(), path=str(files[i])) for i, row in enumerate(features)])
    for source in (None, "gallery"):
        assert sorted(map(tuple, found(source, []).round(4))) == sorted(map(tuple, features.round(4)))
        with pytest.raises(ConceptError, match=f"gives {MIN_NEGATIVES - 1} negative images"):
            found(source, files[:1])
    gallery.close()
