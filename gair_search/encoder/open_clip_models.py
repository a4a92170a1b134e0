"""Models that the user has in memory, as open_clip gives them -> towers. The user's model itself is only read."""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gair_search.encoder.folding import fold_if_unchanged
from gair_search.encoder.identity import EmbedderId, ModelSpec, digest
from gair_search.encoder.text_tower import LOGIT_SCALE, PlainTextTower, TextTower
from gair_search.encoder.transforms import describe, read_preprocessing
from gair_search.errors import ModelError

M = TypeVar("M", bound=nn.Module)

_STRUCTURE = ("num_heads", "eps", "approximate", "stride", "padding", "pool_type", "text_pool_type")
"""What changes a module's output besides its type and its tensors."""

_SPARE_WORDS = 1000
"""Words that a tokenizer of Hugging Face's may count beyond the token table: none of them is ever used."""


@dataclass(frozen=True)
class ModelInMemory(ModelSpec):
    """A model that the user has loaded.

    Attributes:
        model: a frozen view of it, see `frozen_view`; its text features have `embed_dim` places.
        tokenizer: open_clip's for the model.
    """

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)

    @cached_property
    def embedder_id(self) -> EmbedderId:
        """The identity that galleries and custom tokens store: of the tensors, computed when first asked for."""
        content = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if isinstance(tensor, Tensor):
                content.update(json.dumps([name, str(tensor.dtype), [*tensor.shape]]).encode())
                content.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        structure = [
            [name, type(module).__name__, *(str(getattr(module, key, None)) for key in _STRUCTURE)]
            for name, module in self.model.named_modules()
        ]
        return EmbedderId(
            self.name,
            f"{self.architecture}-{digest(json.dumps(structure).encode(), 8)}",
            content.hexdigest()[:16],
            self._preprocessing_hash(),
            self.embed_dim,
        )


class FlattenedText(nn.Module):
    """The text tower that open_clip's `CLIP` holds flattened, in the names of `TextTransformer`; the same modules."""

    def __init__(self, model: Any) -> None:
        """Gather the parts of an open_clip `CLIP`."""
        super().__init__()
        self.token_embedding = model.token_embedding
        self.positional_embedding = model.positional_embedding
        self.transformer = model.transformer
        self.ln_final = model.ln_final
        self.text_projection = model.text_projection
        self.register_buffer("attn_mask", model.attn_mask, persistent=False)
        self.context_length, self.vocab_size = model.context_length, model.vocab_size
        self.pool_type, self.eos_id, self.cls_emb = (
            model.text_pool_type,
            getattr(model, "text_eos_id", None),
            None,
        )
        self.width = model.transformer.width
        self.heads = model.transformer.resblocks[0].attn.num_heads
        projection = model.text_projection
        if isinstance(projection, nn.Linear):
            self.output_dim = projection.out_features
        else:
            self.output_dim = self.width if projection is None else projection.shape[1]


def read_model(model: Any, tokenizer: Any, preprocess: Any, name: str | None) -> ModelInMemory:
    """What open_clip gives, checked, as a model that an `Encoder` can take. See `Encoder.from_open_clip`.

    Raises:
        ModelError: one of them is something else, or they don't belong together.
    """
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    _check_model(model)
    check_tokenizer(tokenizer, model)
    with torch.inference_mode(False), torch.no_grad():
        try:
            view = frozen_view(model)
            ids = tokenizer(["a photo"]).to(device_of(view))
            features = view.encode_text(ids)
            dim = int((features[0] if isinstance(features, tuple) else features).shape[-1])
        except Exception as error:  # copying and running the user's modules raises anything
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ModelError(f"{describe(model)} can't encode what the tokenizer gives: {reason}") from error
    preprocessing = read_preprocessing(preprocess, model.visual)
    _check_size(model.visual, preprocessing.size)
    kind = describe(model)
    quick_gelu = any(type(module).__name__ == "QuickGELU" for module in view.modules())
    return ModelInMemory(
        name or f"{kind}-{dim}", kind, {"embed_dim": dim}, preprocessing, None, quick_gelu, view, tokenizer
    )


def frozen_view(module: M) -> M:
    """A copy in evaluation mode, without gradients, in float32: it shares its memory with what is in float32.

    The original stays as it is. Weights of other precisions are copied.

    Args:
        module: any module; its tensors may be of inference mode.

    Raises:
        RuntimeError, TypeError: it holds what can't be copied.
    """
    with torch.inference_mode(False):
        memo: dict[int, Any] = {
            id(own): nn.Parameter(_float_view(own), requires_grad=False) for own in module.parameters()
        }
        memo |= {id(own): _float_view(own) for own in module.buffers()}
        return copy.deepcopy(module, memo).eval()


def device_of(module: nn.Module) -> torch.device:
    """Where a module's first parameter lies."""
    return next(module.parameters()).device


