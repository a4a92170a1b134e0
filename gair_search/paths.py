"""Where gair-search keeps its things on this machine, and how it writes them."""

import os
import threading
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
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)
    except OSError:
        temporary.unlink(missing_ok=True)
        if required:
            raise
