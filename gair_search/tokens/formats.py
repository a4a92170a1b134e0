"""Custom tokens in the files of other programs: diffusers and the Stable Diffusion web UIs.

| file | holds |
|---|---|
| diffusers' `.safetensors`, ours | one tensor, its key is the placeholder: `<my-dress>` |
| diffusers' `.bin` | the same as a pickled dict |
| web UI's `.safetensors` | one tensor under `emb_params`; the concept is called as the file |
| web UI's `.pt` | a pickled dict: `string_to_param: {"*": tensor}`, `name`, `step` |

Our facts travel along in each: as safetensors' string metadata, in a `.pt` under `gair_search`. Sources:
`loaders/textual_inversion.py` of diffusers; `modules/textual_inversion/textual_inversion.py` and
`modules/safe.py` of AUTOMATIC1111's web UI. torch is imported inside the functions.

Pickles can run code. They are read by `torch.load(weights_only=True)` and by nothing else.
"""

import contextlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gair_search.errors import ConceptError
from gair_search.paths import write_atomically
from gair_search.tokens.custom_token import (
    FORMAT,
    MAX_VECTORS,
    CustomToken,
    is_name,
    split_metadata,
)

Format = Literal["diffusers", "webui"]
"""Whose file is written."""

MAX_BYTES = 64 * 2**20
"""Largest file that is read: 75 vectors of width 4096 in float64 take 2.5 MB."""

EXPECTED = (
    "a custom token's .safetensors, .pt or .bin, as diffusers, the web UIs or gair concepts export write it"
)
"""What `read_token` takes, for messages."""

_WEBUI_KEY = "emb_params"
_GENERIC_KEYS = (_WEBUI_KEY, "*")  # these name no concept
_TWO_TOWERS = ("clip_l", "clip_g", "text_encoders_0", "text_encoders_1")
_FACTS_KEY = "gair_search"
_WEBUI_FACTS = ("step", "sd_checkpoint", "sd_checkpoint_name")
_BEGINNINGS = (
    (b"\x89PNG", "a PNG image (a web UI can hide tokens in these; save it as .pt there)"),
    (b"RIFF", "an image or a sound"),
    (b"\xff\xd8", "a JPEG image"),
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself; fetch it with: git lfs pull"),
    (b"<", "a web page or XML, as a download that went wrong leaves"),
    (b"{", "JSON"),
    (b"\x1f\x8b", "a gzip archive"),
)


@dataclass(frozen=True)
class _Contents:
    """What a file holds, not yet checked.

    Attributes:
        tensors: torch tensors by key.
        metadata: the strings that go with them.
        name: the concept's name where it isn't the key.
    """

    tensors: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None


def read_token(path: Path, name: str | None = None) -> CustomToken:
    """Read a custom token from a file of ours, of diffusers' or of a web UI's. Nothing in it is run.

    The content tells the format, not the file's name.

    Args:
        path: the file, at most 64 MB.
        name: what to call the concept, with or without `<>`; by default as the file says, else as the file is
            called. Where a file holds several tokens, the key of the one to take.

    Returns:
        the token in float32, whatever the file's precision; `text_tower` is "" where the file doesn't say
        which text tower it belongs to.

    Raises:
        ConceptError: what was found, what was expected, and what to do.
    """
    wanted = name.removeprefix("<").removesuffix(">") if name is not None else None
    if wanted is not None and not is_name(wanted):
        raise ConceptError(
            f'"{name}" is no name for a concept: letters, digits, "_", "-" and "." only, as in my-dress'
        )
    contents = _contents(path)
    key = _key(path, contents.tensors, wanted)
    vectors = _vectors(path, key, contents.tensors[key])
    own: dict[str, str] = {}
    facts = dict(contents.metadata)
    if facts.get("format") == FORMAT:  # others may mean something else by our fields' names
        own, facts = split_metadata(facts)
        facts.pop("name", None)
    facts.pop("format", None)
    return CustomToken(
        wanted or _name(path, key, contents.name), vectors, own.pop("text_tower", ""), **own, facts=facts
    )


