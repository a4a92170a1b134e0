"""gair-mini's two towers, as open_clip builds them from their config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import TextTransformer

from gair_search.encoder.text_tower import TextTower

CONFIG: dict[str, Any] = json.loads((Path(__file__).parent / "open_clip_config.json").read_text("utf-8"))
"""The `open_clip_config.json` that ships with the weights."""

EMBED_DIM: int = CONFIG["model_cfg"]["embed_dim"]
SEMANTIC_DIM = 384
"""The first dimensions of the joint space are the teacher's own; the rest is for what words leave out."""


def text_tower() -> TextTower:
    """The text tower at fresh random weights, ready to train."""
    text = CONFIG["model_cfg"]["text_cfg"]
    tower = TextTransformer(
        context_length=text["context_length"],
        vocab_size=text["vocab_size"],
        width=text["width"],
        heads=text["heads"],
        layers=text["layers"],
        output_dim=EMBED_DIM,
    )
    return TextTower(tower, SimpleTokenizer())


def clip_model() -> open_clip.CLIP:
    """The whole model at fresh random weights."""
    cfg = CONFIG["model_cfg"]
    return open_clip.CLIP(**cfg)


def text_state(tower: TextTower) -> dict[str, torch.Tensor]:
    """The tower's weights under the names that they have in the whole model."""
    return {name.removeprefix("transformer."): value for name, value in tower.state_dict().items()}
