"""Model folders as data: what in them would have a stranger's code run is refused before anything is loaded.

Libraries take code out of a model folder where its JSON files tell them to. So every JSON file of a folder is
searched, whoever reads it later; and while a model is loaded, the libraries ask nobody and fetch nothing.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gair_search.errors import ModelError

MAX_BYTES = 64 << 20
"""Of a JSON file; the largest tokenizers take some 35 MB."""

MAX_FILES = 1000
"""JSON files of a model folder."""

MAX_DEPTH = 64
"""Levels of nesting in a JSON file."""

_SHOWN = 80  # characters of a value in a message
_NAMES_CODE = ("auto_map", "custom_pipeline", "custom_pipelines")
_KERNELS = ("attn_implementation", "experts_implementation")  # may name a repository of compiled code
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack")
_PARTS = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
_PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline",
    "LatentConsistencyModelPipeline",
)
_CLASSES = {
    "diffusers": ("UNet2DConditionModel", "AutoencoderKL"),
    "transformers": (
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
        "CLIPTokenizer",
        "CLIPTokenizerFast",
        "CLIPImageProcessor",
        "CLIPFeatureExtractor",
        "CLIPVisionModelWithProjection",
    ),
    "stable_diffusion": ("StableDiffusionSafetyChecker",),  # as all of Stable Diffusion 1.x name it
}
_LOADING = threading.RLock()


def check_folder(folder: Path) -> None:
    """Search every JSON file of a model folder and its sub-folders for what would have code run.

    Raises:
        ModelError: a file asks for code (`trust_remote_code`, `auto_map`, a custom pipeline, a kernel or an image
            tower of the hub), can't be read, or is out of bounds.
    """
    for file in _json_files(folder):
        if file.name.lower() != "vocab.json":  # its keys are pieces of words
            _check(file, _content(file))


def check_generator(folder: Path) -> None:
    """`check_folder`, and what else a generator in diffusers' layout can bring along.

    Raises:
        ModelError: as `check_folder`; `model_index.json` names a class that is not one of Stable Diffusion's; a
            part has Python files, or its weights are pickles alone.
    """
    check_folder(folder)
    index = folder / "model_index.json"
    if index.is_file():
        _check_index(index, _content(index))
    for part in (folder / name for name in _PARTS if (folder / name).is_dir()):
        files = sorted(path for path in part.rglob("*") if path.is_file())
        if code := [path for path in files if path.suffix.lower() in (".py", ".pyc", ".so")]:
            raise ModelError(
                f"{code[0]} is a program, and no code of a model is run; expected JSON and safetensors"
            )
        pickles = [path for path in files if path.suffix.lower() in _PICKLES]
        if pickles and not any(path.suffix.lower() == ".safetensors" for path in files):
            raise ModelError(
                f"{pickles[0]} is a pickle, which can hold code; expected weights as .safetensors"
            )


def check_named(name: Any, model: str) -> None:
    """Check a tower or tokenizer that a model's config names, in Hugging Face's cache or in a folder.

    Args:
        name: `hf_model_name` or `hf_tokenizer_name`.
        model: the model's name, for messages.

    Raises:
        ModelError: it is not on this machine; as `check_folder`.
    """
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(name, str):
        raise ModelError(f"{model} names {name!r}, expected a repository of Hugging Face's hub")
    if os.path.isdir(name):  # noqa: PTH112 - a name may hold what no path can, and then isn't one
        return check_folder(Path(name))
    for file in ("tokenizer_config.json", "tokenizer.json", "config.json"):
        try:
            found = try_to_load_from_cache(name, file)
        except ValueError as error:
            raise ModelError(f"{model} names {name!r}, which is no repository: {error}") from error
        if isinstance(found, str) and not os.path.isfile(name):  # noqa: PTH113 - as above
            return check_folder(Path(found).parent)
    raise ModelError(
        f"{model} needs {name} of Hugging Face's hub, which is not on this machine; "
        f"get it with: gair models pull {model}"
    )


@contextlib.contextmanager
def nothing_run(offline: bool = True) -> Iterator[None]:
    """While a model is loaded: transformers asks nobody whether to run code, torch unpickles tensors alone.

    Args:
        offline: nothing is fetched from Hugging Face's hub, either.
    """
    from huggingface_hub import constants
    from transformers import dynamic_module_utils

    forced, unforced = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    with _LOADING:  # what is set here holds for all threads
        before = constants.HF_HUB_OFFLINE, dynamic_module_utils.TIME_OUT_REMOTE_CODE
        environment = {name: os.environ.pop(name, None) for name in (forced, unforced)}
        constants.HF_HUB_OFFLINE = offline or before[0]
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # no time to answer: refused without a question
        # open_clip loads again without `weights_only` where a pickle raises a TypeError
        os.environ[forced] = "1"
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE, dynamic_module_utils.TIME_OUT_REMOTE_CODE = before
            del os.environ[forced]
            os.environ.update({name: value for name, value in environment.items() if value is not None})


def _json_files(folder: Path) -> Iterator[Path]:
    """The JSON files of a folder, below links, too. Raises ModelError where there are too many."""
    seen: set[str] = set()
    count = 0
    for current, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:  # a link that leads back
            below.clear()
            continue
        seen.add(real)
        below.sort()
        for name in sorted(files):
            if name.lower().endswith(".json"):
                count += 1
                if count > MAX_FILES:
                    raise ModelError(
                        f"{folder} holds more than {MAX_FILES} JSON files; expected a model's folder"
                    )
                yield Path(current, name)


def _content(file: Path) -> Any:
    """A JSON file's content. Raises ModelError where it can't be read, or is too large or too deep."""
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise ModelError(f"{file} has {size} bytes; expected {MAX_BYTES} at most")
        return json.loads(file.read_text("utf-8"))
    except RecursionError:
        raise ModelError(f"{file} is nested too deeply; expected {MAX_DEPTH} levels at most") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} can't be read: {error}") from error


def _check(file: Path, content: Any) -> None:
    """Raise ModelError where a field, however deep, asks for code."""
    left: list[tuple[str, int, Any]] = [("", 0, content)]
    while left:
        where, depth, value = left.pop()
        if depth > MAX_DEPTH:
            raise ModelError(f"{file} is nested too deeply; expected {MAX_DEPTH} levels at most")
        if isinstance(value, list):
            left += [
                (f"{where}[{i}]", depth + 1, one)
                for i, one in enumerate(value)
                if isinstance(one, dict | list)
            ]
        elif isinstance(value, dict):
            for key, own in value.items():
                if expected := _expected(key, own):
                    raise _refused(file, f"{where}.{key}".lstrip("."), own, expected)
                pieces = key == "vocab" and file.name.lower() == "tokenizer.json"
                if isinstance(own, dict | list) and not pieces:
                    left.append((f"{where}.{key}".lstrip("."), depth + 1, own))


def _expected(key: str, value: Any) -> str:
    """What a field should be that would have code run; "" where it is harmless."""
    if key == "trust_remote_code":
        return "false or nothing" if value else ""
    if key in _NAMES_CODE:
        return "no such field"
    if key == "timm_model_name":  # timm looks into folders and the hub
        return "an architecture of timm" if ":" in str(value) else ""
    if key.endswith(_KERNELS):
        return "one of transformers' own, as sdpa" if "/" in json.dumps(value) else ""
    return ""


def _check_index(file: Path, content: Any) -> None:
    """Raise ModelError where `model_index.json` names a class that is not one of Stable Diffusion's."""
    if not isinstance(content, Mapping):
        raise ModelError(f"{file} can't be read: expected an object")
    for key, value in content.items():
        if key == "_class_name":
            if value not in _PIPELINES:
                raise _refused(file, key, value, f"one of {', '.join(_PIPELINES)}")
        elif not key.startswith("_") and isinstance(value, list | dict) and not _is_known(value):
            raise _refused(
                file, key, value, "a library, diffusers or transformers, and a class of Stable Diffusion's"
            )


def _is_known(entry: Any) -> bool:
    """Whether an entry of `model_index.json` is nothing, or one of Stable Diffusion's own classes."""
    if entry == [None, None]:
        return True
    if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(one, str) for one in entry)):
        return False
    library, name = entry
    scheduler = library == "diffusers" and name.endswith("Scheduler") and name.isidentifier()
    return scheduler or name in _CLASSES.get(library, ())


def _refused(file: Path, field: str, value: Any, expected: str) -> ModelError:
    shown = json.dumps(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    field = "".join(char if char.isprintable() else "?" for char in field[-2 * _SHOWN :])
    return ModelError(f"{file}: {field} is {shown}, expected {expected}; no code of a model is ever run")
