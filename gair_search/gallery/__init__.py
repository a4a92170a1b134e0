"""Galleries: the indexed images behind one Qdrant collection, embedded or on a server."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gair_search import paths
from gair_search.errors import GalleryError
from gair_search.gallery.base import (
    Gallery,
    GalleryConfig,
    Hit,
    Point,
    PointId,
    Record,
    SearchRequest,
    as_id,
    leave_out,
)
from gair_search.gallery.filters import Where, parse_where
from gair_search.gallery.options import SearchOptions

if TYPE_CHECKING:
    from gair_search.gallery.attached import AttachedGallery

__all__ = [
    "Gallery",
    "GalleryConfig",
    "Hit",
    "Point",
    "PointId",
    "Record",
    "SearchOptions",
    "SearchRequest",
    "Where",
    "as_id",
    "connect_collection",
    "leave_out",
    "open_gallery",
    "parse_where",
]

DEFAULT_NAME = "photos"


def open_gallery(
    name: str | None = None, db: Path | None = None, url: str | None = None, api_key: str | None = None
) -> Gallery:
    """Open a gallery, or prepare to create it.

    Args:
        name: the collection; `photos` unless given.
        db: folder of an embedded gallery; `GAIR_HOME/galleries/NAME` unless given.
        url: address of a Qdrant server; else `GAIR_URL`; without either the gallery is embedded.
        api_key: of the server; else `GAIR_API_KEY`.

    Raises:
        GalleryError: `GalleryLockedError` where another process holds an embedded one.
    """
    if name and db:
        raise GalleryError(
            "give --db for a folder of your own or --gallery for one under GAIR_HOME, not both"
        )
    name = name or DEFAULT_NAME
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}", name):
        raise GalleryError(f'"{name}" is no name for a gallery: letters, digits, "_", "-" and "." only')
    if url and db:
        raise GalleryError("give --db for an embedded gallery or --url for a server, not both")
    if address := url or (os.environ.get("GAIR_URL") if db is None else None):
        from gair_search.gallery.server import ServerGallery

        return ServerGallery.connect(address, name, api_key or os.environ.get("GAIR_API_KEY"))
    from gair_search.gallery.embedded import EmbeddedGallery

    folder = db or paths.home() / "galleries" / name
    try:
        return EmbeddedGallery(folder.expanduser().absolute())
    except RuntimeError as error:
        raise GalleryError(f"{folder} is no folder: {error}") from error


def connect_collection(
    collection: str,
    vector: str | None = None,
    url: str | None = None,
    api_key: str | None = None,
    other: object = None,
) -> "AttachedGallery":
    """Attach to a collection of a server that gair-search did not make.

    Args:
        collection, vector: as for `AttachedGallery`.
        url, api_key: of the server, as for `open_gallery`.
        other: another gallery that was named, which is one too many.

    Raises:
        GalleryError: no address; or as `AttachedGallery`.
    """
    if other is not None:
        raise GalleryError(
            "give --collection for a collection of others, or --gallery or --db for ours, not both"
        )
    address = url or os.environ.get("GAIR_URL")
    if not address:
        raise GalleryError(
            f"the collection {collection} is on a server: give its address with --url or GAIR_URL"
        )
    from gair_search.gallery.attached import AttachedGallery
    from gair_search.gallery.server import connect, strip_secrets

    key = api_key or os.environ.get("GAIR_API_KEY")
    name = f"{strip_secrets(address)} ({collection})"
    return AttachedGallery(connect(address, key), collection, vector, key, name)
