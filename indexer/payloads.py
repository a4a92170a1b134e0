"""What the id and the payload of an item may be, and both in the form in which they are stored."""

import json
import math
import operator
import uuid
from collections.abc import Mapping
from typing import Any

from gair_search.errors import GairError

MAX_DEPTH = 32
"""Lists and objects within each other, the payload itself among them."""

MAX_VALUES = 100_000
"""Values in one payload, at all depths together."""


class PayloadError(GairError):
    """A payload holds something that is no JSON value."""


def normalize_id(given: Any) -> int | str:
    """A point's id as Qdrant has it: an unsigned integer of 64 bits, or the text of a UUID.

    Raises:
        GairError: it is neither.
    """
    if isinstance(given, uuid.UUID):
        return str(given)
    if isinstance(given, str):
        try:
            return str(uuid.UUID(given))
        except ValueError:
            raise GairError(
                f"the id {_show(given)} is no UUID. An id is an integer in 0..2**64-1 or a UUID; other names become "
                f"one with str(uuid.uuid5(uuid.NAMESPACE_URL, name)), always the same for the same name"
            ) from None
    if not isinstance(given, bool) and hasattr(given, "__index__"):
        number = operator.index(given)
        if 0 <= number < 1 << 64:
            return number
    raise GairError(f"the id {_show(given)} is none: expected an integer in 0..2**64-1, or a UUID")


def copy_payload(payload: Any) -> dict[str, Any]:
    """A payload as JSON has it, apart from its owner: tuples become lists, mappings dicts.

    Raises:
        PayloadError: it is no mapping with text as keys, or holds something that is no JSON value (NaN, infinities
            and integers of more than 64 bits are none), or is too deep or too large; naming the place.
    """
    if not isinstance(payload, Mapping):
        raise PayloadError(f"the payload is of type {type(payload).__name__}; expected a mapping")
    copied: dict[str, Any] = _Copier().copy(payload, "", 1)
    return copied


def is_same_payload(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two payloads are the same as JSON, where 1, 1.0 and true are three values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class _Copier:
    """Copies one payload, counting its values."""

    def __init__(self) -> None:
        self.values = 0

    def copy(self, value: Any, place: str, depth: int) -> Any:
        """A JSON value at a place as `a.b[0]`."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise PayloadError(f"the payload holds more than {MAX_VALUES:,} values")
        if depth > MAX_DEPTH and isinstance(value, list | tuple | Mapping):
            raise PayloadError(f"the payload is deeper than {MAX_DEPTH} at {_show(place)}")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _check_text(value, place)
        if isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 64:
                raise PayloadError(f"the payload at {_show(place)} is an integer of more than 64 bits")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise PayloadError(f"the payload at {_show(place)} is {value}; expected a finite number")
            return float(value)
        if isinstance(value, list | tuple):
            return [self.copy(part, f"{place}[{i}]", depth + 1) for i, part in enumerate(value)]
        if isinstance(value, Mapping):
            return {
                self._check_key(key, place): self.copy(part, f"{place}.{key}".lstrip("."), depth + 1)
                for key, part in value.items()
            }
        raise PayloadError(
            f"the payload at {_show(place)} is of type {type(value).__name__}; expected text, a finite number, true, "
            f"false, None, or lists and mappings of them"
        )

    @staticmethod
    def _check_key(key: Any, place: str) -> str:
        if not isinstance(key, str):
            raise PayloadError(f"the payload has the key {_show(key)}; expected text")
        return _check_text(key, place)


def _check_text(text: str, place: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PayloadError(f"the payload at {_show(place)} holds text that UTF-8 can't write") from None
    return str(text)


def _show(value: Any) -> str:
    """A value in a message: what repr says, not too long."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
