from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models
from support.shop import IDS, PAYLOADS

from gair_search.errors import FilterError
from gair_search.integrations.haystack_filters import read_filters

PRICES = [payload["price"] for payload in PAYLOADS]
TITLES = [payload["title"] for payload in PAYLOADS]


def passing(client: QdrantClient, filters: Any, text_field: str | None = None) -> set[int | str]:
    found, _ = client.scroll("catalogue", read_filters(filters, text_field), limit=100)
    return {point.id for point in found}


def compare(field: str, operator: str, value: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


def join(operator: str, *conditions: object) -> dict[str, object]:
    return {"operator": operator, "conditions": list(conditions)}


def expected(filters: dict[str, Any]) -> set[int | str]:
    """What Haystack itself finds among the documents. Skips where it isn't there."""
    haystack = pytest.importorskip("haystack.utils.filters", reason="needs the extra haystack")
    from haystack import Document

    documents = {i: Document(id=str(i), meta=payload) for i, payload in zip(IDS, PAYLOADS, strict=True)}
    return {i for i, document in documents.items() if haystack.document_matches_filter(filters, document)}


def comparisons() -> st.SearchStrategy[dict[str, object]]:
    values: dict[str, st.SearchStrategy[object]] = {
        "meta.title": st.sampled_from([*TITLES, "none", None]),
        "meta.product.name": st.sampled_from(["Rosa", "Azul", "none", None]),
        "meta.price": st.sampled_from([*PRICES, 20.0, 13, None]),
        "meta.sold": st.sampled_from([True, False, None]),
        "meta.none": st.sampled_from([None, "x"]),
        "id": st.sampled_from([str(i) for i in IDS]),
    }
    kinds: list[st.SearchStrategy[dict[str, object]]] = []
    for field, value in values.items():
        kinds.append(st.builds(compare, st.just(field), st.sampled_from(["==", "!="]), value))
        kinds.append(
            st.builds(compare, st.just(field), st.sampled_from(["in", "not in"]), st.lists(value, max_size=3))
        )
    bound = st.sampled_from([*PRICES, 20.0, 13, -1])
    kinds.append(st.builds(compare, st.just("meta.price"), st.sampled_from([">", ">=", "<", "<="]), bound))
    return st.one_of(kinds)


TREES = st.recursive(
    comparisons(),
    lambda below: (
        st.builds(join, st.sampled_from(["AND", "OR", "NOT"]), below, below)
        | st.builds(join, st.sampled_from(["AND", "OR", "NOT"]), below)
    ),
    max_leaves=6,
)


@given(filters=TREES)
def test_what_passes_is_what_haystack_lets_pass(client: QdrantClient, filters: dict[str, Any]) -> None:
    assert passing(client, filters) == expected(filters)


def test_by_hand(client: QdrantClient) -> None:
    boot = IDS[5]
    for filters, ids in (
        (compare("meta.price", "<", 20), {2, 3}),
        (compare("price", "<=", 20), {0, 2, 3}),
        (compare("meta.price", "==", 20.0), {0}),
        (compare("meta.product.name", "in", ["Rosa", "Azul"]), {0, 1}),
        (compare("meta.title", "not in", TITLES[:4]), {4, boot}),
        (compare("meta.title", "in", []), set()),
        (compare("meta.title", "not in", []), set(IDS)),
        (compare("meta.sold", "==", True), {2}),
        (compare("meta.sold", "!=", True), {0, 1, 3, 4, boot}),
        (compare("meta.sold", "==", None), {0, 1, 4, boot}),
        (compare("meta.tags", "==", "hat"), {2}),
        (compare("id", "==", "3"), {3}),
        (compare("id", "in", [3, boot]), {3, boot}),
        (compare("meta.id", "==", "R-80"), {boot}),
        (compare("meta.score", ">", 4), {boot}),
        (compare("content", "==", "/shop/0.jpg"), {0}),
        (join("OR", compare("meta.price", "<", 10), compare("meta.price", ">", 60)), {3, boot}),
        (join("NOT", compare("meta.price", ">", 10), compare("meta.price", "<", 60)), {3, boot}),
        (join("AND", compare("meta.price", ">", 10), compare("meta.price", "<", 20)), {2}),
        ({}, set(IDS)),
        (None, set(IDS)),
        (models.Filter(must=[models.HasIdCondition(has_id=[4])]), {4}),
    ):
        assert passing(client, filters) == ids, filters
    assert passing(client, compare("content", "==", "Rosa"), "product.name") == {0}


def test_times(client: QdrantClient) -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for at in (
        noon,
        noon.replace(tzinfo=None),
        noon.astimezone(timezone(timedelta(hours=5))),
        "2024-05-01T12:00:00",
    ):
        assert passing(client, compare("meta.made", ">=", at)) == {3, 4}
        assert passing(client, compare("meta.made", ">", at)) == {4}
    assert passing(client, compare("meta.made", "<", "2025-01-01")) == {3}
    (condition,) = read_filters(compare("meta.made", "<", noon.replace(tzinfo=None)), None).must
    assert condition.range.lt.isoformat() == "2024-05-01T12:00:00+00:00"  # whatever the machine's own zone is
    assert passing(client, compare("meta.made", "==", noon)) == {3}
    assert passing(client, compare("meta.made", "==", "2024-05-01T12:00:00Z")) == {3}


def test_integers_that_no_double_has_are_compared_exactly() -> None:
    big = 2**53 + 1
    (either,) = read_filters(compare("meta.ean", "==", big), None).must
    assert either.should[0].match == models.MatchValue(value=big)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("price<20", "expected Haystack's, or a qdrant_client"),
        ({"meta.price": {"$lt": 20}}, '"operator"'),
        ({"field": "meta.price", "operator": "<"}, '"value"'),
        ({"field": 3, "operator": "<", "value": 2}, '"field"'),
        ({"field": "meta.price", "operator": "~", "value": 2}, "none of ==, !=, in, not in, >"),
        (compare("meta.price", "<", "cheap"), "a number or an ISO 8601 time"),
        (compare("meta.price", "<", True), "a number or an ISO 8601 time"),
        (compare("meta.price", "<", None), "a number or an ISO 8601 time"),
        (compare("meta.title", "in", "hat"), "expected a list"),
        (compare("meta.tags", "==", ["hat"]), "can't be compared"),
        (compare("score", ">", 0.5), "meta.score"),
        (compare("id", ">", 3), "no order"),
        (compare("id", "==", 1.5), "ids are texts or integers"),
        (join("XOR", compare("meta.price", "<", 3)), "AND, OR, NOT"),
        (join("AND"), "list of one or more"),
        ({"operator": "AND", "conditions": "x"}, "list of one or more"),
        (join("AND", "price<20"), "'price<20' is none"),
    ],
)
def test_what_is_no_filter_is_refused(filters: Any, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        read_filters(filters, None)
