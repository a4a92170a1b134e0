"""A generator in diffusers' layout of Stable Diffusion 1.x: its folder found, checked, and read. No downloads."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gair_search.encoder import checksums, untrusted
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import GeneratorError

_PARTS = ("unet", "vae", "scheduler")


def find_folder(source: str | Path) -> Path:
    """The folder of a generator, here or in Hugging Face's cache. Raises GeneratorError where there is none."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.absolute()
    from huggingface_hub import try_to_load_from_cache

    with contextlib.suppress(ValueError):  # it can be no repository's name
        cached = try_to_load_from_cache(str(source), "model_index.json")
        if isinstance(cached, str):
            return Path(cached).parent
    raise GeneratorError(
        f"there is no generator {source}: expected a folder in diffusers' layout of Stable Diffusion 1.x, or a "
        f"repository in Hugging Face's cache (nothing is downloaded here; get one with: hf download {source})"
    )


def check_folder(folder: Path, tower: TextTower, model: str) -> None:
    """Raise GeneratorError unless a folder has the parts of Stable Diffusion 1.x, and `tower`'s token table."""
    for part in _PARTS:
        if not (folder / part).is_dir():
            raise GeneratorError(
                f"{folder} holds no {part}/; expected diffusers' layout of Stable Diffusion 1.x: "
                f"model_index.json, {', '.join(f'{p}/' for p in _PARTS)}"
            )
    try:
        facts = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{folder}/unet/config.json can't be read: {error}") from error
    width = facts.get("cross_attention_dim", 1280)
    if width != tower.width or facts.get("addition_embed_type"):
        kind = " (SDXL's format)" if facts.get("addition_embed_type") else ""
        raise GeneratorError(
            f"the UNet in {folder} takes conditioning of width {width}{kind}, and the text tower of {model} gives "
            f"{tower.width}; use a generator that was trained with this text tower, or --model of its own: for "
            f"Stable Diffusion 1.x ViT-L-14/openai"
        )
    if (folder / "text_encoder").is_dir() and not _has_token_table(folder / "text_encoder", tower):
        raise GeneratorError(
            f"the text encoder in {folder} has another token table than the text tower of {model} "
            f"({tower.table_hash}), so its images would not show what a search looks for; use the model that it "
            f"was trained with, for Stable Diffusion 1.x ViT-L-14/openai"
        )


def _has_token_table(folder: Path, tower: TextTower) -> bool:
    """Whether a text encoder's token table is the tower's, in the precision of its file."""
    theirs = _read_token_table(folder)
    ours = tower.token_table.cpu()
    return theirs.shape == ours.shape and torch.equal(theirs, ours.to(theirs.dtype))


def _read_token_table(folder: Path) -> Tensor:
    """The token table of transformers' `text_encoder/`. Raises GeneratorError where it can't be read."""
    from safetensors import safe_open

    name = "embeddings.token_embedding.weight"
    try:
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118 - no mapping
                    if key.endswith(name):
                        table: Tensor = opened.get_tensor(key)
                        return table
    except Exception as error:  # safetensors and torch each raise their own
        raise GeneratorError(f"the text encoder in {folder} can't be read: {error}") from error
    raise GeneratorError(f"{folder} holds no token table; expected a text encoder in transformers' format")


def load_parts(folder: Path, dtype: torch.dtype) -> tuple[Any, Any, dict[str, Any]]:
    """UNet, VAE and the scheduler's config of a folder. Raises GeneratorError where they can't be read."""
    import diffusers

    try:
        with silence_diffusers(), untrusted.nothing_run():
            unet, vae = (
                kind.from_pretrained(folder / part, torch_dtype=dtype, **_weights_options(folder / part))
                for kind, part in ((diffusers.UNet2DConditionModel, "unet"), (diffusers.AutoencoderKL, "vae"))
            )
            scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    except Exception as error:  # diffusers, safetensors and torch each raise their own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
        raise GeneratorError(f"the generator in {folder} can't be loaded: {reason}") from error
    return unet, vae, scheduler


def _weights_options(folder: Path) -> dict[str, Any]:
    """How diffusers' `from_pretrained` finds the weights: many repositories hold those in half precision alone."""
    names = [path.name for path in folder.iterdir()]
    names = [name for name in names if ".safetensors" in name]  # pickles are not read
    plain = any(name.startswith("diffusion_pytorch_model.") and ".fp16." not in name for name in names)
    variant = None if plain else "fp16"
    return {
        "variant": variant,
        "local_files_only": True,
        "low_cpu_mem_usage": False,
        "use_safetensors": True,
    }


def folder_hash(folder: Path) -> str:
    """16 hex digits that change with any file of a generator's parts."""
    files = sorted(path for part in _PARTS for path in (folder / part).iterdir() if path.is_file())
    facts = [[path.relative_to(folder).as_posix(), checksums.file_hash(path)] for path in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def silence_diffusers() -> Iterator[None]:
    """Without diffusers' remarks on config keys that another scheduler has no use for."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
