"""Find image files: one walk for all, in a stable order, past hidden files, loops and unreadable places.

A file is an image by its suffix. Hidden files and folders, whose names begin with a dot, are left out (a Mac
writes `._photo.jpg` beside each photo on a foreign disk); what is named directly is never hidden. Links are
followed, and a link that leads back to a folder above it is reported, not entered.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gair_search.errors import ConceptError, GairError
from gair_search.images.decoding import SUFFIXES

Identity = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True)
class ScannedFile:
    """An image file by its looks: path, size in bytes, time of change in ns."""

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
        roots: the folders and files that were asked for.
        files: image files, sorted by path within each folder.
        skipped: what could not be entered or looked at.
        other: how many files are no images by their suffix.
    """

    roots: list[str]
    files: list[ScannedFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    other: int = 0


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an image by its suffix, in capitals or not."""
    return os.path.splitext(path)[1].lower() in SUFFIXES


def scan(folders: Sequence[Path]) -> Scan:
    """Find all image files in and below `folders`, by their absolute paths; each counts once.

    Raises:
        GairError: a file is no image by its suffix; a folder does not exist,
            so that a disk that isn't mounted never looks like an empty one.
    """
    found = Scan([os.path.abspath(folder) for folder in folders])
    seen: set[str] = set()
    for root in found.roots:
        if not os.path.exists(root):
            raise GairError(f"{root} does not exist; expected a folder of images, or an image")
        if os.path.isfile(root) and not has_image_suffix(root):
            raise GairError(f"{root} is no image by its suffix; there are {' '.join(sorted(SUFFIXES))}")
        for path in _walk(root, found) if os.path.isdir(root) else iter([root]):
            if path not in seen:
                seen.add(path)
                _inspect_file(path, found)
    return found


def find_photos(places: Sequence[Path]) -> tuple[list[Path], list[Skipped]]:
    """Files as they are, whatever their suffix; folders as the image files right in them, sorted by name.

    Returns:
        the files, and what was passed over.

    Raises:
        ConceptError: a place does not exist.
    """
    files: list[Path] = []
    skipped: list[Skipped] = []
    for place in places:
        if not place.exists():
            raise ConceptError(f"{place} is not there; expected a photo, or a folder of photos")
        if place.is_dir():
            found = _scan_folder(place, deep=False)
            files += [Path(file.path) for file in found.files]
            skipped += found.skipped
        else:
            files.append(place)
    return files, skipped


def class_folders(folder: Path, deep: bool = False) -> tuple[dict[str, list[ScannedFile]], list[Skipped]]:
    """The image files of each folder in `folder`, by that folder's name, sorted; an empty one has none.

    Args:
        deep: whether files further down count, too.

    Returns:
        files by folder, and what was passed over, images that lie in no folder among it.

    Raises:
        GairError: `folder` is none.
    """
    if not folder.is_dir():
        raise GairError(f"{folder} is no folder; expected one that holds a folder of images for each class")
    above = Scan([str(folder)])
    classes: dict[str, list[ScannedFile]] = {}
    for entry in _list_folder(str(folder), above):
        if _is_folder(entry):
            found = _scan_folder(Path(entry.path), deep, (_identity(folder),))
            classes[entry.name] = found.files
            above.skipped += found.skipped
        elif has_image_suffix(entry.path):
            above.skipped.append(Skipped(_printable(entry.path), "it is in no folder of a class"))
    return classes, above.skipped


def _scan_folder(folder: Path, deep: bool, above: tuple[Identity, ...] = ()) -> Scan:
    """The image files of one folder, by paths that begin as its own."""
    found = Scan([str(folder)])
    for path in _walk(str(folder), found, deep, above):
        _inspect_file(path, found)
    return found


def _list_folder(folder: str, found: Scan) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without what is hidden; nothing where it can't be read."""
    try:
        with os.scandir(folder) as listing:
            return sorted((e for e in listing if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        found.skipped.append(Skipped(_printable(folder), f"folder can't be read: {error.strerror}"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: `_inspect_file` reports it
        return False


def _identity(folder: str | os.PathLike[str]) -> Identity:
    """What tells a folder from all others, by whatever path it is reached."""
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _walk(folder: str, found: Scan, deep: bool = True, above: tuple[Identity, ...] = ()) -> Iterator[str]:
    """Paths of all files of a folder, and of the folders below it if `deep`: depth first, sorted by name.

    Args:
        above: the folders that led here.
    """
    identity = _identity(folder)
    if identity in above:
        found.skipped.append(Skipped(_printable(folder), "link to a folder above it (a loop)"))
        return
    for entry in _list_folder(folder, found):
        if not _is_folder(entry):
            yield entry.path
        elif deep:
            yield from _walk(entry.path, found, deep, (*above, identity))


def _inspect_file(path: str, found: Scan) -> None:
    """Add one file to what was found, if its suffix marks an image."""
    if not has_image_suffix(path):
        found.other += 1
        return
    try:
        path.encode("utf-8")
        status = os.stat(path)
    except UnicodeEncodeError:
        found.skipped.append(Skipped(_printable(path), "its name is not valid UTF-8; rename it"))
        return
    except OSError as error:
        found.skipped.append(Skipped(path, f"can't be read: {error.strerror}"))
        return
    if stat.S_ISREG(status.st_mode):
        found.files.append(ScannedFile(path, status.st_size, status.st_mtime_ns))
    else:
        found.skipped.append(Skipped(path, "not a regular file (a pipe, a socket or a device)"))


def _printable(path: str) -> str:
    """A path that can be printed and sent as JSON, whatever bytes its name has."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
