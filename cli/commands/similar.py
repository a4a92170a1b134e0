"""`gair similar`: an image into hits."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import options, output


def similar(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file, which need not be indexed.")],
    k: options.K = 10,
    where: options.Where = None,
    min_score: options.MinScore = None,
    offset: options.Offset = 0,
    group_by: options.GroupBy = None,
    html: options.Html = None,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    collection: options.Collection = None,
    vector: options.VectorName = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Find the images that look like an image."""
    with options.open_engine(model, gallery, db, url, device, collection=collection, vector=vector) as engine:
        hits = engine.similar(
            image.expanduser(), k, where=where, min_score=min_score, offset=offset, group_by=group_by
        )
        name = engine.gallery.name
    if html:
        from gair_search.cli.pages.hits import write_hits

        write_hits(html, hits, engine.model, name, image=image)
    if as_json:
        hits_json = [hit.to_json() for hit in hits]
        output.print_json({"image": str(image), "model": engine.model, "gallery": name, "hits": hits_json})
        return
    output.print_hits(hits)
    if html:
        typer.echo(f"page: {html}")
