"""The page of a search: its query, what GAIR drew for it, and the hits."""

from pathlib import Path
from typing import TYPE_CHECKING

from gair_search.cli.pages.html import photo_urls, pixel_urls, write_page

if TYPE_CHECKING:
    from gair_search.gair.result import GairResult
    from gair_search.gallery import Hit
    from gair_search.query.compiler import Query


def write_hits(
    file: Path,
    hits: "list[Hit]",
    model: str,
    gallery: str,
    query: "Query | None" = None,
    image: Path | None = None,
    result: "GairResult | None" = None,
    note: str | None = None,
) -> None:
    """Write the page of a query, with what GAIR drew, or of an image's likes.

    Raises:
        GairError: the file can't be written.
    """
    write_page(
        file,
        "hits.html.j2",
        title=query.prompt if query else f"like {image}",
        query=query,
        spans=_weighted_spans(query) if query else [],
        asked=photo_urls([image])[0] if image else None,
        result=result,
        candidates=[(one, pixel_urls(one.images)) for one in result.candidates] if result else [],
        notes=[*(result.warnings if result else ()), *([note] if note else [])],
        hits=list(zip(hits, photo_urls(hit.path for hit in hits), strict=True)),
        best=max((hit.score for hit in hits), default=1.0),
        model=model,
        gallery=gallery,
    )


def _weighted_spans(query: "Query") -> list[tuple[str, float]]:
    """The prompt cut at its spans, each with its token weight; text between them (syntax) has weight 1."""
    places = sorted({(token.start, token.end, token.weight) for token in query.tokens})
    spans: list[tuple[str, float]] = []
    end_of_last = 0
    for start, end, weight in places:
        spans.append((query.prompt[end_of_last:start], 1.0))
        spans.append((query.prompt[start:end], weight))
        end_of_last = end
    return [*spans, (query.prompt[end_of_last:], 1.0)]
