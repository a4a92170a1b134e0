"""Model names -> what open_clip needs to build them; what is on this machine, what `pull` would fetch.

Nothing here downloads, save `pull`. torch and open_clip are imported inside the functions.
"""

import difflib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_type_hints

from gair_search.encoder import checksums, untrusted
from gair_search.errors import ModelError
from gair_search.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BUNDLED = "gair-mini"
"""The model that ships in the package: a folder in open_clip's own format, loaded like any other."""

PREFERRED = ("ViT-L-14/openai",)
"""Models that `default_model` takes before the bundled one where they are on this machine, best first."""

RECOMMENDED = (
    "ViT-L-14/openai",
    "ViT-B-32/laion2b_s34b_b79k",
    "ViT-B-16/datacomp_xl_s13b_b90k",
    "ViT-L-14/datacomp_xl_s13b_b90k",
    "ViT-H-14/laion2b_s32b_b79k",
)
"""Good models to pull, for `gair models`."""

S = TypeVar("S", bound="DataclassInstance")

_WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_PREFLIGHT_SECONDS = 6.0


@dataclass(frozen=True)
class EmbedderId:
    """Which model made a vector. Two embedders are the same where all but the name agree.

    Attributes:
        name: the name that the user gave, to be shown.
        architecture: open_clip's model name, or the hash of a folder's own model config.
        weights: first 16 hex digits of the SHA-256 of the weights file.
        preprocessing: first 8 hex digits of the SHA-256 of the preprocessing.
        dim: length of the vectors.
    """

    name: str
    architecture: str
    weights: str
    preprocessing: str
    dim: int

    def same_as(self, other: "EmbedderId") -> bool:
        """Whether vectors of the two may be compared."""
        return asdict(self) | {"name": ""} == asdict(other) | {"name": ""}

    def to_metadata(self) -> dict[str, Any]:
        """As JSON values, for a gallery's metadata."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, facts: Mapping[str, Any]) -> "EmbedderId":
        """The inverse of `to_metadata`. Raises KeyError or ValueError on other content."""
        name, architecture, weights, preprocessing = (
            str(facts[key]) for key in ("name", "architecture", "weights", "preprocessing")
        )
        return cls(name, architecture, weights, preprocessing, int(facts["dim"]))

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.architecture}, weights {self.weights}, preprocessing {self.preprocessing})"
        )


@dataclass(frozen=True)
class ModelSpec:
    """A model that is on this machine, ready to be loaded.

    Attributes:
        name: as the user wrote it, paths made absolute.
        architecture: open_clip's model name, or `local-dir:FOLDER`, for open_clip's factory.
        config: open_clip's model config (`embed_dim`, `vision_cfg`, `text_cfg`, ...).
        preprocessing: of images.
        weights: the checkpoint file.
        quick_gelu: whether the weights were trained with QuickGELU, whatever the config says.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    weights: Path
    quick_gelu: bool

    @property
    def embed_dim(self) -> int:
        """Length of the joint space's vectors."""
        return int(self.config["embed_dim"])

    @property
    def folder(self) -> Path | None:
        """The model's own folder; None where it has none (a tag of open_clip's, a single checkpoint)."""
        name = self.architecture
        return Path(name.removeprefix("local-dir:")) if name.startswith("local-dir:") else None

    @property
    def embedder_id(self) -> EmbedderId:
        """The identity that galleries and custom tokens store."""
        architecture = self.architecture
        if architecture.startswith("local-dir:"):
            architecture = "config-" + _digest(json.dumps(self.config, sort_keys=True).encode(), 8)
        elif self.quick_gelu and not architecture.endswith("-quickgelu"):
            architecture += "-quickgelu"  # open_clip lists some weights under both names
        preprocessing = json.dumps(asdict(self.preprocessing), sort_keys=True).encode()
        return EmbedderId(
            self.name,
            architecture,
            checksums.file_hash(self.weights)[:16],
            _digest(preprocessing, 8),
            self.embed_dim,
        )


@dataclass(frozen=True)
class Listed:
    """A row of `gair models`."""

    name: str
    state: Literal["bundled", "on this machine", "can be pulled"]
    default: bool


def default_model() -> str:
    """The best model that is already on this machine; never one that would have to be fetched."""
    if name := os.environ.get("GAIR_MODEL"):
        return name
    return next((name for name in PREFERRED if _cached_weights(name) is not None), BUNDLED)


def own_settings(spec: ModelSpec, file: str, default: S) -> S:
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


def resolve(name: str) -> ModelSpec:
    """Find a model on this machine.

    Args:
        name: `gair-mini`; `ARCHITECTURE/TAG` as open_clip lists them; `ARCHITECTURE:FILE` for a local
            checkpoint; `local-dir:FOLDER` or `hf-hub:ORG/REPO` in open_clip's hub format.

    Raises:
        ModelError: unknown, or not on this machine (the text says how to get it); a folder that would have its
            own code run.
    """
    if name == BUNDLED:
        return _from_folder(name, Path(__file__).parent.parent / "pretrained" / BUNDLED)
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser().absolute()
        return _from_folder(f"local-dir:{folder}", folder)
    if name.startswith("hf-hub:"):
        return _from_folder(name, cached_folder(name))
    if ":" in name:
        return _from_checkpoint(*name.split(":", 1))
    return _from_tag(name)


