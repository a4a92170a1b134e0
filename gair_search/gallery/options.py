"""What a search can be asked for besides its query."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from qdrant_client import models


class SearchOptions(TypedDict, total=False):
    """Options of every search.

    Attributes:
        where: filter on payload fields as text, see `gallery.filters.parse_where`.
        filter: one more, as a `qdrant_client.models.Filter`; both must hold.
        min_score: lowest score to return: a cosine similarity, in -1..1, unless the collection's distance is Dot.
        offset: so many of the best hits are passed over.
        group_by: payload field; of the points with the same value in it the best one is returned, and `k` is the
            number of groups.
        with_payload: whether hits have their payload; or which fields of it.
    """

    where: str | None
    filter: "models.Filter | None"
    min_score: float | None
    offset: int
    group_by: str | None
    with_payload: bool | Sequence[str]