def write_token(
    token: CustomToken, path: Path, format: Format | None = None, overwrite: bool = False
) -> Format:
    """Write a custom token for another program. Atomic.

    Args:
        token: its facts are written, too.
        path: `.safetensors`; for a web UI also `.pt`.
        format: by default `webui` for `.pt`, else `diffusers`.
        overwrite: whether a file at `path` may be replaced.

    Returns:
        the format.

    Raises:
        ConceptError: the file is there, can't be written, or its name doesn't fit the format.
    """
    suffix = path.suffix.lower()
    chosen: Format = format or ("webui" if suffix == ".pt" else "diffusers")
    if chosen not in get_args(Format):
        raise ConceptError(f'"{chosen}" is no format of custom tokens; expected diffusers or webui')
    suffixes = (".safetensors", ".pt") if chosen == "webui" else (".safetensors",)
    if suffix not in suffixes:
        also = ", or a .pt with --format webui" if chosen == "diffusers" else ""
        raise ConceptError(
            f"{path}: expected a name that ends in {' or '.join(suffixes)} for {chosen}{also}; "
            f"for example {path.with_suffix(suffixes[0]).name}"
        )
    if path.is_dir() or (path.exists() and not overwrite):
        what = (
            "is a folder; give a file"
            if path.is_dir()
            else "exists; choose another file, or overwrite it with --force"
        )
        raise ConceptError(f"{path} {what}")
    try:
        if chosen == "diffusers":
            token.save(path)
        else:
            write_atomically(path, _webui_pickle(token) if suffix == ".pt" else _webui_safetensors(token))
    except OSError as error:
        raise ConceptError(f"{path} can't be written: {error.strerror or error}") from error
    return chosen


def _webui_safetensors(token: CustomToken) -> bytes:
    from safetensors.numpy import save

    metadata = {**token.metadata(), "name": token.name}
    return save({_WEBUI_KEY: np.ascontiguousarray(token.vectors)}, metadata)


def _webui_pickle(token: CustomToken) -> bytes:
    import torch

    step = token.facts.get("step", "")
    content = {
        "string_to_token": {"*": 265},  # the id of "*" in CLIP's vocabulary
        "string_to_param": {"*": torch.from_numpy(token.vectors.copy())},
        "name": token.name,
        "step": int(step) if step.isdecimal() else 0,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
        _FACTS_KEY: token.metadata(),
    }
    file = io.BytesIO()
    # today's zip has members that the web UI's own check, modules/safe.py, takes for an attack
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def _contents(path: Path) -> _Contents:
    """What a token file holds, by its first bytes. Raises ConceptError where it is none."""
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
            raise ConceptError(f"{path} is {found}; expected {EXPECTED}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConceptError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise ConceptError(
            f"{path} is larger than {MAX_BYTES // 2**20} MB, and a custom token takes a few KB: this may be a "
            f"whole model; expected {EXPECTED}"
        )
    if not data:
        raise ConceptError(f"{path} is empty; expected {EXPECTED}")
    if data[8:9] == b"{":  # after the length of the header, which is JSON
        return _from_safetensors(path, data)
    if data.startswith((b"PK\x03\x04", b"\x80")):
        return _from_pickle(path, data)
    kinds = (what for start, what in _BEGINNINGS if data.startswith(start))
    kind = next(kinds, "bytes of no known kind, or a damaged file")
    raise ConceptError(f"{path} is no custom token: found {kind}; expected {EXPECTED}")


def _from_safetensors(path: Path, data: bytes) -> _Contents:
    import json

    from safetensors.torch import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:  # safetensors, json and torch each raise their own
        raise ConceptError(
            f"{path} is damaged, it can't be read as safetensors ({_line(error)}); fetch or export it again"
        ) from error
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return _Contents(tensors, metadata, metadata.get("name") if metadata.get("format") == FORMAT else None)


def _from_pickle(path: Path, data: bytes) -> _Contents:
    import torch

    if data.startswith(b"PK"):
        _check_unpacked_size(path, data)
    # the first token files keep theirs in a ParameterDict, which is data, too; torch 2.4 lacks the function
    allow = getattr(torch.serialization, "safe_globals", contextlib.nullcontext)
    try:
        with allow([torch.nn.ParameterDict]):
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zipfile each raise their own
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise ConceptError(
                f"{path} was refused: it is a pickle that asks for {refused[1]} to be run while it is read, and "
                f"a custom token is numbers alone. Don't open it with other programs unless you trust where it "
                f"comes from; get the token as .safetensors, which can't hold code"
            ) from error
        raise ConceptError(
            f"{path} is damaged or no token, it can't be read as a torch file ({_line(error)}); "
            f"expected {EXPECTED}"
        ) from error
    if not isinstance(loaded, dict):
        raise ConceptError(
            f"{path} is no custom token: found a pickled {type(loaded).__name__}; expected {EXPECTED}"
        )
    return _from_webui(loaded) if "string_to_param" in loaded else _Contents(_tensors(loaded))


