"""Which models the user chose: galleries and custom tokens may name any, and only these are followed."""

import json
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gair_search import paths
from gair_search.encoder import checksums, models
from gair_search.encoder.identity import EmbedderId, ModelSpec
from gair_search.errors import ModelError

_LOCK_SECONDS = 10.0


def choose_model(name: str | None, stored: EmbedderId | None, namer: str) -> ModelSpec:
    """The model to work with.

    Args:
        name: as the user gives it; by default `GAIR_MODEL`, else the model that the gallery was made with, where
            it is on this machine, else the best one on this machine.
        stored: the gallery's; it may name any model, and is followed as `require_chosen` says.
        namer: the gallery, for the message.

    Raises:
        ModelError: the model is missing, and how to get it; it would have its own code run; the gallery names one
            that was never chosen.
    """
    if chosen := name or os.environ.get("GAIR_MODEL"):
        spec = models.resolve(chosen)
        remember(spec)
        return spec
    if stored is not None:
        require_chosen(stored.name, namer)
        with suppress(ModelError):
            return models.resolve(stored.name)
    return models.resolve(models.default_model())


def remember(spec: ModelSpec) -> None:
    """Note that the user named a model, so that a gallery or a token may name it from now on.

    Only models that are files of their own need it; a home that can't be written is no fault.
    """
    place = _place(spec.name)
    if place is None:
        return
    file = _file()
    with suppress(OSError, Timeout):
        weights = checksums.file_hash(spec.weights_file)
        if _chosen().get(place) == weights:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f"{file.name}.lock"), timeout=_LOCK_SECONDS):
            content = {"models": _chosen() | {place: weights}}
            paths.write_atomically(file, json.dumps(content, indent=1).encode())


def require_chosen(name: str, namer: str) -> None:
    """Check a model's name that came in a file: the model may be followed, or there is none of that name here.

    Followed are the bundled model, open_clip's own tags, the model that `GAIR_MODEL` names, and those that
    the user named before, while their weights are the same.

    Args:
        name: as the file says.
        namer: who says it, for the message, as `the gallery at ./photos`.

    Raises:
        ModelError: it is of none of these kinds.
    """
    if ":" not in name or _is_in_environment(name):
        return
    place = _place(name)
    known = None if place is None else _chosen().get(place)
    if known is None:
        raise ModelError(
            f"{namer} names the model {name}, which you have not used before; if you trust it, name it: "
            f"--model {name}, or GAIR_MODEL"
        )
    try:
        weights = checksums.file_hash(models.resolve(name).weights_file)
    except (ModelError, OSError):
        return  # nothing is there that could be followed
    if weights != known:
        raise ModelError(
            f"{namer} names the model {name}, whose weights have changed since you used it; if you trust them, "
            f"name it: --model {name}, or GAIR_MODEL"
        )


def _is_in_environment(name: str) -> bool:
    """Whether `GAIR_MODEL` names this very model."""
    own = os.environ.get("GAIR_MODEL")
    with suppress(ModelError):
        return name == own or (bool(own) and name == models.resolve(own or "").name)
    return False


def _place(name: str) -> str | None:
    """The real path of a model's folder or file; None for the bundled one, open_clip's tags and what is none."""
    kind, colon, rest = name.partition(":")
    if not colon:
        return None
    try:
        place = models.cached_folder(name) if kind == "hf-hub" else Path(rest).expanduser().absolute()
        return os.path.realpath(place)
    except (ModelError, OSError, ValueError, RuntimeError):  # no path, no such user's home
        return None


def _chosen() -> dict[str, str]:
    """Real path -> hash of the weights; empty where the list is missing or damaged."""
    try:
        content = json.loads(_file().read_text("utf-8"))["models"]
        return {str(place): str(weights) for place, weights in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _file() -> Path:
    return paths.home() / "trusted_models.json"
