"""What a search can be asked for besides its query."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np

from gair_search.errors import GairError
from gair_search.gallery.base import Gallery, SearchRequest

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


def prepare_search(gallery: Gallery, k: int, **options: Unpack[SearchOptions]) -> SearchRequest:
    """A search that lacks its vector alone, so that a slip in its options is said before anything is computed.

    Raises:
        FilterError: as `Gallery.read_where`. GairError: `k`, the offset or a field is none, or does not go with
        another option.
    """
    offset, group_by = options.get("offset", 0), options.get("group_by")
    with_payload = options.get("with_payload", True)
    if k < 1:
        raise GairError(f"k = {k}: expected a number of hits, 1 or more")
    if offset < 0:
        raise GairError(f"offset {offset}: expected a number of hits to pass over, 0 or more")
    if group_by is not None and (offset or not group_by.strip()):
        raise GairError(f'group_by="{group_by}": expected the name of a payload field, without an offset')
    if isinstance(with_payload, str):
        raise GairError(f'with_payload="{with_payload}": expected True, False or a list of fields')
    return SearchRequest(
        np.empty(0, np.float32),
        k,
        gallery.read_where(options.get("where")),
        options.get("filter"),
        options.get("min_score"),
        offset=offset,
        group_by=group_by,
        with_payload=with_payload,
    )
