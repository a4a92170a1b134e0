import numpy as np
import open_clip
import pytest
from PIL import Image
from support.photos import picture

from gair_search.images.preprocessing import Preprocessing

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(32, 32), (33, 33), (48, 32), (32, 50)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("given", [(100, 60), (61, 103), (32, 32), (20, 200), (31, 33), (224, 224)])
def test_pixels_equal_open_clips(
    mode: str, size: tuple[int, int], interpolation: str, given: tuple[int, int]
) -> None:
    cfg = open_clip.transform.PreprocessCfg(size, "RGB", MEAN, STD, interpolation, mode, 127)
    oracle = open_clip.transform.image_transform_v2(cfg, is_train=False)
    image = picture(5, given)
    expected = (oracle(image) * 0.5 + 0.5).mul(255).round().byte().permute(1, 2, 0).numpy()
    ours = Preprocessing(size, MEAN, STD, interpolation, mode, 127).pixels(image)
    assert ours.shape == (*size, 3)
    assert np.array_equal(ours, expected)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_strip_is_no_memory_bomb(size: tuple[int, int]) -> None:
    import resource

    strip = Image.new("RGB", size, (10, 20, 30))
    strip.putpixel((size[0] // 2, size[1] // 2), (12, 20, 30))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = Preprocessing((224, 224), MEAN, STD).pixels(strip)
    assert pixels.shape == (224, 224, 3)
    assert abs(int(pixels.mean()) - 20) <= 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
