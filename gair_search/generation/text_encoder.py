"""A text tower as diffusers and transformers know it: `text_encoder/` and `tokenizer/` of a Stable Diffusion folder.

torch and transformers are imported inside the functions.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gair_search.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import CLIPTextModel

    from gair_search.encoder.text_tower import TextTower

START, END = "<|startoftext|>", "<|endoftext|>"
"""How transformers' CLIPTokenizer writes what open_clip calls `<start_of_text>` and `<end_of_text>`."""


def make_text_encoder(tower: "TextTower") -> "CLIPTextModel":
    """A text tower in transformers' format.

    Args:
        tower: any causal text tower of open_clip's: GELU or QuickGELU, any width, heads, layers.

    Returns:
        a model with the same weights, on the CPU in evaluation mode, whose `last_hidden_state` for ids
        `[B, n_ctx]` is `TextTower`'s conditioning `[B, n_ctx, text_width]`.

    Raises:
        ModelError: the tower holds what transformers' model has no place for.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    state = _to_transformers_state(tower.transformer)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn; the user's seed stays as it is
        model = CLIPTextModel(CLIPTextConfig(**_text_config(tower)))
    # transformers kept these names below `text_model.` until one of its 5.x
    prefix = "text_model." if hasattr(model, "text_model") else ""
    missing, unexpected = model.load_state_dict({prefix + k: v for k, v in state.items()}, strict=False)
    if unexpected or any("position_ids" not in name for name in missing):
        raise ModelError(
            f"the text tower can't be converted: {[*missing, *unexpected][0]} has no counterpart"
        )
    return model.eval()


def write_text_encoder(folder: Path, tower: "TextTower") -> None:
    """Write `text_encoder` of a tower as diffusers reads it, in the least precision that loses nothing.

    Raises:
        ModelError: as `make_text_encoder`.
        OSError: the folder can't be written.
    """
    from safetensors.torch import save

    # all versions of transformers read the names with `text_model.`, only late ones those without
    state = _narrow({f"text_model.{k}": v for k, v in _to_transformers_state(tower.transformer).items()})
    # computed in float32 unless asked otherwise, as diffusers does with UNet and VAE: halves don't mix with those
    config = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "torch_dtype": "float32"}
    config |= _text_config(tower)
    folder.mkdir(parents=True)
    # safetensors' own writing raises errors of its own where the disk is full
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))
    write_json(folder / "config.json", config)


def write_tokenizer(folder: Path, n_ctx: int = 77) -> None:
    """Write CLIP's tokenizer in transformers' files, from open_clip's own vocabulary.

    `transformers.CLIPTokenizer` then gives open_clip's ids, cut at `n_ctx`, for any text as open_clip cleans
    it. The cleaning itself (HTML entities, curly quotes and what else ftfy mends) is not part of the files.

    Padding is Stable Diffusion 1.x's, the end token, which `TextTower.encode_ids` uses, too. open_clip's own
    padding, id 0, can't be had: 0 is `!`, and transformers would take every `!` in a text for padding.

    Args:
        folder: made if need be.
        n_ctx: places of the context.

    Raises:
        OSError: the folder can't be written.
    """
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    renamed = {tokenizer.sot_token_id: START, tokenizer.eot_token_id: END}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", {renamed.get(i, piece): i for piece, i in tokenizer.encoder.items()})
    merges = "".join(f"{left} {right}\n" for left, right in tokenizer.bpe_ranks)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", "utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    write_json(folder / "special_tokens_map.json", special)
    facts = {"model_max_length": n_ctx, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    write_json(folder / "tokenizer_config.json", {**special, **facts})


def _text_config(tower: "TextTower") -> dict[str, Any]:
    """The fields of transformers' `CLIPTextConfig` for a tower. Raises ModelError where it can't say them."""
    from torch import nn

    own, tokenizer = tower.transformer, tower.tokenizer
    blocks = own.transformer.resblocks
    return {
        "vocab_size": own.token_embedding.num_embeddings,
        "hidden_size": tower.width,
        "intermediate_size": blocks[0].mlp.c_fc.out_features,
        "projection_dim": int(own.output_dim or tower.width),
        "num_hidden_layers": len(blocks),
        "num_attention_heads": own.heads,
        "max_position_embeddings": tower.n_ctx,
        "hidden_act": _shared_value({_activation_name(block.mlp.gelu) for block in blocks}, "activation"),
        "layer_norm_eps": _shared_value(
            {m.eps for m in own.modules() if isinstance(m, nn.LayerNorm)}, "LayerNorm eps"
        ),
        "bos_token_id": tokenizer.sot_token_id,
        "eos_token_id": tokenizer.eot_token_id,
        "pad_token_id": tokenizer.eot_token_id,
    }


def _to_transformers_state(own: Any) -> "dict[str, Tensor]":
    """An open_clip `TextTransformer`'s tensors in `CLIPTextModel`'s names. Raises ModelError on a misfit."""
    left = {name: value.detach().cpu() for name, value in own.state_dict().items()}
    left = {name: value for name, value in left.items() if not name.startswith("text_projection")}
    pairs = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
    }
    blocks = range(len(own.transformer.resblocks))
    for kind in ("weight", "bias"):
        pairs[f"ln_final.{kind}"] = f"final_layer_norm.{kind}"
        for i in blocks:
            theirs, ours = f"encoder.layers.{i}", f"transformer.resblocks.{i}"
            pairs[f"{ours}.ln_1.{kind}"] = f"{theirs}.layer_norm1.{kind}"
            pairs[f"{ours}.ln_2.{kind}"] = f"{theirs}.layer_norm2.{kind}"
            pairs[f"{ours}.attn.out_proj.{kind}"] = f"{theirs}.self_attn.out_proj.{kind}"
            pairs[f"{ours}.mlp.c_fc.{kind}"] = f"{theirs}.mlp.fc1.{kind}"
            pairs[f"{ours}.mlp.c_proj.{kind}"] = f"{theirs}.mlp.fc2.{kind}"
    try:
        state = {theirs: left.pop(ours) for ours, theirs in pairs.items()}
        for i in blocks:
            for kind in ("weight", "bias"):
                joined = left.pop(f"transformer.resblocks.{i}.attn.in_proj_{kind}")
                for letter, part in zip("qkv", joined.chunk(3), strict=True):
                    state[f"encoder.layers.{i}.self_attn.{letter}_proj.{kind}"] = part
    except KeyError as error:
        raise ModelError(f"the text tower can't be converted: it has no {error.args[0]}") from None
    if left:  # LayerScale, normalised queries and keys, a class token, ...
        raise ModelError(
            f"the text tower can't be converted: transformers' CLIPTextModel has no place for {min(left)}"
        )
    return state


def _activation_name(module: "nn.Module") -> str:
    """transformers' name of a block's activation. Raises ModelError on one that it has no name for."""
    from open_clip.transformer import QuickGELU
    from torch import nn

    if isinstance(module, QuickGELU):
        return "quick_gelu"
    if isinstance(module, nn.GELU):
        return "gelu" if module.approximate == "none" else "gelu_pytorch_tanh"
    raise ModelError(
        f"the text tower can't be converted: its activation is {module}, expected GELU or QuickGELU"
    )


def _shared_value(values: set[Any], what: str) -> Any:
    """The one value that all blocks share, which is all that transformers' config can say."""
    if len(values) != 1:
        found = ", ".join(sorted(map(str, values))) or "none"
        raise ModelError(
            f"the text tower can't be converted: expected one {what} in all blocks, found {found}"
        )
    return next(iter(values))


def _narrow(state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors in half precision where not one value changes, else as they are."""
    import torch

    for dtype in (torch.float16, torch.bfloat16):
        narrow = {name: value.to(dtype) for name, value in state.items()}
        if all(torch.equal(narrow[name].to(value.dtype), value) for name, value in state.items()):
            return {name: value.contiguous() for name, value in narrow.items()}
    return {name: value.contiguous() for name, value in state.items()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object as these libraries do. Raises OSError."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")
