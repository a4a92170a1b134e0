from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.gair import QUICK, mix
from support.photos import picture
from torchvision import transforms

from gair_search.encoder.clip import Encoder
from gair_search.encoder.transforms import TransformPreprocessing
from gair_search.gair.drawing import Drawing, Visualizer, embed_images, is_blank
from gair_search.generation.generator import Generator
from gair_search.tokens.custom_token import CustomToken


def test_what_is_asked_for_twice_is_drawn_once(
    tiny: Encoder, generator: Generator, token: CustomToken
) -> None:
    mixture = mix("a * dress", tiny, token, ["blue"])
    visualizer = Visualizer(tiny, generator)
    d = Drawing(visualizer, QUICK)
    whole, context = d([mixture.conditioning(1.0), mixture.conditioning(0.0)])
    rows = visualizer.denoiser_rows
    again, both = d([mixture.conditioning(0.0)]), d([mixture.conditioning(1.0), mixture.conditioning(0.0)])
    assert visualizer.denoiser_rows == rows
    assert again[0] is both[1] is context
    assert both[0] is whole
    assert whole.pixels.shape == (1, 16, 16, 3)
    assert not np.array_equal(whole.pixels, context.pixels)


@pytest.mark.parametrize("side", [16, 64, 96])
def test_embedding_on_the_device_equals_embedding_a_file(tiny: Encoder, side: int) -> None:
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)) for _ in "ab"]
    images = np.stack([np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in coarse])
    expected = tiny.encode_pixels(
        np.stack([tiny.preprocessing.pixels(Image.fromarray(image)) for image in images])
    )
    assert ((embed_images(torch.from_numpy(images), tiny) * expected).sum(1) > 0.9999).all()
    wide = torch.from_numpy(np.concatenate([images, images], axis=2))
    assert embed_images(wide, tiny).shape == (2, 16)


def test_images_go_through_a_transform_of_the_users_own(tiny: Encoder) -> None:
    transform = transforms.Compose([transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor()])
    preprocessing = TransformPreprocessing((32, 32), (0, 0, 0), (1, 1, 1), transform=transform)
    own = Encoder(replace(tiny.spec, preprocessing=preprocessing), "cpu")
    images = np.stack([np.asarray(picture(i, (64, 64))) for i in range(2)])
    expected = own.encode_images([Image.fromarray(image) for image in images])
    assert np.allclose(embed_images(torch.from_numpy(images), own), expected, atol=1e-6)


def test_blank_images() -> None:
    image = np.full((4, 4, 3), 7, np.uint8)
    assert is_blank(image)
    image[0, 0, 1] = 9
    assert is_blank(image)
    image[0, 0, 1] = 10
    assert not is_blank(image)
