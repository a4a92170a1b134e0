"""Points of a gallery of three dimensions."""

import uuid

import numpy as np

from gair_search.encoder.identity import EmbedderId
from gair_search.gallery.base import Point

EMBEDDER = EmbedderId("gair-mini", "arch", "aaaa", "pppp", 3)


def point(i: int, vector: list[float], **payload: object) -> Point:
    """Point number `i` at `/photos/i.jpg`."""
    facts = {
        "path": f"/photos/{i}.jpg",
        "size": i,
        "mtime_ns": 1_795_331_080_749_513_144 + i,
        "content_hash": f"{i:x}",
    }
    return Point(str(uuid.UUID(int=i + 1)), np.array(vector, np.float32), facts | payload)
