import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from support.photos import picture
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from gair_search.encoder import checksums, models
from gair_search.encoder.clip import Encoder
from gair_search.encoder.reweighting import causal_mask, reweighted_mask
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ModelError, PromptError

PROMPTS = ["a photo of a dog", "x", "a red dress on a brick wall, in the snow", " ".join(["word"] * 75)]


@pytest.fixture(scope="module")
def reference(encoder: Encoder) -> open_clip.CLIP:
    return open_clip.create_model(encoder.spec.architecture).eval()


@pytest.fixture(scope="module")
def tower(encoder: Encoder) -> TextTower:
    return encoder.text_tower


def as_transformers(tower: open_clip.CLIP, config: dict, act: str) -> CLIPTextModelWithProjection:
    """transformers' text model with the same weights copied across."""
    text = config["text_cfg"]
    model = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=text["width"],
            intermediate_size=4 * text["width"],
            projection_dim=config["embed_dim"],
            num_hidden_layers=text["layers"],
            num_attention_heads=text["heads"],
            max_position_embeddings=text["context_length"],
            hidden_act=act,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )
    state = {
        "text_model.embeddings.token_embedding.weight": tower.token_embedding.weight,
        "text_model.embeddings.position_embedding.weight": tower.positional_embedding,
        "text_model.final_layer_norm.weight": tower.ln_final.weight,
        "text_model.final_layer_norm.bias": tower.ln_final.bias,
        "text_projection.weight": tower.text_projection.T,
    }
    for i, block in enumerate(tower.transformer.resblocks):
        own = f"text_model.encoder.layers.{i}."
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", getattr(block.attn, f"in_proj_{kind}").chunk(3), strict=True):
                state[f"{own}self_attn.{name}_proj.{kind}"] = part
            state[f"{own}self_attn.out_proj.{kind}"] = getattr(block.attn.out_proj, kind)
            state[f"{own}layer_norm1.{kind}"] = getattr(block.ln_1, kind)
            state[f"{own}layer_norm2.{kind}"] = getattr(block.ln_2, kind)
            state[f"{own}mlp.fc1.{kind}"] = getattr(block.mlp.c_fc, kind)
            state[f"{own}mlp.fc2.{kind}"] = getattr(block.mlp.c_proj, kind)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("position_ids" in key for key in missing)
    return model.eval()


def encode(tower: TextTower, prompts: list[str], full_context: bool) -> Tensor:
    with torch.inference_mode():
        return tower.encode_ids([tower.token_ids(p) for p in prompts], full_context).features


@pytest.mark.parametrize("full_context", [True, False])
def test_text_features_equal_open_clips(
    tower: TextTower, reference: open_clip.CLIP, full_context: bool
) -> None:
    with torch.inference_mode():
        expected = reference.encode_text(open_clip.tokenize(PROMPTS), normalize=True)
    assert torch.allclose(encode(tower, PROMPTS, full_context), expected, atol=1e-5)


@pytest.mark.parametrize("full_context", [True, False])
def test_text_features_and_conditioning_equal_transformers(
    encoder: Encoder, tower: TextTower, reference: open_clip.CLIP, full_context: bool
) -> None:
    oracle = as_transformers(reference, encoder.spec.config, "gelu")
    with torch.inference_mode():
        output = oracle(open_clip.tokenize(PROMPTS))
        ids = [tower.token_ids(p) for p in PROMPTS]
        ours = tower.encode_ids(ids, full_context)
    expected = torch.nn.functional.normalize(output.text_embeds, dim=-1)
    assert torch.allclose(ours.features, expected, atol=1e-5)
    for row, own in enumerate(ids):
        places = slice(0, len(own) + 2)
        assert torch.allclose(
            ours.conditioning[row, places], output.last_hidden_state[row, places], atol=1e-5
        )


def test_a_batch_equals_its_prompts_one_by_one(tower: TextTower) -> None:
    together = encode(tower, PROMPTS, False)
    alone = torch.cat([encode(tower, [p], False) for p in PROMPTS])
    assert torch.allclose(together, alone, atol=1e-5)


