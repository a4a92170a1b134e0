"""`gair similar`: an image into hits."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import common


def similar(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file, indexed or not.")],
    k: common.K = 10,
    where: common.Where = None,
    min_score: common.MinScore = None,
    html: common.Html = None,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    as_json: common.Json = False,
) -> None:
    """Find the images that look like an image."""
    with common.open_engine(model, gallery, db, url, device) as engine:
        hits = engine.similar(image, k, where=where, min_score=min_score)
        name = engine.gallery.name
    if html:
        from gair_search.cli.pages.page import write_page

        write_page(html, hits, engine.model, name, image=image)
    if as_json:
        found = [hit.to_json() for hit in hits]
        common.print_json({"image": str(image), "model": engine.model, "gallery": name, "hits": found})
        return
    common.print_hits(hits)
    if html:
        typer.echo(f"page: {html}")
