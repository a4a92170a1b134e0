"""The frozen CLIP: images -> features; token embeddings and token weights -> features and conditioning.

The two towers load apart and when first used, so that text-only work never reads the image tower.
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gair_search.encoder import untrusted
from gair_search.encoder.folding import folded
from gair_search.encoder.models import EmbedderId, ModelSpec, verify_weights
from gair_search.encoder.reweighting import (
    PAPER_START_FRACTION,
    causal_mask,
    reweighted_mask,
    start_block,
)
from gair_search.errors import ModelError, PromptError
from gair_search.images.preprocessing import Preprocessing
from gair_search.images.reading import load_pixels

M = TypeVar("M", bound=nn.Module)

LOGIT_SCALE = 100.0
"""1 / temperature of CLIP's similarities (Radford et al. 2021), where a checkpoint doesn't say."""


@dataclass(frozen=True)
class TextEncoding:
    """What the text tower makes of a batch of prompts.

    Attributes:
        features: text features, float32 `[B, embed_dim]`, L2-normalised.
        conditioning: per-token output after the final LayerNorm, `[B, n_ctx, text_width]`.
    """

    features: Tensor
    conditioning: Tensor


class TextTower(nn.Module):
    """open_clip's own causal text transformer, fed with token embeddings instead of token ids.

    Ids stay those of the plain prompt and pooling goes by the end token's *place*: a custom token
    replaces embeddings only, so no placeholder id can hijack the pooling.
    """

    def __init__(
        self,
        tower: Any,
        tokenizer: Any,
        start_fraction: float = PAPER_START_FRACTION,
        logit_scale: float = LOGIT_SCALE,
    ) -> None:
        """Wrap `tower`, an open_clip `TextTransformer`; `tokenizer` is open_clip's `SimpleTokenizer`.

        `logit_scale` is what the model was trained to multiply cosine similarities with: 1 / temperature.
        """
        super().__init__()
        self.tower = tower
        self.tokenizer = tokenizer
        self.logit_scale = logit_scale
        self.start_block = start_block(len(tower.transformer.resblocks), start_fraction)

    @property
    def n_ctx(self) -> int:
        """Places of the context, start and end tokens included (CLIP: 77)."""
        return int(self.tower.context_length)

    @property
    def width(self) -> int:
        """text_width: length of a token embedding."""
        return int(self.tower.token_embedding.weight.shape[1])

    @cached_property
    def table_hash(self) -> str:
        """Identity of the token table, which custom tokens are bound to: 16 hex digits."""
        table = self.tower.token_embedding.weight.detach().to("cpu", torch.float32).contiguous()
        return hashlib.sha256(table.numpy().tobytes()).hexdigest()[:16]

    def token_ids(self, text: str) -> list[int]:
        """BPE ids of a text, without start and end tokens."""
        return list(self.tokenizer.encode(text))

    def piece(self, token_id: int) -> str:
        """The text of one BPE piece."""
        return str(self.tokenizer.decode([token_id])).strip()

    def token_embeddings(self, ids: Tensor) -> Tensor:
        """Rows of the input table: ids `[...]` -> `[..., text_width]`."""
        return self.tower.token_embedding(ids)  # type: ignore[no-any-return]

    def forward(self, embeddings: Tensor, end: Tensor, token_weights: Tensor | None = None) -> TextEncoding:
        """Encode prompts that are given as token embeddings.

        The tower is causal, so the batch may be cut to its longest prompt without changing `features`;
        a generator wants the full context.

        Args:
            embeddings: `[B, n_ctx, text_width]`, start and end tokens included, padded after the end (for a
                generator, with the end token: see `encode_ids`).
            end: place of each end token, `[B]`.
            token_weights: SToRI's w, `[B, n_ctx]`, >= 0, or None for all 1. Applied from
                `self.start_block` on (Kim et al. 2024, section 3.1).

        Returns:
            features `[B, embed_dim]` and conditioning `[B, n_ctx, text_width]`; gradients flow to
            `embeddings` and `token_weights`.
        """
        return self.after_start_block(self.before_start_block(embeddings), end, token_weights)

    def before_start_block(self, embeddings: Tensor) -> Tensor:
        """The first half of `forward`, which no token weight reaches.

        Args:
            embeddings: as for `forward`.

        Returns:
            hidden states `[B, n_ctx, text_width]` in front of the block `self.start_block`.
        """
        n_ctx = embeddings.shape[1]
        mask = causal_mask(n_ctx, embeddings.device)
        x: Tensor = embeddings + self.tower.positional_embedding[:n_ctx]
        for block in self.tower.transformer.resblocks[: self.start_block]:
            x = block(x, attn_mask=mask)
        return x

    def after_start_block(
        self, hidden: Tensor, end: Tensor, token_weights: Tensor | None = None
    ) -> TextEncoding:
        """The second half of `forward`, from the hidden states of `before_start_block` on.

        Args:
            hidden: `[B, n_ctx, text_width]`.
            end, token_weights: as for `forward`.

        Returns:
            as `forward`; gradients flow to `hidden` and `token_weights`.
        """
        tower = self.tower
        mask = causal_mask(hidden.shape[1], hidden.device)
        if token_weights is not None:
            # attention takes one mask a head: [B * heads, n_ctx, n_ctx]
            mask = reweighted_mask(mask, token_weights).repeat_interleave(tower.heads, dim=0)
        x = hidden
        for block in tower.transformer.resblocks[self.start_block :]:
            x = block(x, attn_mask=mask)
        conditioning = tower.ln_final(x)
        # in float32 whatever autocast made of it: half-precision norms are off by 0.2%
        raw = self.raw_features(conditioning, end).float()
        return TextEncoding(nn.functional.normalize(raw, dim=-1), conditioning)

    def raw_features(self, conditioning: Tensor, end: Tensor) -> Tensor:
        """Text features before they are normalised, `[B, embed_dim]`; arguments as of `TextEncoding`, `forward`."""
        pooled = conditioning[torch.arange(len(end), device=end.device), end]
        projection = self.tower.text_projection
        if isinstance(projection, nn.Linear):
            pooled = projection(pooled)
        elif projection is not None:
            pooled = pooled @ projection
        return pooled

    def encode_ids(self, ids: Sequence[Sequence[int]], full_context: bool = False) -> TextEncoding:
        """Encode plain token ids.

        The places after the end token hold the end token again, as Stable Diffusion 1.x pads; so
        conditioning equals that of diffusers' pipelines (and of `pipeline.assemble`'s folders) place by
        place. open_clip itself pads with 0, which gives the same features, the tower being causal, but
        other conditioning after the end.

        Args:
            ids: `[B]` rows of ids without start and end tokens, at most `n_ctx - 2` each.
            full_context: all `n_ctx` places, as a generator wants them; else cut to the longest row.

        Returns:
            features `[B, embed_dim]` and conditioning `[B, length, text_width]`.
        """
        encoding: TextEncoding = self(*self.laid_out(ids, full_context))
        return encoding

    def laid_out(self, ids: Sequence[Sequence[int]], full_context: bool = False) -> tuple[Tensor, Tensor]:
        """Plain token ids as `forward` takes them; the arguments are those of `encode_ids`.

        Returns:
            embeddings `[B, length, text_width]` and places of the end tokens `[B]`.
        """
        start, stop = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        length = self.n_ctx if full_context else max(map(len, ids)) + 2
        table = self.tower.token_embedding.weight
        rows = torch.full((len(ids), length), stop, dtype=torch.long, device=table.device)
        for row, own in zip(rows, ids, strict=True):
            row[: len(own) + 2] = torch.tensor([start, *own, stop])
        end = torch.tensor([len(own) + 1 for own in ids], device=table.device)
        return self.token_embeddings(rows), end


class Encoder:
    """A loaded model: both towers, on one device, frozen. Safe to share between threads."""

    def __init__(
        self, spec: ModelSpec, device: str | None = None, start_fraction: float | None = None
    ) -> None:
        """Nothing is read yet; the towers load when first used.

        Args:
            spec: from `models.resolve`.
            device: `cpu`, `cuda`, `cuda:1`, `mps`; None takes the best there is.
            start_fraction: share of the text tower's blocks that SToRI leaves alone, in 0..1; the paper's
                unless given.

        Raises:
            ModelError: the device is not there, or `start_fraction` is no fraction.
        """
        if start_fraction is not None and not 0 <= start_fraction <= 1:
            raise ModelError(f"start_fraction {start_fraction}: expected a share of the blocks, in 0..1")
        self.spec = spec
        self.device = _device(device)
        self.dtype = _dtype(self.device)
        self.start_fraction = PAPER_START_FRACTION if start_fraction is None else start_fraction
        self._lock = threading.RLock()
        self._text: TextTower | _PlainTextTower | None = None
        self._image: nn.Module | None = None

    @cached_property
    def embedder_id(self) -> EmbedderId:
        """Which model makes the vectors."""
        return self.spec.embedder_id

    @property
    def preprocessing(self) -> Preprocessing:
        """How the image tower wants its pixels."""
        return self.spec.preprocessing

    @property
    def image_tower_loaded(self) -> bool:
        """Whether the image tower has been read; text-only work leaves it on disk."""
        return self._image is not None

    @property
    def text_tower(self) -> TextTower:
        """The text tower, loaded on first use.

        Raises:
            ModelError: damaged weights, or a tower that takes no token weights and custom tokens.
        """
        tower = self._loaded_text()
        if isinstance(tower, TextTower):
            return tower
        raise ModelError(
            f"the text tower of {self.spec.name} takes plain prompts only; token weights and custom tokens "
            f"need open_clip's causal transformer with CLIP's tokenizer, as in ViT-L-14/openai or gair-mini"
        )

    @property
    def image_tower(self) -> nn.Module:
        """The image tower, frozen, on the model's device, loaded on first use. Raises ModelError."""
        return self._loaded_image()

    @property
    def plain_only(self) -> bool:
        """Whether the text tower takes plain prompts only (Hugging Face towers, CoCa, SigLIP)."""
        return not isinstance(self._loaded_text(), TextTower)

    def encode_plain(self, text: str) -> Tensor:
        """Text features `[1, embed_dim]` of plain text, by open_clip's own code where the tower isn't ours."""
        tower = self._loaded_text()
        with torch.inference_mode(), self._autocast():
            if isinstance(tower, TextTower):
                return tower.encode_ids([tower.token_ids(text)]).features
            return nn.functional.normalize(tower(text, self.device).float(), dim=-1)

    def encode_text(
        self, embeddings: Tensor, end: Tensor, token_weights: Tensor | None = None
    ) -> TextEncoding:
        """`TextTower.forward` without gradients, in the device's precision."""
        with torch.inference_mode(), self._autocast():
            encoding: TextEncoding = self.text_tower(embeddings, end, token_weights)
            return encoding

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of preprocessed images.

        Args:
            pixels: uint8 `[B, height, width, 3]` from `Preprocessing.pixels`.

        Returns:
            image features, float32 `[B, embed_dim]`, L2-normalised.

        Raises:
            ModelError: damaged weights, or out of memory.
        """
        return self.embed(torch.from_numpy(np.require(pixels, requirements="W"))).cpu().numpy()

    def encode_files(self, files: Iterable[str | os.PathLike[str]]) -> NDArray[np.float32]:
        """Image features of files, float32 `[N, embed_dim]`, L2-normalised. Raises ImageError, ModelError."""
        return self.encode_images(np.stack([load_pixels(Path(file), self.preprocessing) for file in files]))

    def embed(self, pixels: Tensor) -> Tensor:
        """`encode_images` for pixels in a tensor, on any device; the features stay on the model's.

        Args:
            pixels: uint8 `[B, height, width, 3]`.

        Returns:
            image features, float32 `[B, embed_dim]`, L2-normalised.

        Raises:
            ModelError: damaged weights, or out of memory.
        """
        tower = self._loaded_image()
        with torch.inference_mode(), self._autocast():
            x = pixels.to(self.device).permute(0, 3, 1, 2).float().div(255)
            mean, std = (
                torch.tensor(v, device=self.device).view(1, 3, 1, 1)
                for v in (self.preprocessing.mean, self.preprocessing.std)
            )
            try:
                features = tower(x.sub(mean).div(std)).float()
            except torch.OutOfMemoryError as error:
                raise ModelError(f"{len(pixels)} images at once are too many; try --batch-size") from error
            return nn.functional.normalize(features, dim=-1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _loaded_text(self) -> "TextTower | _PlainTextTower":
        with self._lock:
            if self._text is None:
                # whoever asks first: weights that are made in inference mode can't be learned through
                with torch.inference_mode(False):
                    self._text = _frozen(_load_text(self.spec, self.start_fraction), self.device)
            return self._text

    def _loaded_image(self) -> nn.Module:
        with self._lock:
            if self._image is None:
                with torch.inference_mode(False):  # as above
                    tower = _load_full(self.spec).visual.eval().requires_grad_(False).float()
                    example = torch.randn(
                        1, 3, *self.preprocessing.size, generator=torch.Generator().manual_seed(0)
                    )
                    self._image = folded(tower, example).to(self.device)
            return self._image


class _PlainTextTower(nn.Module):
    """Any text tower of open_clip's that ours can't drive, with its own tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    def forward(self, text: str, device: torch.device) -> Tensor:
        """Raw text features `[1, embed_dim]`. Raises PromptError where the tokenizer would cut the text."""
        own = getattr(self.tokenizer, "tokenizer", self.tokenizer)
        n, room = len(own.encode(text)), int(self.tokenizer.context_length)
        if n > room:
            raise PromptError(f"the prompt has {n} tokens and the model takes {room}; shorten it", text)
        features: Tensor = self.model.encode_text(self.tokenizer([text]).to(device))
        return features