def view_image_tower(spec: ModelInMemory) -> nn.Module:
    """The image tower of a model in memory, frozen, in float32, on the model's device."""
    tower: nn.Module = pooled_only(frozen_view(spec.model.visual))
    example = torch.randn(1, 3, *spec.preprocessing.size, generator=torch.Generator().manual_seed(0))
    return fold_if_unchanged(tower, example.to(device_of(spec.model)))


def view_text_tower(spec: ModelInMemory, start_fraction: float) -> TextTower | PlainTextTower:
    """The text tower of a model in memory: `TextTower` where that can drive it, else the whole model."""
    text = find_text_transformer(spec.model)
    if text is None or not TextTower.can_drive(text, spec.tokenizer):
        return PlainTextTower(frozen_view(spec.model), spec.tokenizer).eval()
    log_scale = getattr(spec.model, "logit_scale", None)
    scale = LOGIT_SCALE if log_scale is None else float(log_scale.exp())
    return TextTower(frozen_view(text), spec.tokenizer, start_fraction, scale).eval()


def find_text_transformer(model: Any) -> nn.Module | None:
    """The text tower of an open_clip model, in the names of `TextTransformer`; None where there is no such tower.

    Of a subclass only where it encodes texts as its parent does.
    """
    import open_clip

    if isinstance(model, open_clip.CLIP) and type(model).encode_text is open_clip.CLIP.encode_text:
        return FlattenedText(model)
    custom = open_clip.CustomTextCLIP
    if isinstance(model, custom) and type(model).encode_text is custom.encode_text:
        text: nn.Module = model.text
        return text if isinstance(text, open_clip.transformer.TextTransformer) else None
    return None


def pooled_only(visual: M) -> M:
    """An image tower that gives features alone, where CoCa's gives its tokens, too; the same module."""
    if getattr(visual, "output_tokens", False):
        visual.output_tokens = False  # type: ignore[assignment]
    return visual


def check_tokenizer(tokenizer: Any, model: Any) -> None:
    """Check that a tokenizer is open_clip's, with the vocabulary and the context length of a model.

    Raises:
        ModelError: it is not.
    """
    import open_clip

    expected = "expected what open_clip.get_tokenizer(...) gives for this model"
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    context, words = getattr(tokenizer, "context_length", None), getattr(inner, "vocab_size", None)
    if not (callable(tokenizer) and isinstance(context, int) and isinstance(words, int)):
        raise ModelError(f"tokenizer is {describe(tokenizer)}; {expected}")
    text = getattr(model, "text", model)
    rows, places = int(getattr(text, "vocab_size", 0)), int(getattr(text, "context_length", 0))
    plain = isinstance(tokenizer, open_clip.SimpleTokenizer)
    if plain and not hasattr(model, "text_decoder"):  # one of open_clip's CoCas has a larger table
        fits = words == rows
    else:  # several models have spare rows
        fits = 3 * rows // 4 <= words <= rows + _SPARE_WORDS
    if rows and not fits:
        raise ModelError(
            f"the tokenizer has {words} words, and the token table of {describe(model)} {rows}; {expected}"
        )
    fixed = hasattr(text, "positional_embedding")  # Hugging Face's towers take shorter contexts, too
    if places and (context != places if fixed else context > places):
        raise ModelError(
            f"the tokenizer gives {context} places, and the text tower of {describe(model)} takes {places}; "
            f"{expected}, as open_clip.get_tokenizer(NAME, context_length={places})"
        )


def _check_model(model: Any) -> None:
    """Raise ModelError unless it is a module with open_clip's two towers."""
    expected = "expected the model that open_clip.create_model_and_transforms(...) gives"
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(f"model is scripted, and can't be viewed; {expected} with jit=False")
    visual, encode_text = getattr(model, "visual", None), getattr(model, "encode_text", None)
    if not (isinstance(model, nn.Module) and isinstance(visual, nn.Module) and callable(encode_text)):
        raise ModelError(f"model is {describe(model)}; {expected}: a module with `visual` and `encode_text`")
    if next(model.parameters(), None) is None:
        raise ModelError(f"model is {describe(model)} without parameters; {expected}")
    if device_of(model).type == "meta":
        raise ModelError(f"{describe(model)} is on the device meta, and so holds no weights; {expected}")


def _check_size(visual: Any, size: tuple[int, int]) -> None:
    """Raise ModelError where an image tower of one size alone gets images of another."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer

    if not isinstance(visual, ModifiedResNet | VisionTransformer):
        return
    side = visual.image_size
    height, width = side if isinstance(side, list | tuple) else (side, side)
    if size != (height, width):
        raise ModelError(
            f"preprocess gives images of {size[0]} x {size[1]}, and the image tower takes {height} x {width}; "
            f"expected the transform that open_clip made with this model"
        )


def _float_view(tensor: Tensor) -> Tensor:
    """The same memory where it is float32 or no floating point, else a float32 copy."""
    own = tensor.detach()
    if own.is_floating_point():
        own = own.float()
    # tensors of inference mode can't be learned through
    return own.clone() if own.is_inference() else own
