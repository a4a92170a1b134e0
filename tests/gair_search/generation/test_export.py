import json
import shutil
import threading
from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generator import TINY_WIDTH
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from gair_search.encoder import checksums, models
from gair_search.encoder.clip import Encoder
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ModelError
from gair_search.generation import export
from gair_search.generation.text_encoder import make_text_encoder, write_text_encoder, write_tokenizer

TEXTS = [
    "",
    "a red dress",
    "A RED Dress, on the BEACH!",
    "wow !!! what's that?! it's 50% off... #1 (really)",
    "  many   spaces,\ttabs and\nnew lines ",
    "naïve café Ñandú ÅNGSTRÖM straße",
    "日本語の写真、赤いドレス",
    "фото собаки на пляже",
    "a 😀 on a 🏖️ with 👩‍👩‍👧‍👦",
    "supercalifragilisticexpialidocious 1234567890 a1b2",
    "they'll we've I'm you're don't he'd 'sup",
    "<my-dress> * [wall] {x} \\ / | ~ ^ `",
]
LONG = " ".join(f"word{i}" for i in range(60))


@pytest.fixture(scope="module")
def mini(encoder: Encoder) -> TextTower:
    return encoder.text_tower


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tower(tiny: Encoder) -> TextTower:
    return tiny.text_tower


def random_tower(**changes: object) -> TextTower:
    """A text tower of open_clip's, shaped like ViT-B-32's but shallow, at random weights."""
    torch.manual_seed(0)
    facts = {"width": 512, "heads": 8, "layers": 2, "output_dim": 512, **changes}
    tower = open_clip.transformer.TextTransformer(**facts).eval()
    with torch.no_grad():
        for name, value in tower.named_parameters():
            if "ln_" in name or name.endswith("bias"):  # not the ones and zeros that they begin with
                value.add_(torch.randn_like(value) * 0.2)
    return TextTower(tower, open_clip.SimpleTokenizer()).requires_grad_(False)


def padded_ids(tower: TextTower, texts: list[str]) -> torch.Tensor:
    """Ids `[B, n_ctx]` as Stable Diffusion 1.x pads them."""
    ids = open_clip.tokenize(texts, tower.n_ctx)
    after = torch.arange(tower.n_ctx) > ids.argmax(-1, keepdim=True)
    return ids.masked_fill(after, tower.end_id)


def conditioning(tower: TextTower, texts: list[str]) -> torch.Tensor:
    room = tower.n_ctx - 2
    with torch.inference_mode():
        return tower.encode_ids([tower.token_ids(text)[:room] for text in texts], True).conditioning


@pytest.mark.parametrize(
    "make",
    [
        None,
        random_tower,
        lambda: random_tower(act_layer=open_clip.transformer.QuickGELU, layers=3, context_length=32),
        lambda: random_tower(width=64, heads=2, mlp_ratio=3.0, proj_type="none"),
    ],
    ids=["gair-mini", "ViT-B-32", "QuickGELU", "narrow"],
)
def test_the_text_encoder_equals_the_text_tower_at_every_place(mini: TextTower, make: object) -> None:
    tower = make() if callable(make) else mini
    texts = [*TEXTS, LONG]
    converted = make_text_encoder(tower)
    with torch.inference_mode():
        theirs = converted(padded_ids(tower, texts)).last_hidden_state
    assert theirs.shape == (len(texts), tower.n_ctx, tower.width)
    assert torch.allclose(theirs, conditioning(tower, texts), atol=1e-5)


