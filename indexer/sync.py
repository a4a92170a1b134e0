"""Compare a scan with a gallery: what is unchanged, what must be looked at, what moved, what is missing."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gair_search.gallery import Record
from gair_search.images.fingerprint import point_id
from gair_search.images.folders import Scan, ScannedFile


class Plan(NamedTuple):
    """What an index run has to do.

    Attributes:
        todo: files that are new, or whose size or time of change is not the stored one.
        unchanged: how many files need nothing.
    """

    todo: list[ScannedFile]
    unchanged: int


def plan(files: Sequence[ScannedFile], stored: Mapping[str, Record]) -> Plan:
    """Which files to load; `stored` maps paths to the gallery's records."""
    todo = [file for file in files if not _is_unchanged(file, stored.get(file.path))]
    return Plan(todo, len(files) - len(todo))


def is_of_folders(record: Record) -> bool:
    """Whether a run over folders made this record: its id is that of its path. Others are left alone."""
    payload = record.payload or {}
    path = payload.get("path")
    return (
        isinstance(path, str) and isinstance(payload.get("content_hash"), str) and record.id == point_id(path)
    )


def _is_unchanged(file: ScannedFile, record: Record | None) -> bool:
    """Whether a stat shows the file as it was stored."""
    return record is not None and (record.payload.get("size"), record.payload.get("mtime_ns")) == (
        file.size,
        file.mtime_ns,
    )


def find_missing(stored: Iterable[Record], scan: Scan) -> list[Record]:
    """Stored images at or below the scan's roots whose files are there no more.

    What lies below a folder that could not be read is not gone, only out of sight.
    """
    seen = {file.path for file in scan.files}
    unseen = {skipped.path for skipped in scan.skipped}
    return [
        record
        for record in stored
        if (path := record.payload["path"]) not in seen
        and not os.path.lexists(path)
        and any(_is_below(path, root) for root in scan.roots)
        and not unseen.intersection(_folders_above(path))
    ]


def find_moved(missing: Iterable[Record], live_hashes: set[str]) -> list[Record]:
    """Of the missing images, those whose content lives on at another path.

    The rule needs no memory of which path became which, so it also completes a run that was cut off.
    """
    return [record for record in missing if record.payload.get("content_hash") in live_hashes]


def _folders_above(path: str) -> list[str]:
    """A path's folder, that folder's, and so on."""
    return [str(folder) for folder in Path(path).parents]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
