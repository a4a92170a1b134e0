import numpy as np
import pytest

from gair_search.benchmarks.fashion_world import Caption, caption, scene


def test_a_code_has_one_axis_for_each_named_value() -> None:
    from training.codes import CODE_LENGTH, axes, caption_code

    code = caption_code(Caption("", kind="hat", second_color="red"))
    assert np.count_nonzero(code) == 2
    assert code[axes()["kind"].start + 6] == pytest.approx(CODE_LENGTH)
    assert code[axes()["second_color"].start] == pytest.approx(CODE_LENGTH)
    assert not caption_code(Caption("a thing")).any()


def test_axes_do_not_overlap_and_fit() -> None:
    from training.codes import CODE_DIM, axes

    used = [i for span in axes().values() for i in range(span.start, span.stop)]
    assert len(used) == len(set(used)) == 53 <= CODE_DIM


def test_a_full_caption_and_its_scene_name_the_same() -> None:
    from training.codes import ATTRIBUTES, scene_labels

    for seed in range(50):
        one = scene(seed)
        told = caption(one, np.random.default_rng(seed), full=True)
        for index, (name, values) in zip(scene_labels(one), ATTRIBUTES.items(), strict=True):
            assert getattr(told, name) == (values[index] if index >= 0 else None)