def layout(tower: TextTower, prompt: str) -> tuple[Tensor, Tensor]:
    ids = [tower.start_id, *tower.token_ids(prompt), tower.end_id]
    return tower.token_embeddings(torch.tensor([ids])).detach(), torch.tensor([len(ids) - 1])


def test_weight_1_equals_plain_encoding(tower: TextTower) -> None:
    embeddings, end = layout(tower, "a red dress")
    plain, weighted = tower(embeddings, end), tower(embeddings, end, torch.ones(1, 5))
    assert torch.allclose(plain.features, weighted.features, atol=1e-6)


def test_weight_0_equals_masking_the_token(tower: TextTower) -> None:
    """In the reweighted blocks, no other token sees a token of weight 0."""
    embeddings, end = layout(tower, "a red dress")
    weights = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0]])
    ours = tower(embeddings, end, weights).features
    mask = torch.full((5, 5), float("-inf")).triu(1)
    hidden = mask.clone()
    hidden[:, 2] = float("-inf")
    x = embeddings + tower.transformer.positional_embedding[:5]
    for i, block in enumerate(tower.blocks):
        x = block(x, attn_mask=mask if i < tower.start_block else hidden)
    expected = torch.nn.functional.normalize(
        tower.transformer.ln_final(x)[:, 4] @ tower.transformer.text_projection, dim=-1
    )
    assert torch.allclose(ours, expected, atol=1e-6)
    assert not torch.allclose(ours, tower(embeddings, end).features, atol=1e-3)


