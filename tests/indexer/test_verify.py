from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from support.catalogue import NAME, fill
from support.photos import picture

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import GalleryError, ImageError
from gair_search.indexer.verify import verify_images

PICTURES = {i: picture(i) for i in range(5)}


def attach(tiny: Encoder, vectors: np.ndarray, distance: models.Distance = models.Distance.COSINE) -> Engine:
    client = QdrantClient(":memory:")
    fill(client, vectors.astype(np.float32), distance=distance)
    return Engine.attach(client, NAME, tiny)


def test_the_same_embedder_is_known_whatever_the_length_of_its_vectors(tiny: Encoder) -> None:
    features = tiny.encode_images(list(PICTURES.values()))
    for stored in (features, features.astype(np.float16)):
        found = attach(tiny, stored).verify(PICTURES)
        assert (found.verdict, found.missing) == ("same embedder", ())
        assert min(found.cosines.values()) == pytest.approx(1, abs=1e-4)
    long = attach(tiny, 7 * features, models.Distance.DOT)
    assert long.verify({**PICTURES, 77: picture(1)}).missing == (77,)
    assert str(found).startswith("same embedder: cosines of 5 images from 1.0000")


def test_other_pixels_of_the_same_model(encoder: Encoder) -> None:
    """Normalised as ImageNet's models want it."""
    preprocessing = replace(encoder.preprocessing, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    other = Encoder(replace(encoder.spec, preprocessing=preprocessing), "cpu")
    found = attach(encoder, other.encode_images(list(PICTURES.values()))).verify(PICTURES)
    assert found.verdict == "other preprocessing"
    assert found.to_json()["verdict"] == "other preprocessing"
    assert set(found.to_json()["cosines"]) == {"0", "1", "2", "3", "4"}


def test_another_model_of_the_same_length(tiny: Encoder) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, tiny.spec.embed_dim))
    assert attach(tiny, vectors).verify(PICTURES).verdict == "another model"
    assert attach(tiny, 0 * vectors).verify(PICTURES).verdict == "another model"  # no 0 / 0


def test_the_odd_one_out_does_not_decide(tiny: Encoder) -> None:
    features = tiny.encode_images(list(PICTURES.values()))
    features[2] = features[1]
    found = attach(tiny, features).verify(PICTURES)
    assert found.verdict == "same embedder"
    assert min(found.cosines, key=lambda i: found.cosines[i]) == 2


def test_what_can_t_be_compared(tiny: Encoder) -> None:
    engine = attach(tiny, np.eye(5, tiny.spec.embed_dim))
    with pytest.raises(GalleryError, match="no vector of any of the 1 ids"):
        engine.verify({99: picture(0)})
    with pytest.raises(ImageError, match="Path"):
        verify_images({0: "photo.jpg"}, tiny, engine.gallery)