def test_padding_leaves_the_features_alone(mini: TextTower) -> None:
    """Ours is Stable Diffusion's, the end token; open_clip's is 0."""
    with torch.inference_mode():
        ids = [mini.token_ids(text) for text in TEXTS]
        zeros = open_clip.tokenize(TEXTS)
        plain = mini(mini.token_embeddings(zeros), zeros.argmax(-1))
        ours = mini.encode_ids(ids, full_context=True)
    assert torch.allclose(plain.features, ours.features, atol=1e-5)
    assert not torch.allclose(plain.conditioning, ours.conditioning, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ls_init_value": 1e-5}, "ls_1.gamma"),
        ({"act_layer": nn.SiLU}, "its activation is SiLU"),
        ({"embed_cls": True}, "cls_emb"),
    ],
)
def test_towers_that_transformers_has_no_place_for(changes: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        make_text_encoder(random_tower(width=64, heads=2, **changes))


def test_converting_leaves_the_users_seed_alone(mini: TextTower) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    make_text_encoder(mini)
    assert torch.equal(torch.rand(1), expected)


def test_the_tokenizer_gives_open_clips_ids(tokenizer: CLIPTokenizer) -> None:
    own = open_clip.SimpleTokenizer()
    for text in [*TEXTS, LONG]:
        assert tokenizer(text).input_ids == [own.sot_token_id, *own.encode(text), own.eot_token_id], text
    cut = tokenizer([LONG], truncation=True, padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(cut, open_clip.tokenize([LONG]))
    assert (tokenizer.model_max_length, len(tokenizer)) == (77, own.vocab_size)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49406, 49407, 49407)


@settings(max_examples=200)
@given(
    st.text(st.characters(exclude_categories=["Cn", "Co", "Cs"], exclude_characters="\u0345"), max_size=40)
)
def test_the_tokenizer_gives_open_clips_ids_for_any_cleaned_text(
    tokenizer: CLIPTokenizer, mini: TextTower, text: str
) -> None:
    """Code points aside of which the libraries' Unicode versions think differently."""
    cleaned = mini.tokenizer.clean_fn(text)
    assert tokenizer(cleaned, add_special_tokens=False).input_ids == mini.token_ids(text)


def test_diffusers_loads_and_runs_the_assembled_folder(
    tiny_folder: Path, tower: TextTower, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = models.resolve(f"local-dir:{tiny_folder}")
    folder = export.pipeline_folder(spec)
    assert folder.parent == home / "pipelines"
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS", "model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae",
    ]  # fmt: skip
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a red dress", "wow! A (RED) dress!!", LONG]
    theirs, empty = pipe.encode_prompt(prompts, "cpu", 1, True)
    assert torch.allclose(theirs, conditioning(tower, prompts), atol=1e-5)
    assert torch.allclose(empty, conditioning(tower, [""] * 3), atol=1e-5)
    image = pipe("a red dress", num_inference_steps=2).images[0]
    assert image.size == (16, 16)
    noise = capfd.readouterr().err
    assert "newly initialized" not in noise
    assert "not used when initializing" not in noise


def test_the_folder_is_made_once_and_for_each_version_anew(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    spec = models.resolve(f"local-dir:{copy}")
    first = export.pipeline_folder(spec)
    made = (first / "text_encoder" / "model.safetensors").stat().st_ino
    assert export.pipeline_folder(spec) == first
    assert (first / "text_encoder" / "model.safetensors").stat().st_ino == made
    assert (first / "unet" / "diffusion_pytorch_model.safetensors").stat().st_nlink == 2  # no space taken
    scheduler = copy / "generator" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"clip_sample": True}))
    second = export.pipeline_folder(spec)
    assert second != first
    assert first.is_dir()


def test_a_damaged_assembled_folder_is_made_anew(tiny_folder: Path) -> None:
    spec = models.resolve(f"local-dir:{tiny_folder}")
    weights = export.pipeline_folder(spec) / "text_encoder" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    export.pipeline_folder(spec)
    assert weights.read_bytes() == content


def test_two_at_once_share_one_folder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = models.resolve(f"local-dir:{tiny_folder}")
    made, found = [], []
    assemble = export.assemble
    monkeypatch.setattr(export, "assemble", lambda *a, **k: made.append(1) or assemble(*a, **k))
    threads = [threading.Thread(target=lambda: found.append(export.pipeline_folder(spec))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(found)) == 1
    assert len(found) == 2


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("disk full")])
def test_an_interruption_leaves_nothing_half_made(
    tiny_folder: Path, tower: TextTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: object
) -> None:
    target = tmp_path / "out" / "pipe"

    def fail(*_: object) -> None:
        raise failure  # type: ignore[misc]

    with monkeypatch.context() as patched:
        patched.setattr(export, "write_tokenizer", fail)
        with pytest.raises((KeyboardInterrupt, ModelError)):
            export.assemble(tiny_folder / "generator", tower, target)
    assert list(target.parent.iterdir()) == []
    assert export.assemble(tiny_folder / "generator", tower, target) == target