def _from_webui(loaded: Mapping[Any, Any]) -> _Contents:
    """The contents of a web UI's `.pt`."""
    from torch.nn import ParameterDict

    tensors, name = loaded["string_to_param"], loaded.get("name")
    if isinstance(tensors, ParameterDict):
        tensors = vars(tensors).get("_parameters")
    ours = loaded.get(_FACTS_KEY)
    if not isinstance(ours, dict):
        ours = {key: loaded[key] for key in _WEBUI_FACTS if loaded.get(key) is not None}
    metadata = {str(key): str(value) for key, value in ours.items()}
    return _Contents(
        _tensors(tensors if isinstance(tensors, Mapping) else {}),
        metadata,
        name if isinstance(name, str) and is_name(name) else None,
    )


def _tensors(values: Mapping[Any, Any]) -> dict[str, Any]:
    from torch import Tensor

    return {str(key): value for key, value in values.items() if isinstance(value, Tensor)}


def _check_unpacked_size(path: Path, data: bytes) -> None:
    """Raise ConceptError where a zip would unpack to far more than a token takes."""
    try:
        size = sum(member.file_size for member in zipfile.ZipFile(io.BytesIO(data)).infolist())
    except Exception as error:  # zipfile raises half a dozen kinds on damage
        raise ConceptError(
            f"{path} is damaged, it can't be read as a torch file ({_line(error)}); fetch it again"
        ) from error
    if size > MAX_BYTES:
        raise ConceptError(
            f"{path} unpacks to more than {MAX_BYTES // 2**20} MB, and a custom token takes a few KB; "
            f"expected {EXPECTED}"
        )


def _key(path: Path, tensors: Mapping[str, Any], wanted: str | None) -> str:
    """Which tensor is the token. Raises ConceptError where none is, or nothing says which."""
    if two := [key for key in _TWO_TOWERS if key in tensors]:
        raise ConceptError(
            f"{path} is a token for SDXL or another model with several text encoders (it holds "
            f"{' and '.join(two)}); expected one for a single CLIP text tower, as of Stable Diffusion 1.x. "
            f"Look for the concept's version for that"
        )
    if not tensors:
        raise ConceptError(f"{path} is no custom token: it holds no tensors; expected {EXPECTED}")
    if len(tensors) == 1:
        return next(iter(tensors))
    if wanted is not None:
        for key in (wanted, f"<{wanted}>"):
            if key in tensors:
                return key
    shown = ", ".join(sorted(tensors)[:8]) + (f" and {len(tensors) - 8} more" if len(tensors) > 8 else "")
    raise ConceptError(
        f"{path} holds {len(tensors)} tensors ({shown}), and a custom token is one; where these are tokens, "
        f"take one of them with --name KEY"
    )


def _vectors(path: Path, key: str, tensor: Any) -> NDArray[np.float32]:
    """A tensor of a file as float32 `[n_vectors, text_width]`. Raises ConceptError where it can't be a token."""
    import torch

    shape = list(tensor.shape)
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise ConceptError(
            f"{path}: {key} is a {tensor.layout} tensor of {tensor.dtype}; expected plain floating point numbers"
        )
    # the number of values by itself: strides of 0 make a few bytes look like terabytes
    if len(shape) not in (1, 2) or tensor.numel() == 0 or tensor.numel() > MAX_BYTES:
        raise ConceptError(f"{path}: {key} has the shape {shape}; expected [n_vectors, text_width]")
    if len(shape) == 2 and shape[0] > MAX_VECTORS:
        raise ConceptError(
            f"{path}: {key} has {shape[0]} vectors, and a context has room for {MAX_VECTORS}; expected a "
            f"custom token of some 1 to 16 vectors"
        )
    try:
        values: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy().copy()
    except (RuntimeError, TypeError) as error:  # packed types that have no float32 counterpart
        raise ConceptError(f"{path}: {key} of {tensor.dtype} can't be read ({_line(error)})") from error
    if not np.isfinite(values).all():
        raise ConceptError(
            f"{path}: {key} holds NaN or infinite values, as training that diverged leaves; it can't be used"
        )
    return values.reshape(-1, shape[-1])


def _name(path: Path, key: str, stated: str | None) -> str:
    """What the concept is called. Raises ConceptError where no prompt could hold that."""
    name = (stated or path.stem) if key in _GENERIC_KEYS else key.removeprefix("<").removesuffix(">")
    if is_name(name):
        return name
    fitting = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._") or "my-concept"
    raise ConceptError(
        f'{path}: its token is called "{name}", and a prompt can hold letters, digits, "_", "-" and "." only; '
        f"give it another name, as in --name {fitting}"
    )


def _line(error: BaseException) -> str:
    """The first line of an error's text, cut to a length that one reads.

    Of torch's refusals only the reason: before it they advise to load the file without any care.
    """
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
