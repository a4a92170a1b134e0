"""Settings that suit a model, out of its own folder."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, get_args, get_type_hints

from gair_search.encoder.identity import ModelSpec
from gair_search.errors import ModelError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")


def read_model_settings(spec: ModelSpec, file: str, default: S) -> S:
    """Settings that suit a model, found by measurement: a JSON file of its own folder.

    Args:
        spec: the model.
        file: name of the file; an object of some of the settings.
        default: all settings, a dataclass: those that the file leaves out, or all where there is no file.

    Raises:
        ModelError: the file can't be read, or has a setting that there isn't, or one of another type.
    """
    path = spec.folder / file if spec.folder else None
    if path is None or not path.exists():
        return default
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("expected an object")
        kinds = get_type_hints(type(default))
        if unknown := sorted(found.keys() - kinds):
            raise ValueError(f"{unknown[0]} is no setting; there are: {', '.join(kinds)}")
        for name, value in found.items():
            allowed = get_args(kinds[name]) or (kinds[name],)
            if type(value) not in allowed and not (type(value) is int and float in allowed):
                expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
                raise ValueError(f"{name} is {json.dumps(value)}, expected {expected}")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no file of learning settings: {error}") from error
    return replace(default, **found)
