"""Walk folders for image files, in a stable order, past loops and unreadable places."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gair_search.errors import GairError
from gair_search.images.decoding import SUFFIXES


@dataclass(frozen=True)
class ScannedFile:
    """An image file by its looks: absolute path, size in bytes, time of change in ns."""

    path: str
    size: int
    mtime_ns: int


class Skipped(NamedTuple):
    """A file or folder that was passed over, and why."""

    path: str
    reason: str


@dataclass
class Scan:
    """What a walk found.

    Attributes:
        roots: the folders and files that were asked for, absolute.
        files: image files, sorted by path within each folder.
        skipped: what could not be entered or looked at.
        other: how many files are no images by their suffix.
    """

    roots: list[str]
    files: list[ScannedFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    other: int = 0


def scan(folders: Sequence[Path]) -> Scan:
    """Find all image files in and below `folders`; hidden files and folders are left out.

    Links are followed; a link that leads back to a folder above it is reported, not entered.

    Raises:
        GairError: a file is no image by its suffix; a folder does not exist,
            so that a disk that isn't mounted never looks like an empty one.
    """
    found = Scan([os.path.abspath(folder) for folder in folders])
    seen: set[str] = set()
    for root in found.roots:
        if not os.path.exists(root):
            raise GairError(f"{root} does not exist; expected a folder of images, or an image")
        if os.path.isfile(root) and os.path.splitext(root)[1].lower() not in SUFFIXES:
            raise GairError(f"{root} is no image by its suffix; there are {' '.join(sorted(SUFFIXES))}")
        entries = _walk(root, (), found) if os.path.isdir(root) else iter([root])
        for path in entries:
            if path not in seen:
                seen.add(path)
                _look(path, found)
    return found


def _walk(folder: str, above: tuple[tuple[int, int], ...], found: Scan) -> Iterator[str]:
    """Paths of all files below a folder, depth first, sorted by name."""
    try:
        identity = (os.stat(folder).st_dev, os.stat(folder).st_ino)
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        found.skipped.append(Skipped(_shown(folder), f"folder can't be read: {error.strerror}"))
        return
    if identity in above:
        found.skipped.append(Skipped(_shown(folder), "link to a folder above it (a loop)"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link to itself: `_look` says so
            is_folder = False
        if is_folder:
            yield from _walk(entry.path, (*above, identity), found)
        else:
            yield entry.path


def _look(path: str, found: Scan) -> None:
    """Add one file to what was found, if its suffix marks an image."""
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        found.other += 1
        return
    try:
        path.encode("utf-8")
        status = os.stat(path)
    except UnicodeEncodeError:
        found.skipped.append(Skipped(_shown(path), "its name is not valid UTF-8; rename it"))
        return
    except OSError as error:
        found.skipped.append(Skipped(path, f"can't be read: {error.strerror}"))
        return
    if stat.S_ISREG(status.st_mode):
        found.files.append(ScannedFile(path, status.st_size, status.st_mtime_ns))
    else:
        found.skipped.append(Skipped(path, "not a regular file (a pipe, a socket or a device)"))


def _shown(path: str) -> str:
    """A path that can be printed and sent as JSON, whatever bytes its name has."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
