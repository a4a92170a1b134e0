"""What weights files are: their hashes, and the `SHA256SUMS` of a model folder that they are checked against."""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

from gair_search import paths
from gair_search.errors import ModelError

CHECKSUMS = "SHA256SUMS"
"""A file that a model folder may hold: the SHA-256 of its weights, as `sha256sum` writes it."""

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt")


def file_hash(path: Path) -> str:
    """SHA-256 of a file as hex. Remembered under `GAIR_HOME` by path, size and time of change."""
    real = path.resolve()
    stat = real.stat()
    return _file_hash(str(real), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_hash(path: str, size: int, mtime_ns: int) -> str:
    key = f"{path}|{size}|{mtime_ns}"
    memory = paths.home() / "cache" / "weights.json"
    try:
        known: dict[str, str] = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known:
        known[key] = _read_hash(path, size, mtime_ns)
        paths.write_atomically(memory, json.dumps(known, indent=1).encode(), required=False)
    return known[key]


def read_hash(path: Path) -> str:
    """SHA-256 of a file as hex, which this process has read itself: what `file_hash` remembers may be old.

    Damage that leaves size and time alone shows here alone. A file is read once a process, and again where
    its size or time of change have moved. Raises OSError.
    """
    real = path.resolve()
    stat = real.stat()
    return _read_hash(str(real), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_hash(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, files: Iterable[Path]) -> None:
    """Check files of a model folder against its `SHA256SUMS`, before they are loaded.

    Files that the list doesn't name pass, as all do without a list.

    Args:
        folder: the model folder.
        files: files in it or in its sub-folders.

    Raises:
        ModelError: a file is not what the list says, or the list can't be read.
    """
    expected = _checksums(folder)
    for file in files:
        wanted = expected.get(file.relative_to(folder).as_posix())
        if wanted is None:
            continue
        try:
            actual = read_hash(file)
        except OSError as error:
            raise ModelError(f"{file} can't be read: {error.strerror or error}") from error
        if actual != wanted:
            raise ModelError(
                f"{file} is damaged: its SHA-256 is {actual[:12]}..., and {CHECKSUMS} says {wanted[:12]}... "
                f"Fetch the model again; the bundled one comes with: pip install --force-reinstall gair-search"
            )


def write_checksums(folder: Path) -> Path:
    """Write a model folder's `SHA256SUMS`: all weights files in it and below. `sha256sum -c` reads it, too.

    Returns:
        the written file.

    Raises:
        OSError: it can't be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHT_SUFFIXES and path.is_file())
    lines = [f"{read_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    paths.write_atomically(folder / CHECKSUMS, "".join(lines).encode())
    return folder / CHECKSUMS


def _checksums(folder: Path) -> dict[str, str]:
    """A folder's `SHA256SUMS`: relative path -> hash as lower-case hex; empty where there is none."""
    path = folder / CHECKSUMS
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read: {error}") from error
    found: dict[str, str] = {}
    for line in filter(str.strip, lines):
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if match is None:
            raise ModelError(
                f"{path} can't be read; expected lines of a SHA-256 and a path, found: {line[:80]}"
            )
        found[PurePosixPath(match[2]).as_posix()] = match[1].lower()
    return found
