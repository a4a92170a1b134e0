"""Filters in the form of Qdrant's embedded engine: from `where` conditions, and from the client's own models."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as edge

from gair_search.errors import FilterError
from gair_search.gallery.filters import BoolMatch, Bounds, Condition, Where, json_path

if TYPE_CHECKING:
    from qdrant_client import models

_SIDES = ("gt", "gte", "lt", "lte")
_MATCHES = {
    "MatchValue": "value",
    "MatchText": "text",
    "MatchTextAny": "text_any",
    "MatchPhrase": "phrase",
    "MatchPrefix": "prefix",
    "MatchSubstring": "substring",
    "MatchAny": "any",
    "MatchExcept": "except_",
}


def edge_filter(where: Where, native: "models.Filter | None" = None) -> edge.Filter | None:
    """Conditions that must all hold, and one more filter beside them; None where there is neither.

    Raises:
        FilterError: the filter is none, or holds what the embedded engine does not know.
    """
    must: list[Any] = [_from_condition(condition) for condition in where if not condition.negated]
    must_not: list[Any] = [_from_condition(condition) for condition in where if condition.negated]
    if native is not None:
        must.append(_from_model(native))
    return edge.Filter(must=must or None, must_not=must_not or None) if must or must_not else None


def excluding(base: edge.Filter | None, field: str, values: Collection[str | int]) -> edge.Filter:
    """A filter that passes what `base` passes, has the field, and has none of these values in it."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int)]
    key = json_path(field)
    must_not: list[Any] = [edge.IsEmptyCondition(key)]
    if texts:
        must_not.append(edge.FieldCondition(key, match=edge.MatchAny(texts)))
    if numbers:
        must_not.append(edge.FieldCondition(key, match=edge.MatchAny(numbers)))
    return edge.Filter(must=[base] if base else None, must_not=must_not)


def _from_condition(condition: Condition) -> edge.FieldCondition:
    """One condition of a `where` expression, its negation aside."""
    key = json_path(condition.field)
    if isinstance(condition, Bounds):
        bounds: dict[str, Any] = {side: getattr(condition, side) for side in _SIDES}
        bound = edge.RangeDateTime(**bounds) if condition.of_times else edge.RangeFloat(**bounds)
        return edge.FieldCondition(key, range=bound)
    if isinstance(condition, BoolMatch):
        return edge.FieldCondition(key, match=_match_bool(condition.value))
    match = edge.MatchSubstring if condition.contains else edge.MatchValue
    return edge.FieldCondition(key, match=match(condition.value))


def _from_model(model: Any) -> Any:
    """A condition of the client's models; told by its class's name, so that the client is not imported."""
    name = type(model).__name__
    if name == "Filter":
        least = model.min_should
        return edge.Filter(
            must=_from_models(model.must),
            should=_from_models(model.should),
            must_not=_from_models(model.must_not),
            min_should=edge.MinShould(_from_models(least.conditions) or [], least.min_count)
            if least
            else None,
        )
    if name == "FieldCondition":
        return _from_field_condition(model)
    if name == "IsEmptyCondition":
        return edge.IsEmptyCondition(model.is_empty.key)
    if name == "IsNullCondition":
        return edge.IsNullCondition(model.is_null.key)
    if name == "HasIdCondition":
        return edge.HasIdCondition(set(model.has_id))
    if name == "HasVectorCondition":
        return edge.HasVectorCondition(model.has_vector)
    if name == "NestedCondition":
        return edge.NestedCondition(model.nested.key, _from_model(model.nested.filter))
    raise FilterError(
        f"filter: {name} is nothing that the embedded engine knows; expected a qdrant_client.models.Filter"
    )


def _from_models(conditions: Any) -> list[Any] | None:
    """Conditions as a list; the client's models may hold a single one bare."""
    if conditions is None:
        return None
    return [_from_model(one) for one in (conditions if isinstance(conditions, list) else [conditions])]


def _from_field_condition(model: Any) -> edge.FieldCondition:
    """A condition on a payload field: whatever of it is set."""
    parts: dict[str, Any] = {"is_empty": model.is_empty, "is_null": model.is_null}
    if (match := model.match) is not None:
        name = type(match).__name__
        value = getattr(match, _MATCHES[name])
        parts["match"] = _match_bool(value) if isinstance(value, bool) else getattr(edge, name)(value)
    if (bounds := model.range) is not None:
        sides = {side: getattr(bounds, side) for side in _SIDES}
        times = type(bounds).__name__ == "DatetimeRange"
        if times:
            sides = {side: at if at is None else at.isoformat() for side, at in sides.items()}
        parts["range"] = edge.RangeDateTime(**sides) if times else edge.RangeFloat(**sides)
    if (count := model.values_count) is not None:
        parts["values_count"] = edge.ValuesCount(**{side: getattr(count, side) for side in _SIDES})
    if (box := model.geo_bounding_box) is not None:
        parts["geo_bounding_box"] = edge.GeoBoundingBox(_place(box.top_left), _place(box.bottom_right))
    if (circle := model.geo_radius) is not None:
        parts["geo_radius"] = edge.GeoRadius(_place(circle.center), circle.radius)
    if (polygon := model.geo_polygon) is not None:
        rings = [
            [_place(point) for point in ring.points]
            for ring in (polygon.exterior, *(polygon.interiors or ()))
        ]
        parts["geo_polygon"] = edge.GeoPolygon(rings[0], rings[1:] or None)
    return edge.FieldCondition(model.key, **parts)


def _match_bool(value: bool) -> edge.MatchValue:
    """A match of a truth value. The engine takes Python's own for an integer, and numpy's for what it is."""
    return edge.MatchValue(np.bool_(value))  # type: ignore[arg-type]


def _place(point: Any) -> edge.GeoPoint:
    return edge.GeoPoint(lon=point.lon, lat=point.lat)
