"""The generator as a folder for diffusers: the shipped parts, and the text tower in transformers' format.

A model folder may hold `generator/`: a latent diffusion in the layout of Stable Diffusion 1.x (`model_index.json`,
`scheduler/`, `unet/`, `vae/`) without text encoder and tokenizer, since its text encoder *is* the CLIP's text
tower beside it. The full folder, which `diffusers.StableDiffusionPipeline.from_pretrained` loads as it is, is
assembled from the two on demand. torch and transformers are imported inside the functions.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gair_search import paths
from gair_search.encoder import checksums, models, untrusted
from gair_search.encoder.identity import ModelSpec
from gair_search.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import CLIPTextModel

    from gair_search.encoder.text_tower import TextTower

GENERATOR = "generator"
"""The sub-folder of a model folder that holds the generator's parts."""

START, END = "<|startoftext|>", "<|endoftext|>"
"""How transformers' CLIPTokenizer writes what open_clip calls `<start_of_text>` and `<end_of_text>`."""

_INDEX = "model_index.json"
_CONFIGS = {"scheduler": "scheduler_config.json", "unet": "config.json", "vae": "config.json"}
_ADDED = {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
_FORMAT = 1  # of the assembled folder; a higher one assembles anew
_LOCK_SECONDS = 300.0
_PROBE = "A Photo, of a (red) DRESS!"  # upper case and punctuation, which some tokenizers drop


def pipeline_folder(spec: ModelSpec) -> Path:
    """The Stable Diffusion folder of a model's generator, assembled under `GAIR_HOME` on first use.

    The folder's name holds a hash over all parts, so a new version of a model gets a folder of its own. Take it
    as read-only: its weights are hard links to the model's where the file system has them.

    Args:
        spec: from `models.resolve`.

    Returns:
        a folder for `diffusers.StableDiffusionPipeline.from_pretrained`.

    Raises:
        ModelError: the model has no generator; its files are damaged, or don't fit each other; the folder
            can't be written.
    """
    from filelock import FileLock, Timeout

    from gair_search.encoder.clip import Encoder

    parts = generator_parts(spec)
    name = re.sub(r"[^\w.-]+", "-", re.split(r"[/:]", spec.name)[-1])
    target = paths.home() / "pipelines" / f"{name}-{_identity(spec, parts)}"
    if _intact(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock"), timeout=_LOCK_SECONDS):
            if _intact(target):  # by now
                return target
            for left in (target, *target.parent.glob(f".{target.name}.*")):  # damaged; of a killed process
                shutil.rmtree(left, ignore_errors=True)
            return assemble(parts, Encoder(spec, "cpu").text_tower, target)
    except Timeout:
        raise ModelError(
            f"{target} is being assembled by another process, for more than {_LOCK_SECONDS:.0f} s; try again later"
        ) from None
    except OSError as error:
        raise ModelError(f"{target} can't be written: {error.strerror or error}; see GAIR_HOME") from error


def export(spec: ModelSpec, target: Path) -> Path:
    """Write a model's Stable Diffusion folder to a place of the user's own: copies, free to be changed.

    Returns:
        `target`.

    Raises:
        ModelError: as `pipeline_folder` and `assemble`.
    """
    from gair_search.encoder.clip import Encoder

    return assemble(generator_parts(spec), Encoder(spec, "cpu").text_tower, target, link=False)


def assemble(parts: Path, tower: "TextTower", target: Path, link: bool = True) -> Path:
    """Join a generator's parts and a text tower in a folder for diffusers.

    The folder appears whole or not at all. One that holds these parts already is left as it is.

    Args:
        parts: `model_index.json`, `scheduler/`, `unet/`, `vae/`.
        tower: the text tower that the UNet was trained with.
        target: the folder to make.
        link: whether weights may be hard links to those in `parts`, which costs no space; not where the user
            may write to `target`, since diffusers writes into existing files.

    Returns:
        `target`.

    Raises:
        ModelError: parts are missing or don't fit each other or the tower; the tower can't be converted;
            `target` holds something else or can't be written.
    """
    check_parts(parts, tower)
    if _holds(target, parts):
        return target
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ModelError(
                f"{target} exists and is not this pipeline's folder; expected none, or an empty one. "
                f"Choose another, or remove it"
            )
        with paths.new_folder(target) as folder:
            for source in _files(parts):
                _place(source, folder / source.relative_to(parts), link)
            index = _json(parts / _INDEX)
            index |= _ADDED
            for optional in ("safety_checker", "feature_extractor"):
                index.setdefault(optional, [None, None])
            index.setdefault("requires_safety_checker", False)
            _write_json(folder / _INDEX, index)
            write_text_encoder(folder / "text_encoder", tower)
            write_tokenizer(folder / "tokenizer", tower.n_ctx)
            checksums.write_checksums(folder)
    except OSError as error:
        if _holds(target, parts):  # another process was quicker
            return target
        raise ModelError(f"{target} can't be written: {error.strerror or error}") from error
    return target


def text_encoder(tower: "TextTower") -> "CLIPTextModel":
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

    state = _as_transformers(tower.transformer)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn; the user's seed stays as it is
        model = CLIPTextModel(CLIPTextConfig(**_config(tower)))
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
        ModelError: as `text_encoder`.
        OSError: the folder can't be written.
    """
    from safetensors.torch import save

    # all versions of transformers read the names with `text_model.`, only late ones those without
    state = _narrowed({f"text_model.{k}": v for k, v in _as_transformers(tower.transformer).items()})
    # computed in float32 unless asked otherwise, as diffusers does with UNet and VAE: halves don't mix with those
    config = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "torch_dtype": "float32"}
    config |= _config(tower)
    folder.mkdir(parents=True)
    # safetensors' own writing raises errors of its own where the disk is full
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))
    _write_json(folder / "config.json", config)


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
    _write_json(folder / "vocab.json", {renamed.get(i, piece): i for piece, i in tokenizer.encoder.items()})
    merges = "".join(f"{left} {right}\n" for left, right in tokenizer.bpe_ranks)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", "utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    _write_json(folder / "special_tokens_map.json", special)
    facts = {"model_max_length": n_ctx, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    _write_json(folder / "tokenizer_config.json", {**special, **facts})


def generator_parts(spec: ModelSpec) -> Path:
    """The folder of a model's generator, its weights checked: `model_index.json`, `scheduler/`, `unet/`, `vae/`.

    Raises:
        ModelError: the model has none, its weights are damaged, or it would have its own code run.
    """
    parts = spec.folder / GENERATOR if spec.folder else None
    if spec.folder is None or parts is None or not parts.is_dir():
        where = f"no {GENERATOR}/ in {spec.folder}" if spec.folder else "its weights are a single file"
        advice = f"; a model that comes with one: {models.BUNDLED}" if spec.name != models.BUNDLED else ""
        raise ModelError(f"{spec.name} has no generator ({where}){advice}")
    untrusted.check_generator(parts)
    checksums.verify(spec.folder, [spec.weights, *parts.rglob("*.safetensors")])
    return parts


def _intact(target: Path) -> bool:
    """Whether an assembled folder is there, and its weights are those that were written."""
    try:
        checksums.verify(target, target.rglob("*.safetensors"))
    except ModelError:
        return False
    return (target / _INDEX).is_file()


def _identity(spec: ModelSpec, parts: Path) -> str:
    """16 hex digits that change with any file of a generator, and with the CLIP's weights and config."""
    facts = [_FORMAT, spec.config, spec.quick_gelu, checksums.read_hash(spec.weights)]
    facts += [[file.relative_to(parts).as_posix(), checksums.read_hash(file)] for file in _files(parts)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def check_parts(parts: Path, tower: "TextTower") -> None:
    """Raise ModelError unless a generator's parts are complete, and fit each other and the tower."""
    from open_clip import SimpleTokenizer

    _json(parts / _INDEX)
    for part in _ADDED:
        if (parts / part).exists():
            raise ModelError(f"{parts} holds {part}/ of its own; it can be given to diffusers as it is")
    facts = {part: _json(parts / part / config) for part, config in _CONFIGS.items()}
    for part in ("unet", "vae"):
        if not any((parts / part).glob("*.safetensors")):
            raise ModelError(f"{parts / part} holds no weights; expected diffusion_pytorch_model.safetensors")
    # what a config leaves out has diffusers' default
    width = facts["unet"].get("cross_attention_dim", 1280)
    if any(own != tower.width for own in (width if isinstance(width, list) else [width])):
        raise ModelError(
            f"the UNet in {parts} takes conditioning of width {width}, and this text tower gives {tower.width}; "
            f"give the text tower that it was trained with"
        )
    latents, channels = facts["vae"].get("latent_channels", 4), facts["unet"].get("in_channels", 4)
    if latents != channels:
        raise ModelError(
            f"the VAE in {parts} makes latents of {latents} channels, and the UNet takes {channels}; "
            f"give parts that were trained together"
        )
    if tower.tokenizer.encode(_PROBE) != SimpleTokenizer().encode(_PROBE):
        raise ModelError(
            "the text tower's tokenizer is not CLIP's plain one, which is all that a Stable Diffusion folder "
            "can hold; give a text tower like those of ViT-L-14/openai or gair-mini"
        )


def _config(tower: "TextTower") -> dict[str, Any]:
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
        "hidden_act": _only({_activation(block.mlp.gelu) for block in blocks}, "activation"),
        "layer_norm_eps": _only(
            {m.eps for m in own.modules() if isinstance(m, nn.LayerNorm)}, "LayerNorm eps"
        ),
        "bos_token_id": tokenizer.sot_token_id,
        "eos_token_id": tokenizer.eot_token_id,
        "pad_token_id": tokenizer.eot_token_id,
    }


def _as_transformers(own: Any) -> "dict[str, Tensor]":
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


def _activation(module: "nn.Module") -> str:
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


def _only(values: set[Any], what: str) -> Any:
    """The one value that all blocks share, which is all that transformers' config can say."""
    if len(values) != 1:
        found = ", ".join(sorted(map(str, values))) or "none"
        raise ModelError(
            f"the text tower can't be converted: expected one {what} in all blocks, found {found}"
        )
    return next(iter(values))


def _narrowed(state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors in half precision where not one value changes, else as they are."""
    import torch

    for dtype in (torch.float16, torch.bfloat16):
        narrow = {name: value.to(dtype) for name, value in state.items()}
        if all(torch.equal(narrow[name].to(value.dtype), value) for name, value in state.items()):
            return {name: value.contiguous() for name, value in narrow.items()}
    return {name: value.contiguous() for name, value in state.items()}


def _holds(target: Path, parts: Path) -> bool:
    """Whether `target` is a pipeline's folder with just these parts in it."""
    own = [
        target / _INDEX,
        target / "text_encoder" / "model.safetensors",
        target / "tokenizer" / "vocab.json",
    ]
    pairs = [(file, target / file.relative_to(parts)) for file in _files(parts)]
    return all(file.is_file() for file in own) and all(
        theirs.is_file()
        and (theirs.samefile(ours) or checksums.read_hash(theirs) == checksums.read_hash(ours))
        for ours, theirs in pairs
        if ours != parts / _INDEX  # which names the added parts in `target`
    )


def _files(folder: Path) -> list[Path]:
    """All files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _place(source: Path, target: Path, link: bool) -> None:
    """Link or copy a file; weights alone are linked, since the rest is small."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link and source.suffix == ".safetensors":
        try:
            target.hardlink_to(source.resolve())  # resolved: Hugging Face's cache holds symbolic links
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(source, target)


def _json(path: Path) -> dict[str, Any]:
    """A JSON object of the parts. Raises ModelError where it is missing or damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
        return content
    except FileNotFoundError:
        raise ModelError(
            f"{path} is missing; expected diffusers' layout of Stable Diffusion: {_INDEX}, {', '.join(_CONFIGS)}"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read: {error}") from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")
