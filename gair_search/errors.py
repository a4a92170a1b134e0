"""What the library raises: `GairError` and its few children. Only `cli/` prints and exits."""

import os
import unicodedata


class GairError(Exception):
    """Base of every error that gair-search raises on purpose; its text is fit to show to a user."""


class ModelError(GairError):
    """A model is unknown, not on this machine, damaged, or can't do what was asked of it."""


class GeneratorError(ModelError):
    """A generator is missing, doesn't fit the text tower, or can't draw what was asked of it."""


class PromptError(GairError):
    """A prompt can't be read or compiled.

    Attributes:
        prompt: the prompt as it was given.
        position: 0-based place of the fault in `prompt`, or None where the whole prompt is at fault.
    """

    def __init__(self, message: str, prompt: str, position: int | None = None) -> None:
        self.prompt = prompt
        self.position = position
        super().__init__(message if position is None else f"{message}\n{_caret(prompt, position)}")


class ConceptError(GairError):
    """A concept is unknown, ambiguous, damaged, or was learned with another text tower."""


class GairWarning(UserWarning):
    """What a user should know of a search that was answered all the same."""


class TokenWeightError(GairError):
    """Learned token weights are damaged, or were learned with another text tower."""


class FilterError(GairError):
    """A `--where` expression can't be read."""


class ImageError(GairError):
    """An image can't be read or decoded.

    Attributes:
        reason: why, without the path.
        path: of the file, or None where the image came as bytes.
    """

    def __init__(self, reason: str, path: str | os.PathLike[str] | None = None) -> None:
        self.reason = reason
        self.path = None if path is None else os.fspath(path)
        super().__init__(reason if path is None else f"{self.path}: {reason}")


class GalleryError(GairError):
    """A gallery is missing, damaged, unreachable, or refused a request."""


class GalleryLockedError(GalleryError):
    """Another process holds the embedded gallery."""


class DatasetError(GairError):
    """A benchmark's data set is missing, incomplete, or not in its official layout."""


class MissingPackageError(GairError, ImportError):
    """A package of an extra is missing; the text says which extra brings it."""


class EmbedderMismatchError(GalleryError):
    """The gallery's vectors were made by another embedder than the one in use."""


def _caret(prompt: str, position: int) -> str:
    """The prompt's line that holds `position`, and below it a caret under that place."""
    start = prompt.rfind("\n", 0, position) + 1
    line = prompt[start:].split("\n", 1)[0]
    before = line[: position - start]
    columns = sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before
    )
    return f"  {line}\n  {' ' * columns}^"
