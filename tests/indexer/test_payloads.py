import uuid
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from gair_search.errors import GairError
from gair_search.indexer.payloads import PayloadError, copy_payload, is_same_payload, normalize_id

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (0, 0),
        (2**64 - 1, 2**64 - 1),
        (np.uint8(7), 7),
        (UUID, str(UUID)),
        (str(UUID), str(UUID)),
        (str(UUID).upper(), str(UUID)),
        (UUID.hex, str(UUID)),
        (UUID.urn, str(UUID)),
    ],
)
def test_ids(given: object, stored: int | str) -> None:
    normal = normalize_id(given)
    assert (normal, type(normal)) == (stored, type(stored))


@pytest.mark.parametrize("given", [-1, 2**64, True, 1.0, None, b"1", (1,), np.float32(1)])
def test_other_ids_are_refused(given: object) -> None:
    with pytest.raises(GairError, match="expected an integer"):
        normalize_id(given)


@pytest.mark.parametrize("given", ["photo-1.jpg", "", "7", "x" * 1000])
def test_other_texts_are_told_how_to_become_an_id(given: str) -> None:
    with pytest.raises(GairError, match=r"uuid\.uuid5\(uuid\.NAMESPACE_URL") as caught:
        normalize_id(given)
    assert len(str(caught.value)) < 350


def test_payloads_are_copied_as_json_has_them() -> None:
    inner = [1, 2]
    given = MappingProxyType({"a": inner, "b": (1.5, None, True), "c": {"d": "é\0"}, "": {}})
    copied = copy_payload(given)
    assert copied == {"a": [1, 2], "b": [1.5, None, True], "c": {"d": "é\0"}, "": {}}
    inner.append(3)
    assert copied["a"] == [1, 2]
    numbers = copy_payload({"x": np.float64(0.5), "most": 2**64 - 1, "least": -(2**63)})
    assert numbers == {"x": 0.5, "most": 2**64 - 1, "least": -(2**63)}
    assert type(numbers["x"]) is float


def deep(n: int) -> Any:
    """`n` lists within each other."""
    value: Any = []
    for _ in range(n - 1):
        value = [value]
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def doubled(n: int) -> list[Any]:
    """Few objects that are 2**n values."""
    value: list[Any] = []
    for _ in range(n):
        value = [value, value]
    return value


def test_depth_is_bounded() -> None:
    assert copy_payload({"a": deep(31)}) == {"a": deep(31)}
    assert copy_payload({"a": [[[1]]]}) == {"a": [[[1]]]}
    for value in (deep(32), deep(5000), endless()):
        with pytest.raises(PayloadError, match="deeper than 32"):
            copy_payload({"a": value})


def test_size_is_bounded() -> None:
    assert len(copy_payload({"a": [0] * 99_998})["a"]) == 99_998
    for value in ([0] * 99_999, doubled(30)):
        with pytest.raises(PayloadError, match="more than 100,000 values"):
            copy_payload({"a": value})


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, "type NoneType; expected a mapping"),
        ([("a", 1)], "type list"),
        ({1: "a"}, "key 1; expected text"),
        ({"a": {None: 1}}, "key None"),
        ({"a": [0, {"b": float("nan")}]}, r"'a\[1\]\.b' is nan"),
        ({"a": float("-inf")}, "'a' is -inf"),
        ({"a": np.float64("inf")}, "'a' is inf"),
        ({"a": 2**64}, "64 bits"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ({"a": np.int64(1)}, "type int64"),
        ({"a": np.zeros(2)}, "type ndarray"),
        ({"a": b"x"}, "type bytes"),
        ({"a": {1, 2}}, "type set"),
        ({"a": "\ud800"}, "'a' holds text that UTF-8"),
        ({"\ud800": 1}, "UTF-8"),
        ({"x" * 1000: b""}, "type bytes"),
    ],
)
def test_other_payloads_are_refused_with_the_place(payload: Any, said: str) -> None:
    with pytest.raises(PayloadError, match=said) as caught:
        copy_payload(payload)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()


def test_which_payloads_are_the_same() -> None:
    assert is_same_payload({"a": 1, "b": [None]}, {"b": [None], "a": 1})
    for other in ({"a": 1.0}, {"a": True}, {"a": "1"}, {}, {"a": 1, "b": None}):
        assert not is_same_payload({"a": 1}, other)
