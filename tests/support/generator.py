"""A tiny model folder with a generator beside it, at random weights."""

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file

from gair_search.encoder.clip import Encoder
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.facts import ATTRIBUTES, CONCEPT_FEATURES, pack

TINY_WIDTH = 32
"""Width of the tiny model's text tower."""

MINI_WIDTH = 256
"""Width of the bundled model's text tower."""


def tiny_model(folder: Path) -> Path:
    """A CLIP in open_clip's hub format, in half precision as shipped ones are, with `generator/`."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"vocab_size": 49408, "width": TINY_WIDTH, "heads": 2, "layers": 2},
    }
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(0)
    state = open_clip.create_model(f"local-dir:{folder}").state_dict()
    save_file({k: v.half().contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    tiny_generator(folder / "generator", TINY_WIDTH)
    return folder


def tiny_generator(folder: Path, width: int) -> Path:
    """A latent diffusion of Stable Diffusion's parts, without text encoder and tokenizer: 16 px, latents 8x8.

    Args:
        folder: where to write it.
        width: of the conditioning.
    """
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        sample_size=16,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def tiny_token(encoder: Encoder, name: str = "my-dress", n: int = 2, **facts: str) -> CustomToken:
    """A custom token of a tiny model, with attributes and features of concept images."""
    rng = np.random.default_rng(n)
    tower = encoder.text_tower
    ids = torch.tensor(tower.token_ids("red old striped dark"))[:n]
    vectors = tower.token_embeddings(ids).detach().numpy() + rng.normal(0, 0.01, (n, tower.width))
    features = rng.normal(size=(3, encoder.spec.embed_dim)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    known = {ATTRIBUTES: "blue, old, supercalifragilistic", CONCEPT_FEATURES: pack(features.mean(axis=0))}
    return CustomToken(
        name,
        vectors.astype(np.float32),
        tower.table_hash,
        str(encoder.embedder_id),
        "dress",
        {key: value for key, value in (known | facts).items() if value},
    )
