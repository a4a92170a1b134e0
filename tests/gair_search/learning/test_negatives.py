"""Negative images: the parent, but not the concept. Features on a circle, so that all angles are known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.photos import make_photos
from support.points import EMBEDDER, point

from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError, GalleryError
from gair_search.gallery import PointId
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.learning.negatives import (
    MIN_NEGATIVES,
    find_negatives,
    from_gallery,
    likeness,
    nearest_other_photo,
    require,
    unlike_concept,
    whitening,
)


def at(*degrees: float) -> NDArray[np.float32]:
    """Features `[len(degrees), 3]` on the unit circle."""
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d)), 0] for d in degrees], np.float32)


def test_likeness_is_that_of_the_oddest_photo_to_the_others():
    assert likeness(at(-10, 10)) == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    # the photo in the middle has its others' mean; an outer one's others have theirs half way, at 10 degrees
    assert likeness(at(-20, 0, 20)) == pytest.approx(math.cos(math.radians(30)), abs=1e-6)
    assert likeness(at(5, 5)) == pytest.approx(1, abs=1e-6)


def test_of_few_what_is_as_like_as_the_concept_is_to_itself_is_left_out(monkeypatch: pytest.MonkeyPatch):
    """Where most of a small gallery is the concept, it is the concept that is common there."""
    rng = np.random.default_rng(0)
    own = np.eye(16)[0] + 0.3 * rng.standard_normal((62, 16)) / 4
    others = np.eye(16)[1] + 0.3 * rng.standard_normal((8, 16)) / 4
    own, others = ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (own, others))
    concept, candidates = own[:2, None], np.concatenate([own[2:], others])
    mean = concept.mean((0, 1)) / np.linalg.norm(concept.mean((0, 1)))
    alike = set(np.flatnonzero(candidates @ mean >= likeness(concept[:, 0])).tolist())
    assert len(alike) > 3
    assert not alike & set(unlike_concept(candidates, concept).tolist())
    monkeypatch.setattr("gair_search.learning.negatives.FEW", 0)
    assert alike & set(unlike_concept(candidates, concept).tolist())
    assert len(unlike_concept(candidates, concept, 2)) == 2
    assert unlike_concept(candidates[:0], concept).tolist() == []


def test_whitened_rows_are_of_unit_covariance_and_their_mean_is_away():
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((400, 3)) * [1, 5, 20] + [3, 0, 9]).astype(np.float32)
    spread = np.cov(features.T)
    by_hand = (features - features.mean(0)) @ np.linalg.inv(np.linalg.cholesky(spread)).T
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    found = whitening(features, shrinkage=0)(features)
    assert np.allclose(found @ found.T, by_hand @ by_hand.T, atol=1e-4)
    # drawn all the way to the identity, nothing is left but the mean that is taken away
    centred = features - features.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    flat = whitening(features, shrinkage=1)(features)
    assert np.allclose(flat @ flat.T, centred @ centred.T, atol=1e-4)
    assert np.isfinite(whitening(features[:1])(features)).all()  # one photo has no spread


def test_the_likeness_of_photos_is_to_the_nearest_view_of_another():
    first, second, third = at(0, 30), at(50, 100), at(200, 201)
    # 0 is nearest to 50; 50 to 30; 200 to 100
    expected = np.median(np.cos(np.radians([50, 20, 100])))
    assert nearest_other_photo(np.stack([first, second, third])) == pytest.approx(expected, abs=1e-6)
    assert nearest_other_photo(first[None]) == 1


def test_the_concept_in_other_places_is_found_and_others_in_its_place_are_kept():
    """Features of (instance, place): places are shared by all, so that raw cosines tell places, not instances."""
    instances, places = np.eye(14)[:10], 1.5 * np.eye(14)[10:]

    def shown(instance: int, place: int) -> NDArray[np.float32]:
        both = instances[instance] + places[place]
        return (both / np.linalg.norm(both)).astype(np.float32)

    concept = np.stack([shown(0, 0), shown(0, 1)])[:, None]
    names = [(0, 2), (0, 3), *((i, place) for i in range(1, 10) for place in range(4))]
    candidates = np.stack([shown(*name) for name in names])
    found = [names[row] for row in unlike_concept(candidates, concept)]
    assert (0, 2) not in found
    assert (0, 3) not in found
    # by raw cosines the concept elsewhere is the least like it
    mean = concept.mean((0, 1))
    raw = dict(zip(names, candidates @ mean, strict=True))
    assert raw[0, 2] < min(raw[i, 0] for i in range(1, 10))
    assert sum(place > 1 for _, place in found) == 18  # none of the others there is lost


def test_a_gallery_gives_what_is_near_the_parent_and_not_the_concept(tmp_path: Path):
    """Axis 0 is the parent; each photo is so many degrees away from it, along an axis of its own."""

    def photo(axis: int, degrees: float) -> NDArray[np.float32]:
        x, y, _ = at(degrees)[0]
        return (x * np.eye(12)[0] + y * np.eye(12)[axis]).astype(np.float32)

    photos = {f"{i}": photo(i, 40 + 5 * i) for i in range(3, 12)} | {
        "own": photo(2, 54),
        "alike": photo(1, 35),
    }
    gallery = EmbeddedGallery(tmp_path / "gallery")
    gallery.ensure(replace(EMBEDDER, dim=12))
    gallery.upsert([point(i, x.tolist(), path=str(tmp_path / n)) for i, (n, x) in enumerate(photos.items())])
    (tmp_path / "own").touch()
    (tmp_path / "link").symlink_to(tmp_path / "own")
    parent, concept = np.eye(12, dtype=np.float32)[0], np.stack([photo(1, 50), photo(1, 60)])[:, None]

    def found(n: int = 64, without: Sequence[Path | PointId] = ()) -> list[str]:
        rows = from_gallery(gallery, parent, concept, n, without)
        return [name for row in rows for name, x in photos.items() if np.allclose(row, x, atol=1e-5)]

    others = [f"{i}" for i in range(3, 12)]
    assert found(without=[tmp_path / "link"]) == others  # nearest to the parent first
    assert found() == ["own", *others]
    assert found(2) == ["own", "3"]
    (own,) = (record.id for record in gallery.records() if record.payload["path"].endswith("own"))
    assert found(without=[own]) == others
    # all is the concept: nothing is left, in the right shape
    everything = [tmp_path / name for name in photos]
    assert from_gallery(gallery, parent, concept, without=everything).shape == (0, 12)
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
    plain, concept = (
        features[0],
        np.stack([-features.mean(0)] * 2)[:, None] / np.linalg.norm(features.mean(0)),
    )

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


def test_how_far_from_the_typical_photo_is_too_far(monkeypatch: pytest.MonkeyPatch):
    """Without whitening, with a typical cosine of 0 and photos of the concept that are alike: the threshold is 0.18."""
    monkeypatch.setattr("gair_search.learning.negatives.whitening", lambda _: lambda rows: rows)
    monkeypatch.setattr("gair_search.learning.negatives.FEW", 0)
    concept = np.repeat(np.eye(3, dtype=np.float32)[:1, None], 2, axis=0)
    cosines = [0, 0.17, 0, 0.19, 0, 0.9, 0]
    candidates = np.array([[x, math.sqrt(1 - x * x), 0] for x in cosines], np.float32)
    assert unlike_concept(candidates, concept).tolist() == [0, 1, 2, 4, 6]
