"""Image transforms as data: the same pixels as the transform's, whoever makes them."""

import io
import random
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from support.photos import encoded, picture
from torchvision import transforms
from torchvision.transforms import v2

from gair_search.encoder.clip import Encoder
from gair_search.encoder.transforms import TransformPreprocessing, read_preprocessing
from gair_search.errors import ModelError
from gair_search.images.folders import ScannedFile, Skipped
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.reading import load_pixels
from gair_search.images.workers import Loaded, load_files

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
GIVEN = [(100, 60), (61, 103), (33, 33), (9, 5), (300, 290)]
NORMALIZE = (transforms.ToTensor(), transforms.Normalize(MEAN, STD))


class Tower:
    """An image tower on which open_clip wrote nothing."""


def tower(**facts: Any) -> Any:
    own: Any = Tower()
    for name, value in facts.items():
        setattr(own, name, value)
    return own


def agrees(found: Preprocessing, transform: Any) -> bool:
    """Whether pixels, normalised as the encoder does, are what the transform gives."""
    for size in GIVEN:
        image = picture(5, size)
        pixels = torch.from_numpy(found.pixels(image).copy()).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(own).view(3, 1, 1) for own in (found.mean, found.std))
        if not torch.allclose((pixels - mean) / std, transform(image), atol=1e-5):
            return False
    return True


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(32, 32), (33, 33), (48, 32)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("written", [True, False])
def test_open_clips_transforms_become_data(
    mode: str, size: tuple[int, int], interpolation: str, written: bool
) -> None:
    cfg = open_clip.transform.PreprocessCfg(size, "RGB", MEAN, STD, interpolation, mode, 127)
    transform = open_clip.transform.image_transform_v2(cfg, is_train=False)
    found = read_preprocessing(transform, tower(preprocess_cfg=vars(cfg)) if written else tower())
    assert type(found) is Preprocessing
    assert agrees(found, transform)
    if written:
        assert found == Preprocessing(size, MEAN, STD, interpolation, mode, 127)


