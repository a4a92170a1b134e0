"""Haystack's filters -> Qdrant's. Imports no Haystack."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from qdrant_client import models

from gair_search.errors import FilterError
from gair_search.gallery.filters import json_path

_SIDES = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_COMPARISONS = ("==", "!=", "in", "not in", *_SIDES)
_EXACT_INTEGER = 2**53
"""Beyond it a double, as which Qdrant compares ranges, has no place for every integer."""


def read_filters(
    filters: Mapping[str, Any] | models.Filter | None, text_field: str | None
) -> models.Filter | None:
    """Haystack's filters as a filter of Qdrant's; one of Qdrant's stays as it is.

    A field is `meta.NAME`, dots for nested objects, or `NAME` alone; `id` is the point's id, and `content` what the
    document's text is made of. Where a field holds a list, one element that fits is enough, as ever in Qdrant. A
    comparison by `>`, `>=`, `<`, `<=` takes a number or an ISO 8601 time, which is in UTC where it names no zone.

    Args:
        filters: `{"operator": "AND", "conditions": [...]}`, with `OR` or `NOT`, or one comparison, as
            `{"field": "meta.price", "operator": "<", "value": 20}`. None and an empty one filter nothing.
        text_field: the payload field of a document's text; the path unless given.

    Raises:
        FilterError: it is no such filter, or compares what can't be compared.
    """
    if filters is None or isinstance(filters, models.Filter):
        return filters
    if not isinstance(filters, Mapping):
        raise FilterError(
            f"filters: expected Haystack's, or a qdrant_client.models.Filter, not {type(filters).__name__}"
        )
    return _read_node(filters, text_field or "path") if filters else None


def _read_node(node: Any, content: str) -> models.Filter:
    """One comparison, or several under one operator."""
    if not isinstance(node, Mapping) or "operator" not in node:
        raise FilterError(
            f'filters: {node!r} is none; expected "operator" with "conditions", or "field", "operator" and "value"'
        )
    if "field" in node:
        return _read_comparison(node, content)
    operator, conditions = node["operator"], node.get("conditions")
    if operator not in ("AND", "OR", "NOT"):
        raise FilterError(f"filters: the operator {operator!r} of several conditions is none of AND, OR, NOT")
    if not isinstance(conditions, Sequence) or isinstance(conditions, str) or not conditions:
        raise FilterError(f'filters: {operator} has no "conditions"; expected a list of one or more')
    parts: list[Any] = [_read_node(condition, content) for condition in conditions]
    if operator == "OR":
        return models.Filter(should=parts)
    both = models.Filter(must=parts)
    return both if operator == "AND" else models.Filter(must_not=[both])


def _read_comparison(node: Mapping[str, Any], content: str) -> models.Filter:
    """One comparison of a field with a value."""
    field, operator = node["field"], node["operator"]
    value: Any = node.get("value")
    if "value" not in node or not isinstance(field, str) or not field.strip():
        raise FilterError(f'filters: {dict(node)!r}: expected "field", "operator" and "value"')
    if operator not in _COMPARISONS:
        raise FilterError(f"filters: {field}: the operator {operator!r} is none of {', '.join(_COMPARISONS)}")
    name = _payload_field(field, content)
    if operator in _SIDES:
        if name is None:
            raise FilterError(f"filters: ids have no order: {field} {operator} {value!r}")
        bounds = _as_range(field, _SIDES[operator], value)
        return models.Filter(must=[models.FieldCondition(key=json_path(name), range=bounds)])
    several = operator in ("in", "not in")
    if several and (isinstance(value, str | Mapping) or not isinstance(value, Sequence | set | frozenset)):
        raise FilterError(f"filters: {field} {operator}: expected a list of values, not {value!r}")
    values = list(value) if several else [value]
    equal = _equals_any(field, name, values)
    return models.Filter(must=[equal]) if operator in ("==", "in") else models.Filter(must_not=[equal])


def _payload_field(field: str, content: str) -> str | None:
    """The payload's field that one of Haystack's documents means; None for the id."""
    if field.startswith("meta."):
        return field.removeprefix("meta.")
    if field in ("score", "embedding", "sparse_embedding", "blob"):
        raise FilterError(f"filters: {field} can't be filtered; a payload field of that name is meta.{field}")
    return None if field == "id" else content if field == "content" else field


def _equals_any(field: str, name: str | None, values: list[Any]) -> Any:
    """What holds where a field, or the id for None, is one of these values; nothing where there are none."""
    if name is None or not values:
        if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            raise FilterError(f"filters: {field}: ids are texts or integers, not {values!r}")
        return models.HasIdCondition(has_id=[_as_point_id(value) for value in values])
    return models.Filter(should=[_equals(field, json_path(name), value) for value in values])


def _as_point_id(value: str | int) -> str | int:
    """An id as the point has it: documents have integers as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _equals(field: str, key: str, value: Any) -> Any:
    """What holds where a field equals a value; None is what is missing, too."""
    if value is None:
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    if isinstance(value, datetime):
        at = _in_utc(value)
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=at, lte=at))
    if isinstance(value, float) or (_is_number(value) and abs(value) < _EXACT_INTEGER):
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    if isinstance(value, bool | str | int):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    raise FilterError(
        f"filters: {field}: {value!r} can't be compared; expected a text, a number, a truth value, a datetime or None"
    )


def _as_range(field: str, side: str, value: Any) -> models.Range | models.DatetimeRange:
    """A range that is open on one side."""
    if _is_number(value):
        return models.Range(**{side: value})
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        at: Any = {side: _in_utc(value)}
        return models.DatetimeRange(**at)
    raise FilterError(f"filters: {field}: expected a number or an ISO 8601 time, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_utc(at: datetime) -> datetime:
    """A time with its zone; without one it is in UTC, as Qdrant has it."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
