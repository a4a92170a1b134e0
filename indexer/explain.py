"""A folder of images a class -> learned token weights: scan -> load (workers) -> embed -> learn."""

import contextlib
import difflib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.images.folders import ScannedFile, Skipped, class_folders
from gair_search.indexer.batches import BATCH_SIZE, load_batches
from gair_search.learning.stori import (
    PAPER,
    TokenWeightsConfig,
    encode_class_prompts,
    learn_token_weights,
    read_out,
)
from gair_search.learning.token_weights import TokenWeights
from gair_search.progress import Progress

TEMPLATE = "a photo of a {}"


@dataclass
class ExplainReport:
    """What was learned from labelled images, and how it went.

    Attributes:
        weights: prompts of the classes with their token weights.
        images: paths of the images learned from, by class.
        accuracy_before: share of these images that the plain prompts classify rightly. accuracy: that the
            weighted prompts do; of the images learned from, so not what other images would give.
        losses: mean loss of each epoch.
        skipped: what was passed over, and why.
        seconds: wall time.
    """

    weights: TokenWeights
    images: dict[str, list[str]]
    accuracy_before: float
    accuracy: float
    losses: list[float]
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `TokenWeights.load` reads them, too."""
        return {
            **self.weights.to_json(),
            "images": {name: len(paths) for name, paths in self.images.items()},
            "accuracy_before": self.accuracy_before,
            "accuracy": self.accuracy,
            "losses": self.losses,
            "skipped": [skipped._asdict() for skipped in self.skipped],
            "seconds": round(self.seconds, 3),
        }


class ExplainOptions(TypedDict, total=False):
    """The options of `explain_folder`."""

    templates: Sequence[str]
    preset: TokenWeightsConfig
    seed: int
    batch_size: int
    workers: int | None
    on_progress: Progress | None
    on_epoch: Progress | None


def explain_folder(
    folder: Path,
    encoder: Encoder,
    prompts: Mapping[str, Sequence[str]] | None = None,
    *,
    templates: Sequence[str] = (),
    preset: TokenWeightsConfig = PAPER,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
    on_progress: Progress | None = None,
    on_epoch: Progress | None = None,
) -> ExplainReport:
    """Learn which words of its prompts tell each class of images from the others.

    Args:
        folder: holds one folder of images a class; `_` and `-` in a folder's name are blanks of the class's.
        encoder: the model.
        prompts: plain texts by class, as the class or its folder is called; by default the templates.
        templates: texts with `{}` for the name of the class, for classes without prompts of their own; `a photo of
            a {}` unless given.
        preset: how to learn.
        seed: of the order of the images.
        batch_size, workers, on_progress: as for `load_batches`.
        on_epoch: called after each epoch of the learning; its note is the loss.

    Raises:
        GairError: the folder holds no two classes with images, or the prompts don't fit them.
        PromptError: a prompt is empty or too long.
        ModelError: the model's text tower takes no token weights.
    """
    began = time.perf_counter()
    files, skipped = _find_classes(folder)
    texts = _choose_texts(files, prompts or {}, templates or (TEMPLATE,))
    # a prompt that is too long is refused before images are read
    encode_class_prompts(list(texts.values()), encoder.text_tower)
    images, features = _embed_classes(files, encoder, skipped, batch_size, workers, on_progress)
    for name in [name for name in texts if name not in images]:
        skipped.append(Skipped(name, "none of its images can be read: the class is left out"))
    texts = {name: texts[name] for name in images}
    labels = np.repeat(np.arange(len(images)), [len(paths) for paths in images.values()])
    plain, weights, losses = _learn_weights(texts, features, labels, encoder, preset, seed, on_epoch)
    before, after = (float((w.classify(features) == labels).mean()) for w in (plain, weights))
    return ExplainReport(weights, images, before, after, losses, skipped, time.perf_counter() - began)


def class_name(folder: str) -> str:
    """`pink_sunglasses` -> `pink sunglasses`."""
    return " ".join(folder.replace("_", " ").replace("-", " ").split()) or folder


def read_prompts(file: Path) -> dict[str, list[str]]:
    """A JSON file `{class: [prompts]}`, or with a single prompt in place of a list.

    Raises:
        GairError: it can't be read, or holds something else.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise GairError(f"{file} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise GairError(f"{file} is no JSON: {error}") from error
    listed = (
        {k: [v] if isinstance(v, str) else v for k, v in content.items()} if isinstance(content, dict) else {}
    )
    if not listed or not all(
        isinstance(own, list) and own and all(isinstance(text, str) for text in own)
        for own in listed.values()
    ):
        raise GairError(
            f'{file}: expected prompts by class, as {{"dress": ["a red dress", "a gown"], "hat": ["a sun hat"]}}'
        )
    return listed


