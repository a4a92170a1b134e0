"""Values within a payload, by the names of its fields."""

from collections.abc import Mapping, Sequence
from typing import Any


def values_at(payload: Mapping[str, Any], field: str) -> list[str | int]:
    """The texts and integers that a payload has in a field; several where it is a list.

    Args:
        payload: JSON values.
        field: its name, with dots for nested objects, `[]` or nothing for the elements of a list.
    """
    found: list[Any] = [payload]
    for step in field.split("."):
        name = step.removesuffix("[]")
        found = [one[name] for one in found if isinstance(one, Mapping) and name in one]
        found = [element for one in found for element in (one if isinstance(one, list) else [one])]
    return [one for one in found if isinstance(one, str | int) and not isinstance(one, bool)]


def pick_fields(payload: Mapping[str, Any], chosen: bool | Sequence[str]) -> Mapping[str, Any]:
    """A payload's chosen top-level fields: all, none, or those that are named."""
    if isinstance(chosen, bool):
        return payload if chosen else {}
    return {key: value for key, value in payload.items() if key in chosen}
