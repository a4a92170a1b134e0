"""Where gair-search keeps its things on this machine, and how it writes them."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import platformdirs


def home() -> Path:
    """The data folder: `GAIR_HOME`, else the platform's own place for user data. Not created here."""
    return Path(os.environ.get("GAIR_HOME") or platformdirs.user_data_dir("gair-search")).expanduser()


def write_atomically(path: Path, content: bytes, required: bool = True) -> None:
    """Write a file so that a reader, or a power cut, finds the old content or the new, never a part.

    Raises:
        OSError: where it can't be written and is `required`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)  # the new name, too
    except OSError:
        temporary.unlink(missing_ok=True)
        if required:
            raise


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder that appears whole or not at all: a hidden sibling to fill, renamed at the end.

    Args:
        target: where it shall be; nothing may be there, save an empty folder.

    Raises:
        OSError: it can't be written, or something is at `target` by the end.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that had this one's number
        temporary.mkdir(parents=True)
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in (*files, ""):
                _sync(Path(folder, name))
        temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
