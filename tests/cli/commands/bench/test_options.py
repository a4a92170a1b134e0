"""How the lists of the tables' options are read."""

import pytest

from gair_search.cli.commands.bench import options as bench
from gair_search.errors import GairError


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (20, 21, 22)), ("1", (20,)), ("0,4", (0, 4)), ("4,", (4,)), ("0,", (0,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert bench.parse_seeds(text) == seeds


def test_shots() -> None:
    assert [bench.parse_shots(text) for text in (None, "5", " 12 ", "all", "All")] == [
        None,
        5,
        12,
        "all",
        "all",
    ]
    for text in ("0", "-1", "", "1,2", "few", "1.5", "²"):
        with pytest.raises(GairError, match="--shots"):
            bench.parse_shots(text)


@pytest.mark.parametrize("text", ["0", "-1", "", ",", "1,1", "-1,2", "one", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(GairError, match="--seeds"):
        bench.parse_seeds(text)


def test_lists_of_pairs_and_loss_weights() -> None:
    assert bench.parse_pairs("red_teapot=teapot, mug = coffee mug", "--parents") == {
        "red_teapot": "teapot",
        "mug": "coffee mug",
    }
    assert bench.parse_pairs(None, "--parents") == {}
    assert bench.parse_loss_weights("0:1, 1:0.1") == ((0.0, 1.0), (1.0, 0.1))
    assert (bench.parse_loss_weights("none"), bench.parse_loss_weights(None)) == ((), None)
    for text in ("", "1", "1:2:3", "a:1", "-1:1", "0:0", "inf:1", "nan:1"):
        with pytest.raises(GairError, match="--loss-weights"):
            bench.parse_loss_weights(text)
    with pytest.raises(GairError, match="--parents teapot: teapot is not of the form"):
        bench.parse_pairs("teapot", "--parents")


@pytest.mark.parametrize(
    ("dataset", "seeds", "limit", "found"),
    [
        ("fashion", None, None, (tuple(range(20, 30)), 6)),
        ("fashion", "7,8", 2, ((7, 8), 2)),
        ("dreambooth", None, None, ((20,), None)),
        ("pervl-deepfashion2", None, None, ((20, 21, 22), None)),
    ],
)
def test_concepts_are_as_many_as_the_protocol_says(
    dataset: str, seeds: str | None, limit: int | None, found: object
) -> None:
    assert bench.concept_counts(dataset, seeds, limit, fashion=(10, 6)) == found
