"""Model names -> what open_clip needs to build them; which models are on this machine.

Nothing here downloads. torch and open_clip are imported inside the functions.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gair_search.encoder import untrusted
from gair_search.encoder.identity import ModelSpec
from gair_search.errors import ModelError
from gair_search.images.preprocessing import Preprocessing

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

WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)


@dataclass(frozen=True)
class ModelRow:
    """A row of `gair models`."""

    name: str
    state: Literal["bundled", "on this machine", "can be pulled"]
    default: bool


def default_model() -> str:
    """The best model that is already on this machine; never one that would have to be fetched."""
    if name := os.environ.get("GAIR_MODEL"):
        return name
    return next((name for name in PREFERRED if _cached_weights(name) is not None), BUNDLED)


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


def list_models(every_tag: bool = False) -> Iterator[ModelRow]:
    """The bundled model, what is on this machine, and what can be pulled (all of open_clip's tags on demand)."""
    import open_clip

    default = default_model()
    yield ModelRow(BUNDLED, "bundled", default == BUNDLED)
    names = ["/".join(pair) for pair in open_clip.list_pretrained()]
    cached = [name for name in names if _cached_weights(name) is not None]
    for name in cached:
        yield ModelRow(name, "on this machine", default == name)
    for name in names if every_tag else RECOMMENDED:
        if name not in cached:
            yield ModelRow(name, "can be pulled", False)


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
    weights = next((folder / file for file in WEIGHT_FILES if (folder / file).is_file()), None)
    if weights is None:
        raise ModelError(f"{name}: no weights in {folder}; expected one of {', '.join(WEIGHT_FILES)}")
    preprocessing = _preprocessing(config, content.get("preprocess_cfg", {}))
    return ModelSpec(
        name, f"local-dir:{folder}", config, preprocessing, weights, bool(config.get("quick_gelu"))
    )


def _from_checkpoint(architecture: str, file: str) -> ModelSpec:
    """One of open_clip's architectures with a checkpoint of the user's own."""
    config = architecture_config(architecture)
    weights = Path(file).expanduser().absolute()
    name = f"{architecture}:{weights}"
    if not weights.is_file():
        raise ModelError(f"{name}: no such weights file: {weights}")
    quick_gelu = bool(config.get("quick_gelu"))
    return ModelSpec(name, architecture, config, _preprocessing(config, {}), weights, quick_gelu)


def _from_tag(name: str) -> ModelSpec:
    """One of open_clip's architectures with one of its pretrained tags, from the cache."""
    architecture, tag = split_tag(name)
    facts = tag_facts(architecture, tag)
    weights = _cached_weights(name)
    if weights is None:
        raise ModelError(f"{name} is not on this machine; get it with: gair models pull {name}")
    config = architecture_config(architecture)
    # OpenAI's weights were trained with QuickGELU, while open_clip's plain configs say GELU
    quick_gelu = bool(facts.get("quick_gelu") or config.get("quick_gelu"))
    return ModelSpec(name, architecture, config, _preprocessing(config, facts), weights, quick_gelu)


def split_tag(name: str) -> tuple[str, str]:
    """`ARCHITECTURE/TAG` in its two parts, or the list of what the architecture has."""
    import open_clip

    architecture, _, tag = name.partition("/")
    architecture_config(architecture)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag.replace("-", "_").lower() not in tags:
        known = (
            ", ".join(f"{architecture}/{t}" for t in tags) or "none; give a file: " + architecture + ":FILE"
        )
        raise ModelError(f"{name} is no model of open_clip; {architecture} has: {known}")
    return architecture, tag


def architecture_config(architecture: str) -> dict[str, Any]:
    """open_clip's config of an architecture, or an error with the nearest names."""
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(architecture)
    if config is None:
        near = difflib.get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see: gair models"
        raise ModelError(f"{architecture} is no architecture of open_clip{hint}")
    return config


def tag_facts(architecture: str, tag: str) -> dict[str, Any]:
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
        for candidate in [file] if file else WEIGHT_FILES:
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
