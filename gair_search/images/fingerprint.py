"""What a file is known by: its content's hash, and the id of its point."""

import hashlib
import uuid


def content_hash(data: bytes) -> str:
    """BLAKE2b of a file's bytes, 128 bits as hex: equal for renamed and duplicate files."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def point_id(path: str) -> str:
    """The point's id: a UUID made from the absolute path, so that indexing twice stores once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "file://" + path))