def pull(name: str) -> Path:
    """Download a model's weights into the Hugging Face cache, where open_clip and others find them too.

    With them come the tokenizer and the config of the text tower that the model takes from elsewhere on the hub.

    Raises:
        ModelError: unknown name, no network (known within 10 s), refused or broken download.
    """
    import open_clip

    try:
        if ":" in name or name == BUNDLED:
            if name.startswith("hf-hub:"):
                _preflight(_hub_endpoint(), name)
                _pull_repository(name.removeprefix("hf-hub:"))
            spec = resolve(name)
            _pull_named(spec.architecture, spec.config, name)
            return spec.weights
        architecture, tag = _split_tag(name)
        facts = _tag_facts(architecture, tag)
        _preflight(_hub_endpoint() if facts.get("hf_hub") else facts["url"], name)
        weights = Path(open_clip.pretrained.download_pretrained(facts))
        _pull_named(architecture, _config(architecture), name)
        return weights
    except ModelError:
        raise
    except Exception as error:  # the hub client, urllib and the file system each raise their own
        raise ModelError(f"{name} could not be downloaded: {error}") from error


def listed(every_tag: bool = False) -> Iterator[Listed]:
    """The bundled model, what is on this machine, and what can be pulled (all of open_clip's tags on demand)."""
    import open_clip

    default = default_model()
    yield Listed(BUNDLED, "bundled", default == BUNDLED)
    names = ["/".join(pair) for pair in open_clip.list_pretrained()]
    cached = [name for name in names if _cached_weights(name) is not None]
    for name in cached:
        yield Listed(name, "on this machine", default == name)
    for name in names if every_tag else RECOMMENDED:
        if name not in cached:
            yield Listed(name, "can be pulled", False)


def verify_weights(spec: ModelSpec) -> None:
    """Check a model's weights against its folder's `SHA256SUMS`, where there is one; see `checksums.verify`.

    Raises:
        ModelError: they are damaged.
    """
    if spec.folder is not None:
        checksums.verify(spec.folder, [spec.weights])


def _digest(data: bytes, digits: int) -> str:
    return hashlib.sha256(data).hexdigest()[:digits]


def _from_folder(name: str, folder: Path) -> ModelSpec:
    """A folder in open_clip's hub format: `open_clip_config.json` and a weights file beside it."""
    if (folder / "open_clip_config.json").is_file():
        untrusted.check_folder(folder)
    try:
        content = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
        config = content["model_cfg"]
    except FileNotFoundError as error:
        raise ModelError(
            f"{name}: {error.filename} is missing; expected a folder in open_clip's hub format"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{name}: open_clip_config.json can't be read: {error!r}") from error
    weights = next((folder / file for file in _WEIGHT_FILES if (folder / file).is_file()), None)
    if weights is None:
        raise ModelError(f"{name}: no weights in {folder}; expected one of {', '.join(_WEIGHT_FILES)}")
    preprocessing = _preprocessing(config, content.get("preprocess_cfg", {}))
    return ModelSpec(
        name, f"local-dir:{folder}", config, preprocessing, weights, bool(config.get("quick_gelu"))
    )


def _from_checkpoint(architecture: str, file: str) -> ModelSpec:
    """One of open_clip's architectures with a checkpoint of the user's own."""
    config = _config(architecture)
    weights = Path(file).expanduser().absolute()
    name = f"{architecture}:{weights}"
    if not weights.is_file():
        raise ModelError(f"{name}: no such weights file: {weights}")
    quick_gelu = bool(config.get("quick_gelu"))
    return ModelSpec(name, architecture, config, _preprocessing(config, {}), weights, quick_gelu)


def _from_tag(name: str) -> ModelSpec:
    """One of open_clip's architectures with one of its pretrained tags, from the cache."""
    architecture, tag = _split_tag(name)
    facts = _tag_facts(architecture, tag)
    weights = _cached_weights(name)
    if weights is None:
        raise ModelError(f"{name} is not on this machine; get it with: gair models pull {name}")
    config = _config(architecture)
    # OpenAI's weights were trained with QuickGELU, while open_clip's plain configs say GELU
    quick_gelu = bool(facts.get("quick_gelu") or config.get("quick_gelu"))
    return ModelSpec(name, architecture, config, _preprocessing(config, facts), weights, quick_gelu)


def _split_tag(name: str) -> tuple[str, str]:
    """`ARCHITECTURE/TAG` in its two parts, or the list of what the architecture has."""
    import open_clip

    architecture, _, tag = name.partition("/")
    _config(architecture)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag.replace("-", "_").lower() not in tags:
        known = (
            ", ".join(f"{architecture}/{t}" for t in tags) or "none; give a file: " + architecture + ":FILE"
        )
        raise ModelError(f"{name} is no model of open_clip; {architecture} has: {known}")
    return architecture, tag


def _config(architecture: str) -> dict[str, Any]:
    """open_clip's config of an architecture, or an error with the nearest names."""
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(architecture)
    if config is None:
        near = difflib.get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see: gair models"
        raise ModelError(f"{architecture} is no architecture of open_clip{hint}")
    return config


def _tag_facts(architecture: str, tag: str) -> dict[str, Any]:
    """Where open_clip gets a tag's weights, and how they were trained."""
    import open_clip

    return dict(open_clip.get_pretrained_cfg(architecture, tag))


def _preprocessing(config: Mapping[str, Any], given: Mapping[str, Any]) -> Preprocessing:
    """open_clip's rule: its defaults, overridden by the tag's or folder's facts; size from the image tower."""
    side = config["vision_cfg"].get("image_size", 224)
    height, width = side if isinstance(side, list | tuple) else (side, side)
    mean, std = given.get("mean"), given.get("std")
    if mean is None or std is None:
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        mean, std = mean or OPENAI_DATASET_MEAN, std or OPENAI_DATASET_STD
    return Preprocessing(
        (int(height), int(width)),
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(std[0]), float(std[1]), float(std[2])),
        given.get("interpolation") or "bicubic",
        given.get("resize_mode") or "shortest",
        int(given.get("fill_color") or 0),
    )


