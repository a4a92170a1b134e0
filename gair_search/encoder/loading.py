"""Towers out of a model's files, through open_clip's own code."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gair_search.encoder import untrusted
from gair_search.encoder.folding import fold_if_unchanged
from gair_search.encoder.identity import ModelSpec
from gair_search.encoder.open_clip_models import (
    ModelInMemory,
    pooled_only,
    view_image_tower,
    view_text_tower,
)
from gair_search.encoder.text_tower import LOGIT_SCALE, PlainTextTower, TextTower
from gair_search.errors import ModelError

M = TypeVar("M", bound=nn.Module)


def load_image_tower(spec: ModelSpec) -> nn.Module:
    """The image tower, frozen, in float32, its batch norms folded where that changes nothing.

    Returns:
        a module from pixels to features, on the CPU, or of a model in memory on its device.

    Raises:
        ModelError: damaged weights.
    """
    if isinstance(spec, ModelInMemory):
        return view_image_tower(spec)
    tower: nn.Module = freeze(pooled_only(_load_model(spec).visual))
    example = torch.randn(1, 3, *spec.preprocessing.size, generator=torch.Generator().manual_seed(0))
    return fold_if_unchanged(tower, example)


def load_text_tower(spec: ModelSpec, start_fraction: float) -> TextTower | PlainTextTower:
    """The text tower, frozen, in float32: alone where `TextTower` can drive it, else with its whole model.

    Returns:
        a tower on the CPU, or of a model in memory on its device.

    Raises:
        ModelError: damaged weights; the tokenizer is not on this machine.
    """
    if isinstance(spec, ModelInMemory):
        return view_text_tower(spec, start_fraction)
    _check_named_parts(spec)
    tokenizer = _tokenizer(spec)
    tower = _build_text_transformer(spec)
    if tower is None or not TextTower.can_drive(tower, tokenizer):
        return freeze(PlainTextTower(_load_model(spec), tokenizer))
    spec.verify_weights()
    try:
        state = _text_state(spec)
        log_scale = state.pop("logit_scale", None)
        tower.load_state_dict(state, strict=True, assign=True)
    except Exception as error:
        raise _misfit_error(spec, error) from error
    tower.attn_mask = None  # built on meta, and we pass our own
    scale = LOGIT_SCALE if log_scale is None else float(log_scale.float().exp())
    return freeze(TextTower(tower, tokenizer, start_fraction, scale))


def freeze(module: M) -> M:
    """The module in evaluation mode, without gradients, in float32."""
    return module.eval().requires_grad_(False).float()


def _load_model(spec: ModelSpec) -> Any:
    """The whole model through open_clip's factory."""
    import open_clip

    spec.verify_weights()
    _check_named_parts(spec)
    local = spec.architecture.startswith("local-dir:")
    try:
        with untrusted.nothing_run():
            return open_clip.create_model(
                spec.architecture,
                pretrained=None if local else str(spec.weights_file),
                force_quick_gelu=spec.quick_gelu,
                weights_only=True,
            )
    except Exception as error:  # torch, safetensors and open_clip each raise their own on a misfit
        raise _misfit_error(spec, error) from error


def _build_text_transformer(spec: ModelSpec) -> Any:
    """The text tower without weights, on the device meta; None where it is Hugging Face's, or CoCa's."""
    import open_clip

    text = spec.config["text_cfg"]
    if text.get("hf_model_name") or "multimodal_cfg" in spec.config:
        return None
    try:
        with torch.device("meta"):
            return open_clip.model._build_text_tower(spec.embed_dim, dict(text), spec.quick_gelu)
    except Exception as error:
        raise _misfit_error(spec, error) from error


def _check_named_parts(spec: ModelSpec) -> None:
    """Raise ModelError unless what the config names on the hub is on this machine, and has no code of its own."""
    text = spec.config["text_cfg"]
    if tower := text.get("hf_model_name"):
        untrusted.check_named(tower, spec.name)
    tokenizer = text.get("hf_tokenizer_name")
    if tokenizer and spec.folder is None:  # a folder holds its own, whatever the name
        untrusted.check_named(tokenizer, spec.name)


def _tokenizer(spec: ModelSpec) -> Any:
    """open_clip's tokenizer for the model; those of Hugging Face must be in its cache."""
    import open_clip

    named = spec.config["text_cfg"].get("hf_tokenizer_name")
    # open_clip's own tokenizer takes no such words
    safely = {"trust_remote_code": False, "local_files_only": True} if named else {}
    try:
        with untrusted.nothing_run():
            return open_clip.get_tokenizer(spec.architecture, **safely)
    except Exception as error:
        raise ModelError(f"the tokenizer of {spec.name} can't be loaded: {error}") from error


def _text_state(spec: ModelSpec) -> dict[str, Tensor]:
    """The text tower's tensors out of a checkpoint, in `TextTransformer`'s own names, and `logit_scale`."""
    from safetensors import safe_open

    weights = spec.weights_file
    if weights.suffix == ".safetensors":
        with safe_open(weights, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys() if "visual." not in key}  # noqa: SIM118
    else:
        from open_clip.factory import load_state_dict

        with untrusted.nothing_run():
            state = load_state_dict(str(weights), weights_only=True)
    state = {key.removeprefix("module.").removeprefix("text."): value for key, value in state.items()}
    return {k: v for k, v in state.items() if not k.startswith(("visual.", "logit_bias"))}


def _misfit_error(spec: ModelSpec, error: Exception) -> ModelError:
    """One readable line for weights that don't load."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ModelError(f"{spec.name}: {spec.weights} can't be loaded as {spec.architecture}: {reason}")
