from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.gair import QUICK, mix
from support.photos import picture
from torchvision import transforms
from torchvision.transforms.v2 import InterpolationMode, functional

from gair_search.encoder.clip import Encoder
from gair_search.encoder.transforms import TransformPreprocessing
from gair_search.gair.cache import GeneratedImage
from gair_search.gair.drawing import Drawing, Visualizer, _gather, embed_images, is_blank
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


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_images_are_resized_as_the_model_wants(
    tiny: Encoder, interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smoothed, and by the model's own method: the two differ too little for features to tell."""
    asked: list[tuple[list[int], str, bool]] = []
    resize = functional.resize

    def told(
        image: torch.Tensor, size: list[int], method: InterpolationMode, antialias: bool
    ) -> torch.Tensor:
        asked.append((size, method.value, antialias))
        return resize(image, size, method, antialias=antialias)

    monkeypatch.setattr(functional, "resize", told)
    preprocessing = replace(tiny.preprocessing, interpolation=interpolation)
    own = Encoder(replace(tiny.spec, preprocessing=preprocessing), "cpu")
    embed_images(torch.zeros(1, 64, 64, 3, dtype=torch.uint8), own)
    assert asked == [(list(preprocessing.size), interpolation, True)]


def test_images_that_are_cropped_are_asked_for_by_height_and_width(
    tiny: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        type(tiny.preprocessing), "keeps_whole", lambda _, *shape: asked.append(shape) or False
    )
    embed_images(torch.zeros(2, 48, 64, 3, dtype=torch.uint8), tiny)
    assert asked == [(48, 64)]


def test_blank_images_are_shown_and_have_no_features() -> None:
    shown, blank = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    shown[0] = 255
    drawn = [
        GeneratedImage(image, np.array([i, 0.5], np.float32)) for i, image in enumerate((blank, shown, shown))
    ]
    one = _gather(drawn)
    assert one.pixels.shape == (3, 2, 2, 3)
    assert one.features.tolist() == [[1, 0.5], [2, 0.5]]
    assert one.excluded == 1
    none = _gather(drawn[:1])
    assert (none.features.shape, none.excluded) == ((0, 2), 1)


def test_what_a_visualizer_counts(tiny: Encoder, generator: Generator, token: CustomToken) -> None:
    """Of itself alone, whatever its generator drew before; two images of three steps each."""
    told: list[tuple[int, int]] = []
    visualizer = Visualizer(
        tiny, generator, on_progress=lambda done, total, note="": told.append((done, total))
    )
    assert (visualizer.cached, visualizer.denoiser_rows, visualizer.warnings) == (0, 0, [])
    mixture = mix("a * dress", tiny, token, ["blue"])
    sampling = replace(QUICK.sampling, steps=3)
    both = torch.stack([mixture.conditioning(1.0), mixture.conditioning(0.0)])
    visualizer.draw(both, [0, 1], sampling)
    assert told == [(2, 6), (4, 6), (6, 6)]
    assert visualizer.denoiser_rows == 2 * 2 * 3  # with and without the prompt
    visualizer.draw(both[:1], [2], sampling)
    assert told[-1] == (9, 9)
    assert (visualizer.cached, visualizer.denoiser_rows) == (0, 18)


def test_blank_images() -> None:
    stripes = np.zeros((4, 4, 3), np.uint8)
    stripes[0] = 255
    assert not is_blank(stripes)
    assert not is_blank(stripes.transpose(1, 0, 2))
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 200
    assert is_blank(colour)
    image = np.full((4, 4, 3), 7, np.uint8)
    assert is_blank(image)
    image[0, 0, 1] = 9
    assert is_blank(image)
    image[0, 0, 1] = 10
    assert not is_blank(image)
