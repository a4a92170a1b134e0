from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from qdrant_client import QdrantClient, models
from support.catalogue import NAME, fill
from support.photos import picture
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from gair_search.encoder.clip import Encoder
from gair_search.engine import Engine
from gair_search.errors import GalleryError, ImageError
from gair_search.indexer.verify import verify_images
from gair_search.query.terms import Image

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


def test_a_transform_of_one_s_own_sees_the_whole_file(tmp_path: Path) -> None:
    """As pixels given in memory: a large JPEG is not decoded smaller for it."""
    import open_clip

    model = open_clip.model.CLIP(
        8, CLIPVisionCfg(1, 64, image_size=32, patch_size=16), CLIPTextCfg(width=32, heads=2, layers=1)
    )
    corner = Compose([CenterCrop(600), Resize((32, 32)), ToTensor()])
    encoder = Encoder.from_open_clip(model, open_clip.SimpleTokenizer(), corner)
    assert encoder.preprocessing.decoded_side is None
    picture(0, (2400, 1600)).save(tmp_path / "large.jpg")
    whole = PIL.Image.open(tmp_path / "large.jpg").convert("RGB")
    read = encoder.encode_sources([tmp_path / "large.jpg"])
    assert np.allclose(read, encoder.encode_images([whole]), atol=1e-5)
    engine = attach(encoder, read)
    assert engine.similar(tmp_path / "large.jpg", 1)[0].score == pytest.approx(1, abs=1e-5)
    assert np.allclose(
        engine.compile("x", plus=[Image(tmp_path / "large.jpg", 1e6)]).vector, read[0], atol=1e-4
    )


def test_what_can_t_be_compared(tiny: Encoder) -> None:
    engine = attach(tiny, np.eye(5, tiny.spec.embed_dim))
    with pytest.raises(GalleryError, match="no vector of any of the 1 ids"):
        engine.verify({99: picture(0)})
    with pytest.raises(ImageError, match="Path"):
        verify_images({0: "photo.jpg"}, tiny, engine.gallery)