def _find_classes(folder: Path) -> tuple[dict[str, list[ScannedFile]], list[Skipped]]:
    """The image files of each class, by the class's name; and what was passed over.

    Raises:
        GairError: there are no two folders with images, or two for one class.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links are kept, as the indexer keeps them
    folders, skipped = class_folders(folder, deep=True)
    files: dict[str, list[ScannedFile]] = {}
    for own, found in folders.items():
        name = class_name(own)
        if name in files:
            raise GairError(f'{folder} holds two folders for the class "{name}"; put their images into one')
        if found:
            files[name] = found
        else:
            skipped.append(Skipped(str(folder / own), "no image is in it: the class is left out"))
    if len(files) < 2:
        raise GairError(
            f"{folder} holds {len(files)} folders with images; expected two or more, one a class, since token "
            f"weights are what tells classes apart"
        )
    return files, sorted(skipped)


def _choose_texts(
    classes: Iterable[str], prompts: Mapping[str, Sequence[str]], templates: Sequence[str]
) -> dict[str, list[str]]:
    """The prompts of each class: its own, else the templates with its name.

    Raises:
        GairError: prompts for a class that is none, or a template without `{}`.
    """
    own = {class_name(name): list(texts) for name, texts in prompts.items()}
    names = list(classes)
    if unknown := [name for name in own if name not in names]:
        near = difflib.get_close_matches(unknown[0], names, n=3, cutoff=0.4) or names[:5]
        raise GairError(
            f'there are prompts for "{unknown[0]}", which is no folder; did you mean {", ".join(near)}?'
        )
    if wrong := [template for template in templates if "{}" not in template]:
        raise GairError(
            f'template "{wrong[0]}": expected {{}} where the name of the class goes, as in "{TEMPLATE}"'
        )
    return {name: own.get(name) or [t.replace("{}", name) for t in templates] for name in names}


def _embed_classes(
    files: Mapping[str, Sequence[ScannedFile]],
    encoder: Encoder,
    skipped: list[Skipped],
    batch_size: int,
    workers: int | None,
    on_progress: Progress | None,
) -> tuple[dict[str, list[str]], NDArray[np.float32]]:
    """Paths by class of the images that can be read, and their features in that order `[N, embed_dim]`.

    Args:
        skipped: takes those that can't be read.

    Raises:
        GairError: none can be read.
    """
    class_of = {file.path: name for name, own in files.items() for file in own}
    unreadable: list[Skipped] = []
    batches = load_batches(
        [file for own in files.values() for file in own],
        encoder.preprocessing,
        unreadable,
        batch_size=batch_size,
        workers=workers,
        on_progress=on_progress,
    )
    paths: dict[str, list[str]] = {}
    features: list[NDArray[np.float32]] = []
    with contextlib.closing(batches):
        for batch in batches:
            for item in batch:
                paths.setdefault(class_of[item.file.path], []).append(item.file.path)
            features.append(encoder.encode_pixels([item.pixels for item in batch if item.pixels is not None]))
    if not features:
        raise GairError(f"none of {len(class_of)} images can be read; the first: {unreadable[0].reason}")
    skipped += unreadable
    return paths, np.concatenate(features)


def _learn_weights(
    texts: Mapping[str, Sequence[str]],
    features: NDArray[np.float32],
    labels: NDArray[np.intp],
    encoder: Encoder,
    preset: TokenWeightsConfig,
    seed: int,
    on_epoch: Progress | None,
) -> tuple[TokenWeights, TokenWeights, list[float]]:
    """The prompts with plain weights, the same with learned ones, and the mean loss of each epoch."""
    tower = encoder.text_tower
    encoded = encode_class_prompts(list(texts.values()), tower)
    log_weights, losses = learn_token_weights(
        encoded, torch.from_numpy(features), torch.from_numpy(labels), tower, preset, seed, on_epoch
    )
    facts = {
        "learning_rate": preset.learning_rate,
        "epochs": len(losses),
        "batch_size": preset.batch_size,
        "whole_words": preset.whole_words,
        "seed": seed,
        "start_block": tower.start_block,
    }
    plain, weights = (
        read_out(log, encoded, tower, list(texts), str(encoder.embedder_id), facts)
        for log in (torch.zeros_like(log_weights), log_weights)
    )
    return plain, weights, losses