def _frozen(module: M, device: torch.device) -> M:
    """In evaluation mode, without gradients, in float32 on the device."""
    return module.eval().requires_grad_(False).float().to(device)


def _device(name: str | None) -> torch.device:
    """The device of that name, or the best there is. Raises ModelError where it isn't there."""
    if name is None:
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no data")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {name} can't be used here ({reason}); try --device cpu") from error
    return device


def _dtype(device: torch.device) -> torch.dtype:
    """float32 on the CPU, bfloat16 on CUDA where the card has it, float16 elsewhere."""
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16


def _load_full(spec: ModelSpec) -> Any:
    """The whole model through open_clip's factory."""
    import open_clip

    verify_weights(spec)
    _check_named(spec)
    local = spec.architecture.startswith("local-dir:")
    try:
        with untrusted.nothing_run():
            return open_clip.create_model(
                spec.architecture,
                pretrained=None if local else str(spec.weights),
                force_quick_gelu=spec.quick_gelu,
                weights_only=True,
            )
    except Exception as error:  # torch, safetensors and open_clip each raise their own on a misfit
        raise _misfit(spec, error) from error


def _load_text(spec: ModelSpec, start_fraction: float) -> TextTower | _PlainTextTower:
    """The text tower alone where it is open_clip's own causal transformer, else with its whole model."""
    import open_clip

    _check_named(spec)
    tokenizer = _tokenizer(spec)
    text = spec.config["text_cfg"]
    ours = (
        isinstance(tokenizer, open_clip.SimpleTokenizer)
        and not any(text.get(key) for key in ("hf_model_name", "embed_cls", "no_causal_mask"))
        and text.get("pool_type", "argmax") in ("argmax", "eos")
        and "multimodal_cfg" not in spec.config
    )
    if not ours:
        return _PlainTextTower(_load_full(spec), tokenizer)
    verify_weights(spec)
    quick_gelu = spec.quick_gelu
    try:
        with torch.device("meta"):
            tower = open_clip.model._build_text_tower(spec.embed_dim, dict(text), quick_gelu)
        state = _text_state(spec)
        log_scale = state.pop("logit_scale", None)
        tower.load_state_dict(state, strict=True, assign=True)
    except Exception as error:
        raise _misfit(spec, error) from error
    tower.attn_mask = None  # built on meta, and we pass our own
    scale = LOGIT_SCALE if log_scale is None else float(log_scale.float().exp())
    return TextTower(tower, tokenizer, start_fraction, scale)


def _check_named(spec: ModelSpec) -> None:
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

    if spec.weights.suffix == ".safetensors":
        with safe_open(spec.weights, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys() if "visual." not in key}  # noqa: SIM118
    else:
        from open_clip.factory import load_state_dict

        with untrusted.nothing_run():
            state = load_state_dict(str(spec.weights), weights_only=True)
    state = {key.removeprefix("module.").removeprefix("text."): value for key, value in state.items()}
    return {k: v for k, v in state.items() if not k.startswith(("visual.", "logit_bias"))}


def _misfit(spec: ModelSpec, error: Exception) -> ModelError:
    """One readable line for weights that don't load."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ModelError(f"{spec.name}: {spec.weights} can't be loaded as {spec.architecture}: {reason}")