def test_what_a_killed_process_left_is_cleared_away(tiny_folder: Path, home: Path) -> None:
    spec = models.resolve(f"local-dir:{tiny_folder}")
    folder = export.pipeline_folder(spec)
    left = folder.with_name(f".{folder.name}.99999.1")
    folder.rename(left)
    assert export.pipeline_folder(spec) == folder
    assert not left.exists()


def test_half_precision_is_kept_where_it_loses_nothing(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tower = random_tower(width=64, heads=2)
    for dtype in (torch.float32, torch.float16):
        tower = tower.to(dtype).float()
        folder = tmp_path / str(dtype)
        write_text_encoder(folder, tower)
        assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {dtype}
        loaded = CLIPTextModel.from_pretrained(folder)
        assert loaded.dtype == torch.float32
        assert loaded.config.hidden_act == "gelu"
        for name, value in make_text_encoder(tower).state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name


def test_export_copies_and_never_overwrites(tiny_folder: Path, tmp_path: Path) -> None:
    spec = models.resolve(f"local-dir:{tiny_folder}")
    target = tmp_path / "new" / "pipe"
    (tmp_path / "empty").mkdir()
    assert export.export(spec, target) == target
    assert export.export(spec, tmp_path / "empty") == tmp_path / "empty"
    weights = target / "unet" / "diffusion_pytorch_model.safetensors"
    assert weights.stat().st_nlink == 1
    made = weights.stat().st_mtime_ns
    export.export(spec, target)
    assert weights.stat().st_mtime_ns == made
    weights.write_bytes(b"of my own")
    with pytest.raises(ModelError, match="not this pipeline's folder"):
        export.export(spec, target)
    assert weights.read_bytes() == b"of my own"
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ModelError):
            export.export(spec, place)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda g: edit(g / "unet/config.json", cross_attention_dim=768), f"width 768.*gives {TINY_WIDTH}"),
        (lambda g: edit(g / "unet/config.json", cross_attention_dim=[32, 768]), "width"),
        (lambda g: edit(g / "vae/config.json", latent_channels=8), "latents of 8 channels"),
        (lambda g: (g / "model_index.json").unlink(), "model_index.json is missing"),
        (lambda g: (g / "model_index.json").write_text("[]"), "can't be read"),
        (lambda g: shutil.rmtree(g / "vae"), "vae/config.json is missing"),
        (lambda g: (g / "unet/diffusion_pytorch_model.safetensors").unlink(), "holds no weights"),
        (lambda g: (g / "text_encoder").mkdir(), "of its own"),
        (lambda g: shutil.rmtree(g), "has no generator.*gair-mini"),
    ],
)
def test_parts_that_are_missing_or_do_not_fit(
    tiny_folder: Path, tmp_path: Path, home: Path, spoil: object, said: str
) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    assert callable(spoil)
    spoil(copy / "generator")
    with pytest.raises(ModelError, match=said):
        export.pipeline_folder(models.resolve(f"local-dir:{copy}"))
    assert not list((home / "pipelines").glob("*/"))


def test_a_tower_with_another_tokenizer_is_refused(
    tiny_folder: Path, tower: TextTower, tmp_path: Path
) -> None:
    other = TextTower(tower.transformer, open_clip.SimpleTokenizer(clean="canonicalize"))
    with pytest.raises(ModelError, match="tokenizer is not CLIP's plain one"):
        export.assemble(tiny_folder / "generator", other, tmp_path / "pipe")


def test_a_single_checkpoint_has_no_generator(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x")
    with pytest.raises(ModelError, match=r"single file.*gair-mini"):
        export.pipeline_folder(models.resolve(f"ViT-B-32:{weights}"))


@pytest.mark.parametrize(
    "file", ["open_clip_model.safetensors", "generator/vae/diffusion_pytorch_model.safetensors"]
)
def test_damaged_weights_are_refused_by_their_checksum(tiny_folder: Path, tmp_path: Path, file: str) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    checksums.write_checksums(copy)
    spec = models.resolve(f"local-dir:{copy}")
    export.pipeline_folder(spec)
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"{file} is damaged: its SHA-256 is"):
        export.pipeline_folder(spec)
