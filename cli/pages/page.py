"""Self-contained HTML pages, pictures included: the hits of a search, prompts shaded by token weight, a concept."""

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gair_search.errors import GairError
from gair_search.images.reading import make_thumbnails
from gair_search.paths import write_atomically

if TYPE_CHECKING:
    from gair_search.cli.pages.shading import ShadedGroup
    from gair_search.gair.drawing import GairResult
    from gair_search.gallery import Hit
    from gair_search.query.compiler import Query

THUMBNAIL_SIDE = 360
_SMALL_SIDE = 168
_PICTURES = 4
_CLIPPED = 0.4
"""The cosine from which on an affinity is shown darkest: Perera et al., figure 4."""


def write_page(
    file: Path,
    hits: "list[Hit]",
    model: str,
    gallery: str,
    query: "Query | None" = None,
    image: Path | None = None,
    seen: "GairResult | None" = None,
    note: str | None = None,
) -> None:
    """Write the page of a query, with what GAIR saw, or of an image's likes.

    Raises:
        GairError: the file can't be written.
    """
    pictures = [_inline(data) for data in make_thumbnails([Path(hit.path) for hit in hits], THUMBNAIL_SIDE)]
    asked = _inline(next(make_thumbnails([image], THUMBNAIL_SIDE))) if image else None
    page = _render(
        "page.html.j2",
        title=query.prompt if query else f"like {image}",
        query=query,
        spans=_spans(query) if query else [],
        asked=asked,
        seen=seen,
        candidates=[(one, _drawn(one.images)) for one in seen.candidates] if seen else [],
        notes=[*(seen.warnings if seen else ()), *([note] if note else [])],
        hits=list(zip(hits, pictures, strict=True)),
        best=max((hit.score for hit in hits), default=1.0),
        model=model,
        gallery=gallery,
    )
    _write(file, page)


def write_explanation(file: Path, title: str, lines: Sequence[str], groups: "Sequence[ShadedGroup]") -> None:
    """Write the page of prompts shaded by token weight, by class. Raises GairError, as `write_page`."""
    shown = [
        {
            "name": group.name,
            "images": len(group.images),
            "prompts": group.prompts,
            "pictures": [
                _inline(data)
                for data in make_thumbnails([Path(p) for p in group.images[:_PICTURES]], _SMALL_SIDE)
            ],
        }
        for group in groups
    ]
    _write(file, _render("explain.html.j2", title=title, lines=lines, groups=shown))


def write_concept(
    file: Path, facts: Mapping[str, Any], rows: Mapping[str, str], drawn: Mapping[str, Any]
) -> None:
    """Write the page of a custom token: its facts, how good it is, and where it lies among words.

    Args:
        facts: as `gair concepts show --json` tells them.
        rows: what is to be told line by line.
        drawn: `losses`, pairs of step and held-out loss; where the text tower is at hand, `affinity` (labels, and
            their cosines `[n, n]`) and `norm_range` (lowest and highest norm of the attributes).

    Raises:
        GairError: the file can't be written.
    """
    low, high = drawn.get("norm_range", (0.0, 0.0))
    if facts["quality"]:
        low, high = facts["quality"]["norm_lowest"], facts["quality"]["norm_highest"]
    labels, cosines = drawn.get("affinity", ([], []))
    cells = [[(float(c), min(max(float(c), 0) / _CLIPPED, 1)) for c in row] for row in cosines]
    page = _render(
        "concept.html.j2",
        title=f"<{facts['name']}>",
        facts=facts,
        rows=rows,
        low=low,
        high=high,
        top=1.05 * max([*facts["norms"], high]) or 1,
        labels=labels,
        affinity=list(zip(labels, cells, strict=True)),
        clipped=_CLIPPED,
        losses=drawn["losses"],
        curve=_curve(drawn["losses"]),
        kept=_kept(drawn["losses"], facts["facts"].get("step")),
    )
    _write(file, page)


def _curve(
    losses: Sequence[tuple[int, float]], width: float = 600, height: float = 140
) -> list[tuple[float, float]]:
    """Places of (step, loss) in a picture of that size, the highest loss at its top; [] of fewer than two."""
    steps, values = zip(*losses, strict=True) if len(losses) > 1 else ((), ())
    if not values or steps[0] == steps[-1]:
        return []
    low, span = min(values), max(values) - min(values) or 1
    return [
        (width * (step - steps[0]) / (steps[-1] - steps[0]), height * (1 - (value - low) / span))
        for step, value in losses
    ]


def _kept(losses: Sequence[tuple[int, float]], step: str | None) -> int | None:
    """Which look's vectors a token has: the lowest where its file tells no step; None where no look was then."""
    steps, values = [str(step) for step, _ in losses], [loss for _, loss in losses]
    if step is None and values:
        return values.index(min(values))
    return steps.index(step) if step in steps else None


def _render(template: str, **values: Any) -> str:
    """A page from its template."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gair_search.cli.pages", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = datetime.now().strftime("%Y-%m-%d %H:%M")
    return environment.get_template(template).render(written=written, **values)


def _write(file: Path, page: str) -> None:
    """Write a page. Raises GairError where that can't be."""
    if not file.absolute().parent.is_dir():
        raise GairError(f"the page can't be written to {file}: there is no folder {file.absolute().parent}")
    target = file.resolve()  # what a link points to is written, not the link
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(page.encode())  # a pipe or a terminal can't be replaced
        else:
            write_atomically(target, page.encode())
    except OSError as error:
        raise GairError(f"the page can't be written to {file}: {error.strerror or error}") from error


def _inline(picture: bytes | None) -> str | None:
    """A JPEG as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode() if picture else None


def _drawn(images: Any) -> list[str | None]:
    """Generated images, `[S, height, width, 3]`, as data URLs."""
    from PIL import Image

    urls: list[str | None] = []
    for pixels in images:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=92)
        urls.append(_inline(buffer.getvalue()))
    return urls


def _spans(query: "Query") -> list[tuple[str, float]]:
    """The prompt cut at its spans, each with its token weight; text between them (syntax) has weight 1."""
    places = sorted({(t.start, t.end, t.weight) for t in query.tokens})
    spans: list[tuple[str, float]] = []
    at = 0
    for start, end, weight in places:
        spans.append((query.prompt[at:start], 1.0))
        spans.append((query.prompt[start:end], weight))
        at = end
    return [*spans, (query.prompt[at:], 1.0)]
