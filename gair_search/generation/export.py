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
from gair_search.generation.text_encoder import write_json, write_text_encoder, write_tokenizer

if TYPE_CHECKING:
    from gair_search.encoder.text_tower import TextTower

GENERATOR = "generator"
"""The sub-folder of a model folder that holds the generator's parts."""

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
    target = paths.home() / "pipelines" / f"{name}-{_pipeline_hash(spec, parts)}"
    if _is_intact(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock"), timeout=_LOCK_SECONDS):
            if _is_intact(target):  # by now
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
                _link_or_copy(source, folder / source.relative_to(parts), link)
            index = _read_json(parts / _INDEX)
            index |= _ADDED
            for optional in ("safety_checker", "feature_extractor"):
                index.setdefault(optional, [None, None])
            index.setdefault("requires_safety_checker", False)
            write_json(folder / _INDEX, index)
            write_text_encoder(folder / "text_encoder", tower)
            write_tokenizer(folder / "tokenizer", tower.n_ctx)
            checksums.write_checksums(folder)
    except OSError as error:
        if _holds(target, parts):  # another process was quicker
            return target
        raise ModelError(f"{target} can't be written: {error.strerror or error}") from error
    return target


def generator_parts(spec: ModelSpec) -> Path:
    """The folder of a model's generator, its weights checked: `model_index.json`, `scheduler/`, `unet/`, `vae/`.

    Raises:
        ModelError: the model has none, its weights are damaged, or it would have its own code run.
    """
    if spec.weights is None:
        raise ModelError(
            f"{spec.name} is a model in memory, without a folder that could hold a generator; give the folder of one "
            f"that was trained with its text tower: Generator.load(encoder, FOLDER) to draw, "
            f"assemble(FOLDER, encoder.text_tower, TARGET) for diffusers"
        )
    parts = spec.folder / GENERATOR if spec.folder else None
    if spec.folder is None or parts is None or not parts.is_dir():
        where = f"no {GENERATOR}/ in {spec.folder}" if spec.folder else "its weights are a single file"
        advice = f"; a model that comes with one: {models.BUNDLED}" if spec.name != models.BUNDLED else ""
        raise ModelError(f"{spec.name} has no generator ({where}){advice}")
    untrusted.check_generator(parts)
    checksums.verify(spec.folder, [spec.weights_file, *parts.rglob("*.safetensors")])
    return parts


def _is_intact(target: Path) -> bool:
    """Whether an assembled folder is there, and its weights are those that were written."""
    try:
        checksums.verify(target, target.rglob("*.safetensors"))
    except ModelError:
        return False
    return (target / _INDEX).is_file()


def _pipeline_hash(spec: ModelSpec, parts: Path) -> str:
    """16 hex digits that change with any file of a generator, and with the CLIP's weights and config."""
    facts = [_FORMAT, spec.config, spec.quick_gelu, checksums.read_hash(spec.weights_file)]
    facts += [[file.relative_to(parts).as_posix(), checksums.read_hash(file)] for file in _files(parts)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def check_parts(parts: Path, tower: "TextTower") -> None:
    """Raise ModelError unless a generator's parts are complete, and fit each other and the tower."""
    from open_clip import SimpleTokenizer

    _read_json(parts / _INDEX)
    for part in _ADDED:
        if (parts / part).exists():
            raise ModelError(f"{parts} holds {part}/ of its own; it can be given to diffusers as it is")
    facts = {part: _read_json(parts / part / config) for part, config in _CONFIGS.items()}
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


def _link_or_copy(source: Path, target: Path, link: bool) -> None:
    """Link or copy a file; weights alone are linked, since the rest is small."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link and source.suffix == ".safetensors":
        try:
            target.hardlink_to(source.resolve())  # resolved: Hugging Face's cache holds symbolic links
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(source, target)


def _read_json(path: Path) -> dict[str, Any]:
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
