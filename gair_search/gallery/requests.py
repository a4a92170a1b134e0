"""Searches as `qdrant-client` takes them, and its failures in words: the same for both of its clients."""

import re
from typing import Any

import grpc
from qdrant_client import models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from gair_search.errors import FilterError, GalleryError
from gair_search.gallery.base import Hit, SearchRequest, as_hits
from gair_search.gallery.filters import BoolMatch, Bounds, Condition, Where, json_path

GRPC_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


def search_arguments(
    request: SearchRequest, collection: str, vector: str | None
) -> tuple[str, dict[str, Any]]:
    """A search as the client's method that answers it, and its arguments; `vector`: its name, None for unnamed.

    Raises:
        FilterError: `request.filter` is no filter of the client's.
        GalleryError: grouped hits have no offset.
    """
    shared: dict[str, Any] = {
        "collection_name": collection,
        "query": request.vector.tolist(),
        "using": vector,
        "limit": request.k,
        "query_filter": native_filter(request.where, request.filter),
        "score_threshold": request.min_score,
        "search_params": models.SearchParams(exact=True) if request.exact else None,
        "with_payload": request.payload_selector,
    }
    if request.group_by is None:
        return "query_points", {**shared, "offset": request.offset or None}
    return "query_points_groups", {**shared, "group_by": json_path(request.group_by), "group_size": 1}


def batch_arguments(requests: list[SearchRequest], collection: str, vector: str | None) -> dict[str, Any]:
    """Several searches, none of them grouped, as the arguments of the client's `query_batch_points`."""
    asked = []
    for request in requests:
        _, own = search_arguments(request, collection, vector)
        own.pop("collection_name")
        renamed = {"filter": own.pop("query_filter"), "params": own.pop("search_params")}
        asked.append(models.QueryRequest(**own, **renamed))
    return {"collection_name": collection, "requests": asked}


def read_hits(response: Any) -> list[Hit]:
    """The hits of a response to `search_arguments`; of a group, its best point."""
    if isinstance(response, models.GroupsResult):
        groups = [group for group in response.groups if group.hits]
        return as_hits((group.hits[0] for group in groups), [group.id for group in groups])
    return as_hits(response.points)


def native_filter(where: Where, also: "models.Filter | None" = None) -> models.Filter | None:
    """Conditions that must all hold, and one more filter beside them; None where there is neither.

    Raises:
        FilterError: `also` is no filter of the client's.
    """
    if also is not None and not isinstance(also, models.Filter):
        raise FilterError(
            f"filter: expected a qdrant_client.models.Filter, not {type(also).__name__}; an expression goes to where="
        )
    must: list[Any] = [_field_condition(condition) for condition in where if not condition.negated]
    must_not: list[Any] = [_field_condition(condition) for condition in where if condition.negated]
    if also is not None:
        must.append(also)
    return models.Filter(must=must or None, must_not=must_not or None) if must or must_not else None


def has_field_filter(field: str) -> models.Filter:
    """What passes points with a value in a payload field."""
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=json_path(field)))
    return models.Filter(must_not=[empty])


def _field_condition(condition: Condition) -> models.FieldCondition:
    """One condition of a `where` expression, its negation aside."""
    key = json_path(condition.field)
    if isinstance(condition, Bounds):
        bounds: dict[str, Any] = {side: getattr(condition, side) for side in ("gt", "gte", "lt", "lte")}
        bound = models.DatetimeRange(**bounds) if condition.of_times else models.Range(**bounds)
        return models.FieldCondition(key=key, range=bound)
    if not isinstance(condition, BoolMatch) and condition.contains:
        return models.FieldCondition(key=key, match=models.MatchSubstring(substring=condition.value))
    return models.FieldCondition(key=key, match=models.MatchValue(value=condition.value))


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in (408, 429) or (error.status_code or 0) >= 500
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return error.code() in GRPC_TRANSIENT
    return isinstance(error, ResponseHandlingException | ResourceExhaustedResponse)


def explain_failure(error: Exception, name: str, secret: str | None = None) -> GalleryError:
    """A failed request as an error that says what to do, without the API key.

    Args:
        name: where the collection is.
        secret: the key. Raise the error `from None`: the cause's own text may carry it, too.
    """
    status = error.status_code if isinstance(error, UnexpectedResponse) else None
    code = error.code() if isinstance(error, grpc.RpcError) and hasattr(error, "code") else None
    if status in (401, 403) or code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        reason = "the server refused the API key; check GAIR_API_KEY, or the key of your own client"
    elif isinstance(error, ResponseHandlingException) or code in GRPC_TRANSIENT:
        reason = f"the server could not be reached ({error}); is Qdrant running there?"
    elif status is not None:
        reason = f"the server answered {status}: {_server_message(error)}"
    else:
        reason = str(error) or type(error).__name__
    reason = f"the gallery at {name}: {reason}"
    return GalleryError(reason.replace(secret, "***") if secret else reason)


def _server_message(error: Exception) -> str:
    """The server's own words out of a REST error."""
    content = getattr(error, "content", b"") or b""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    found = re.search(r'"error"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    return found[1] if found else text[:300]