def test_reweighting_equals_equation_4_inside_the_tower(tower: TextTower) -> None:
    """One block by hand: softmax of q k / sqrt(d), times w, renormalised, under the causal mask."""
    embeddings, end = layout(tower, "a red dress")
    weights = torch.tensor([[1.0, 1.0, 2.5, 0.4, 1.0]])
    x = embeddings + tower.transformer.positional_embedding[:5]
    for i, block in enumerate(tower.blocks):
        heads, width = block.attn.num_heads, x.shape[-1]
        q, k, v = (
            part.view(5, heads, width // heads).transpose(0, 1)
            for part in torch.nn.functional.linear(
                block.ln_1(x)[0], block.attn.in_proj_weight, block.attn.in_proj_bias
            ).chunk(3, dim=-1)
        )
        a = torch.exp(q @ k.transpose(1, 2) / (width // heads) ** 0.5).tril()
        if i >= tower.start_block:
            a = a * weights[:, None, :]
        attended = (a / a.sum(-1, keepdim=True)) @ v
        x = x + block.attn.out_proj(attended.transpose(0, 1).reshape(1, 5, width))
        x = x + block.mlp(block.ln_2(x))
    expected = torch.nn.functional.normalize(
        tower.transformer.ln_final(x)[:, 4] @ tower.transformer.text_projection, dim=-1
    )
    assert torch.allclose(tower(embeddings, end, weights).features, expected, atol=1e-5)


def test_gradients_reach_weights_and_embeddings(tower: TextTower) -> None:
    embeddings, end = layout(tower, "a red dress")
    embeddings.requires_grad_(True)
    log_weights = torch.zeros(1, 5, requires_grad=True)
    tower(embeddings, end, log_weights.exp()).features.sum().backward()
    assert log_weights.grad is not None
    assert (log_weights.grad[0, 1:4] != 0).all()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_text_work_leaves_the_image_tower_on_disk() -> None:
    own = Encoder(models.resolve("gair-mini"), "cpu")
    own.encode_texts(["a dog"])
    assert not own.has_loaded_image_tower
    assert not any(name.startswith("visual") for name, _ in own.text_tower.named_parameters())


def test_image_features_equal_open_clips(encoder: Encoder) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(encoder.spec.architecture)
    images = [picture(1, (500, 300)), picture(2, (224, 224)), picture(3, (180, 400))]
    with torch.inference_mode():
        expected = model.eval().encode_image(torch.stack([preprocess(i) for i in images]), normalize=True)
    ours = encoder.encode_images(images)
    assert np.allclose(ours, expected.numpy(), atol=1e-5)


def small_model(folder: Path, text: dict, **model: object) -> str:
    """A model folder of a small architecture at random weights."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 4, **text},
        **model,
    }
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(0)
    from safetensors.torch import save_file

    state = open_clip.create_model(f"local-dir:{folder}").state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def test_a_custom_text_model_loads_its_text_tower_alone(tmp_path: Path) -> None:
    """`CustomTextCLIP` keeps its text tower under a prefix; QuickGELU comes from the config."""
    name = small_model(tmp_path / "m", {}, custom_text=True, quick_gelu=True)
    own = Encoder(models.resolve(name), "cpu")
    reference = open_clip.create_model(name).eval()
    with torch.inference_mode():
        expected = reference.encode_text(open_clip.tokenize(["a dog"], 20), normalize=True)
    assert np.allclose(own.encode_texts(["a dog"]), expected, atol=1e-5)
    assert not own.has_loaded_image_tower


def test_a_tower_that_is_not_causal_takes_plain_prompts_only(tmp_path: Path) -> None:
    name = small_model(tmp_path / "m", {"no_causal_mask": True, "pool_type": "last"}, custom_text=True)
    own = Encoder(models.resolve(name), "cpu")
    reference = open_clip.create_model(name).eval()
    with torch.inference_mode():
        expected = reference.encode_text(open_clip.tokenize(["a dog"], 20), normalize=True)
    assert own.takes_plain_prompts_only
    with pytest.raises(PromptError, match="takes 20"):
        own.encode_texts(["word " * 30])
    assert np.allclose(own.encode_texts(["a dog"]), expected, atol=1e-5)
    with pytest.raises(ModelError, match="plain prompts only"):
        _ = own.text_tower


def test_half_precision_stays_close(tower: TextTower, encoder: Encoder) -> None:
    """The path that CUDA takes, on the CPU: weights in float32 under autocast."""
    own = Encoder(encoder.spec, "cpu")
    own.dtype = torch.bfloat16
    cosine = float((own.encode_texts(["a red dress"]) * encoder.encode_texts(["a red dress"])).sum())
    assert cosine == pytest.approx(1, abs=1e-3)
    pixels = np.stack([encoder.preprocessing.pixels(picture(1))])
    assert float((own.encode_pixels(pixels) * encoder.encode_pixels(pixels)).sum()) == pytest.approx(
        1, abs=2e-2
    )


def test_image_towers_that_give_their_tokens_too(tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "output_tokens": True}
    name = small_model(tmp_path / "m", {}, vision_cfg=vision)
    features, _ = open_clip.create_model(name).eval().encode_image(torch.zeros(1, 3, 32, 32))
    own = Encoder(models.resolve(name), "cpu").image_tower(torch.zeros(1, 3, 32, 32))
    assert torch.allclose(own, features.detach(), atol=1e-5)


def test_devices_that_are_not_there_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ModelError, match="--device cpu"):
        Encoder(encoder.spec, "cuda:99")
    for name in ("toaster", "meta"):
        with pytest.raises(ModelError, match="--device cpu"):
            Encoder(encoder.spec, name)
    with pytest.raises(ModelError, match=r"0\.\.1"):
        Encoder(encoder.spec, "cpu", float("nan"))


def test_damaged_weights_are_a_model_error(tmp_path: Path) -> None:
    name = small_model(tmp_path / "m", {})
    weights = tmp_path / "m" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    own = Encoder(models.resolve(name), "cpu")
    for use in (
        lambda: own.encode_texts(["x"]),
        lambda: own.encode_pixels(np.zeros((1, 32, 32, 3), np.uint8)),
    ):
        with pytest.raises(ModelError, match="can't be loaded"):
            use()


def test_weights_that_differ_from_their_checksum_are_not_loaded(tmp_path: Path) -> None:
    name = small_model(tmp_path / "m", {})
    weights = tmp_path / "m" / "open_clip_model.safetensors"
    checksums.write_checksums(tmp_path / "m")
    Encoder(models.resolve(name), "cpu").encode_texts(["x"])
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # still a file that loads
    own = Encoder(models.resolve(name), "cpu")
    for use in (
        lambda: own.encode_texts(["x"]),
        lambda: own.encode_pixels(np.zeros((1, 32, 32, 3), np.uint8)),
    ):
        with pytest.raises(ModelError, match="is damaged: its SHA-256 is"):
            use()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_runs_code_is_never_run(tmp_path: Path) -> None:
    """Checkpoints of a user's own may be .pt files; what they hold beside tensors is refused."""
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    file = tmp_path / "w.pt"
    file.write_bytes(pickle.dumps({"state_dict": Evil()}))
    own = Encoder(models.resolve(f"RN50:{file}"), "cpu")
    with pytest.raises(ModelError):
        own.encode_texts(["x"])
    assert not (tmp_path / "ran").exists()


def test_importing_the_package_is_light() -> None:
    code = "import sys, gair_search; assert not {'torch', 'open_clip', 'qdrant_client'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_what_the_package_offers_is_there() -> None:
    import gair_search

    assert gair_search.Encoder is Encoder
    assert all(hasattr(gair_search, name) for name in gair_search.__all__)
    assert set(gair_search.__all__) == {*gair_search._HOMES, "__version__"}


@pytest.mark.parametrize("weighted", [False, True])
def test_the_tower_is_its_two_halves_bit_for_bit(tower: TextTower, weighted: bool) -> None:
    """`forward` equals one pass through all blocks, and the halves around `start_block` equal `forward`."""
    torch.manual_seed(0)
    embeddings, end = torch.randn(2, 9, tower.width), torch.tensor([8, 4])
    weights = torch.rand(2, 9) if weighted else None
    mask = causal_mask(9)
    x = embeddings + tower.transformer.positional_embedding[:9]
    for i, block in enumerate(tower.blocks):
        later = weights is not None and i >= tower.start_block
        x = block(x, attn_mask=reweighted_mask(mask, weights).repeat_interleave(4, 0) if later else mask)
    encoding = tower(embeddings, end, weights)
    assert torch.equal(encoding.conditioning, tower.transformer.ln_final(x))
    halves = tower.after_start_block(tower.before_start_block(embeddings), end, weights)
    assert torch.equal(halves.features, encoding.features)
    assert torch.equal(halves.conditioning, encoding.conditioning)


def test_the_temperature_is_the_checkpoints(tower: TextTower, reference: open_clip.CLIP) -> None:
    assert tower.logit_scale == pytest.approx(float(reference.logit_scale.detach().exp()), rel=1e-6)


def test_batches_change_nothing(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [Image.new("RGB", (40, 30 + i), color) for i, color in enumerate(("red", "green", "blue"))]
    texts = ["a dog", "a photo of a striped dress on a brick wall", "snow"]
    whole = encoder.encode_images(images), encoder.encode_texts(texts)
    monkeypatch.setattr("gair_search.encoder.clip.IMAGES_AT_ONCE", 2)
    monkeypatch.setattr("gair_search.encoder.text_tower.TEXTS_AT_ONCE", 2)
    assert np.allclose(encoder.encode_images(images), whole[0], atol=1e-5)
    assert np.allclose(encoder.encode_texts(texts), whole[1], atol=1e-5)
    pixels = np.stack([encoder.preprocessing.pixels(image) for image in images])
    for given in (pixels, list(pixels), torch.from_numpy(pixels)):
        assert np.allclose(encoder.encode_pixels(given), whole[0], atol=1e-5)
    for nothing in (encoder.encode_images([]), encoder.encode_pixels([]), encoder.encode_texts([])):
        assert nothing.shape == (0, encoder.spec.embed_dim)
        assert nothing.dtype == np.float32