def _cached_weights(name: str) -> Path | None:
    """The weights of `ARCHITECTURE/TAG` in the cache, found without any network."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    facts = open_clip.get_pretrained_cfg(*name.partition("/")[::2]) or {}
    if hub := facts.get("hf_hub"):
        repo, _, file = hub.rpartition("/")
        for candidate in [file] if file else _WEIGHT_FILES:
            for wanted in dict.fromkeys((Path(candidate).with_suffix(".safetensors").name, candidate)):
                if isinstance(found := try_to_load_from_cache(repo, wanted), str):
                    return Path(found)
    elif url := facts.get("url"):
        file_in_cache = Path("~/.cache/clip").expanduser() / Path(url).name
        if file_in_cache.is_file():
            return file_in_cache
    return None


def cached_folder(name: str) -> Path:
    """The snapshot folder of an `hf-hub:` model in the cache. Raises ModelError where there is none."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name.removeprefix("hf-hub:"), "open_clip_config.json")
    except ValueError as error:
        raise ModelError(f"{name} is no repository: {error}") from error
    if not isinstance(found, str):
        raise ModelError(f"{name} is not on this machine; get it with: gair models pull {name}")
    return Path(found).parent


def _pull_named(architecture: str, config: Mapping[str, Any], name: str) -> None:
    """Fetch what a model's config names elsewhere on the hub: a tokenizer, a text tower's config. No code."""
    import open_clip
    from huggingface_hub import hf_hub_download

    text = config["text_cfg"]
    tower = text.get("hf_model_name")
    # a folder holds a tokenizer of its own
    tokenizer = text.get("hf_tokenizer_name") and not architecture.startswith("local-dir:")
    if not (tokenizer or tower):
        return
    _preflight(_hub_endpoint(), name)
    if tower and not Path(tower).is_dir():
        hf_hub_download(tower, "config.json")
    if tokenizer:
        with untrusted.nothing_run(offline=False):
            open_clip.get_tokenizer(architecture, trust_remote_code=False)


def _pull_repository(repo: str) -> None:
    """Fetch a repository in open_clip's hub format: config, tokenizer, one weights file, generator."""
    from huggingface_hub import HfApi, snapshot_download

    files = HfApi().list_repo_files(repo)
    weights = next((file for file in _WEIGHT_FILES if file in files), None)
    if weights is None:
        raise ModelError(f"hf-hub:{repo} has no weights; expected one of {', '.join(_WEIGHT_FILES)}")
    wanted = ["*.json", "*.txt", "*.model", weights, "generator/*", checksums.CHECKSUMS]
    snapshot_download(repo, allow_patterns=wanted)


def _hub_endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _preflight(url: str, name: str) -> None:
    """Raise ModelError unless the host of `url` answers within seconds; the hub client itself retries for minutes."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    def ask() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=_PREFLIGHT_SECONDS
            ).close()
        except urllib.error.HTTPError:
            pass  # an answer is an answer
        except (OSError, ValueError) as error:  # ValueError: HF_ENDPOINT is no address
            problems.append(str(getattr(error, "reason", error)))

    problems: list[str] = []
    if constants.HF_HUB_OFFLINE:
        problems.append("HF_HUB_OFFLINE is set")
    elif not _within(ask, _PREFLIGHT_SECONDS + 1):
        problems.append(f"no answer within {_PREFLIGHT_SECONDS:.0f} s")
    if problems:
        raise ModelError(
            f"{name} can't be downloaded: {url} is not reachable ({problems[0]}). "
            f"Check the network, or copy the weights here and name them as ARCHITECTURE:FILE"
        )


def _within(work: Callable[[], None], seconds: float) -> bool:
    """Run `work` in a daemon thread; whether it ended in time (looking up a host has no time-out of its own)."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