def test_what_is_written_on_the_tower_is_not_believed() -> None:
    cfg = open_clip.transform.PreprocessCfg((32, 32), "RGB", MEAN, STD, "bilinear", "squash")
    transform = open_clip.transform.image_transform_v2(cfg, is_train=False)
    other = {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bicubic", "resize_mode": "longest"}
    found = read_preprocessing(transform, tower(preprocess_cfg=other, image_mean=(0, 0, 0), image_std=STD))
    assert found == Preprocessing((32, 32), MEAN, STD, "bilinear", "squash")


def test_overrides_of_the_factory_are_honoured(encoder: Encoder) -> None:
    _, _, transform = open_clip.create_model_and_transforms(
        encoder.spec.architecture,
        image_mean=MEAN,
        image_std=STD,
        image_interpolation="bilinear",
        image_resize_mode="longest",
        load_weights=False,
    )
    found = read_preprocessing(transform, tower())
    assert (found.mean, found.std) == (MEAN, STD)
    assert (found.interpolation, found.resize_mode) == ("bilinear", "longest")


OWN: dict[str, Any] = {
    "resized, then cropped more": transforms.Compose(
        [transforms.Resize(40), transforms.CenterCrop(32), *NORMALIZE]
    ),
    "not resized": transforms.Compose([transforms.CenterCrop(32), *NORMALIZE]),
    "of v2": v2.Compose(
        [
            v2.ToImage(),
            v2.Resize((32, 32), antialias=True),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    ),
    "nested": transforms.Compose(
        [transforms.Resize((32, 32), transforms.InterpolationMode.NEAREST), transforms.Compose(NORMALIZE)]
    ),
    "not normalised": transforms.Compose([transforms.Resize((20, 32)), transforms.ToTensor()]),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_transform_of_the_users_own_is_kept(kind: str) -> None:
    found = read_preprocessing(OWN[kind], tower())
    if kind == "not normalised":
        assert found == Preprocessing((20, 32), (0, 0, 0), (1, 1, 1), "bilinear", "squash")
    else:
        assert isinstance(found, TransformPreprocessing)
        assert found.size == (32, 32)
    assert agrees(found, OWN[kind])


def test_a_function_is_normalised_as_the_tower_says() -> None:
    def prepare(image: Image.Image) -> torch.Tensor:
        return OWN["resized, then cropped more"](image)

    found = read_preprocessing(prepare, tower(image_mean=MEAN, image_std=STD))
    assert isinstance(found, TransformPreprocessing)
    assert (found.mean, found.std) == (MEAN, STD)
    assert agrees(found, prepare)
    with pytest.raises(ModelError, match=r"no pixels of 0\.\.255 can be won back.* ToTensor and Normalize"):
        read_preprocessing(prepare, tower())


def test_a_function_of_open_clips_usual_normalisation_needs_no_more() -> None:
    """In half precision, too: the levels are found again."""
    usual = open_clip.image_transform(32, is_train=False)
    found = read_preprocessing(lambda image: usual(image).half(), tower())
    assert found == read_preprocessing(usual, tower())


def test_its_facts_tell_transforms_apart() -> None:
    """Code has no identity but what it does: the same in two objects, another where a pixel differs."""

    def cropped(side: int) -> Preprocessing:
        steps = [transforms.Resize(side), transforms.CenterCrop(32), *NORMALIZE]
        return read_preprocessing(transforms.Compose(steps), tower())

    assert cropped(40).facts() == cropped(40).facts()
    assert cropped(40).facts() != cropped(41).facts()
    plain = Preprocessing((32, 32), MEAN, STD)
    assert plain.facts() == {
        "size": (32, 32),
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }


def test_files_are_decoded_in_full_for_it(tmp_path: Any) -> None:
    """A photo that is decoded at half its scale has another centre to cut out."""
    found = read_preprocessing(OWN["not resized"], tower())
    file = tmp_path / "large.jpg"
    file.write_bytes(encoded(picture(1, (800, 600))))
    expected = found.pixels(Image.open(io.BytesIO(file.read_bytes())))
    assert np.array_equal(load_pixels(file, found), expected)
    loaded = list(load_files([ScannedFile(str(file), 0, 0)], found, frozenset(), workers=0))
    assert isinstance(loaded[0], Loaded)
    assert np.array_equal(loaded[0].pixels, expected)
    assert Preprocessing((48, 32), MEAN, STD).decoded_side == 48


def test_an_image_that_it_fails_on_is_left_out(tmp_path: Any) -> None:
    def prepare(image: Image.Image) -> torch.Tensor:
        if image.getpixel((0, 0)) == (0, 0, 255):
            raise ValueError("no blue")
        side = 31 if image.getpixel((0, 0)) == (255, 0, 0) else 32
        return transforms.functional.to_tensor(image.resize((side, 32), Image.Resampling.NEAREST))

    found = read_preprocessing(prepare, tower())
    files = []
    for color in ("blue", "red", "green"):
        Image.new("RGB", (9, 9), color).save(tmp_path / f"{color}.png")
        files.append(ScannedFile(str(tmp_path / f"{color}.png"), 0, 0))
    blue, red, green = load_files(files, found, frozenset(), workers=0)
    assert isinstance(blue, Skipped)
    assert isinstance(red, Skipped)
    assert isinstance(green, Loaded)
    assert blue.reason == "the model's transform fails on it (no blue)"
    assert red.reason == "the model's transform makes [32, 31, 3] of it, expected [32, 32, 3]"


@pytest.mark.slow
def test_worker_processes_use_it(tmp_path: Any) -> None:
    found = read_preprocessing(OWN["resized, then cropped more"], tower())
    files = []
    for i in range(3):
        file = tmp_path / f"{i}.png"
        picture(i).save(file)
        files.append(ScannedFile(str(file), 0, 0))
    loaded = list(load_files(files, found, frozenset(), workers=1))
    assert all(
        isinstance(one, Loaded) and np.array_equal(one.pixels, found.pixels(picture(i)))
        for i, one in enumerate(loaded)
    )
    assert len(loaded) == 3


def test_only_open_clips_preparation_keeps_whole_images() -> None:
    plain = Preprocessing((48, 32), MEAN, STD)
    assert plain.keeps_whole(96, 64)
    assert not plain.keeps_whole(64, 96)
    assert not read_preprocessing(OWN["not resized"], tower()).keeps_whole(32, 32)


REFUSED: dict[str, tuple[Any, str]] = {
    "crops at random": (
        transforms.Compose([transforms.RandomResizedCrop(32), *NORMALIZE]),
        r"draws lots \(it holds RandomResizedCrop\)",
    ),
    "mirrors at random": (
        transforms.Compose([transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(), *NORMALIZE]),
        r"draws lots \(it holds RandomHorizontalFlip\)",
    ),
    "random without saying so": (
        lambda image: NORMALIZE[0](image.resize((32, 32)).rotate(random.randint(0, 99))),
        "draws lots: it makes",
    ),
    "of numpy's dice": (
        lambda image: NORMALIZE[0](image.resize((32, 32)).rotate(np.random.randint(99))),
        "draws lots: it makes",
    ),
    "no cropping": (transforms.Compose([transforms.Resize(32), *NORMALIZE]), "tensors of several shapes"),
    "resized after ToTensor": (
        transforms.Compose([transforms.ToTensor(), transforms.Resize((32, 32)), NORMALIZE[1]]),
        "no pixels of 0..255 can be won back",
    ),
    "an array": (lambda image: np.asarray(image), "gives ndarray, expected a tensor"),
    "one channel": (
        transforms.Compose([transforms.Resize((32, 32)), transforms.Grayscale(), transforms.ToTensor()]),
        r"gives torch.float32 \[1, 32, 32\], expected floats \[3, height, width\]",
    ),
    "not floats": (transforms.PILToTensor(), r"gives torch.uint8"),
    "a failure": (lambda image: 1 / 0, r"fails on an RGB image \(division by zero\)"),
    "no function": ("preprocess", "preprocess is str"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_transforms_are_refused(kind: str) -> None:
    transform, message = REFUSED[kind]
    with pytest.raises(ModelError, match=message):
        read_preprocessing(transform, tower())


def test_the_users_dice_stay_as_they_are() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    def roll(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    roll(7)
    expected = draw()
    roll(7)
    read_preprocessing(OWN["nested"], tower())
    with pytest.raises(ModelError):
        read_preprocessing(REFUSED["random without saying so"][0], tower())
    assert draw() == expected
