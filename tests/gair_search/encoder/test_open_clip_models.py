"""Models in memory, at random weights, against open_clip's own features."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from support.generator import MINI_WIDTH, tiny_generator, tiny_token
from support.photos import make_photos, picture
from torch import nn

from gair_search.encoder import open_clip_models
from gair_search.encoder.clip import Encoder
from gair_search.encoder.open_clip_models import ModelInMemory, frozen_view
from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError, EmbedderMismatchError, ModelError
from gair_search.gallery.embedded import EmbeddedGallery
from gair_search.generation import export
from gair_search.generation.generator import Generator
from gair_search.generation.sampling import SamplingConfig
from gair_search.generation.text_encoder import make_text_encoder
from gair_search.indexer.index import index_folders
from gair_search.learning.config import PAPER, LearningConfig, config_for
from gair_search.learning.lessons import Lesson, learn_token
from gair_search.query.compiler import compile_query, query_vector
from gair_search.tokens.custom_token import CustomToken

VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
TEXT = {"vocab_size": 49408, "width": 32, "heads": 2, "layers": 4}
TEXTS = ["a photo of a dog", "x", "a red dress on a brick wall, in the snow"]
IMAGES = [picture(1, (50, 30)), picture(2, (32, 32)), picture(3, (18, 40))]
MULTIMODAL = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
QUICK = LearningConfig(n_vectors=2, learning_rate=1e-2, steps=4, check_every=2, views=1)


def vary(model: nn.Module) -> nn.Module:
    """Random tensors, of such sizes that every one of them shows in the features."""
    torch.manual_seed(1)
    with torch.no_grad():
        for own in model.parameters():
            if own.ndim:
                own.add_(0.1 * torch.randn_like(own))
    return model


def clip(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **more: Any) -> Any:
    torch.manual_seed(0)
    return vary(open_clip.CLIP(16, VISION | (vision or {}), TEXT | (text or {}), **more))


def custom(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **more: Any) -> Any:
    torch.manual_seed(0)
    return vary(open_clip.CustomTextCLIP(16, VISION | (vision or {}), TEXT | (text or {}), **more))


def coca() -> Any:
    torch.manual_seed(0)
    vision = VISION | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
    text = TEXT | {"context_length": 19, "embed_cls": True, "output_tokens": True}
    return vary(open_clip.CoCa(16, MULTIMODAL, text, vision))


def tools(context: int = 77, side: int = 32) -> tuple[Any, Any]:
    """open_clip's tokenizer and transform for such a model."""
    transform = open_clip.image_transform(side, is_train=False)
    return open_clip.SimpleTokenizer(context_length=context), transform


def view(model: Any, context: int = 77, side: int = 32, **options: Any) -> Encoder:
    return Encoder.from_open_clip(model, *tools(context, side), **options)


@torch.no_grad()
def oracle(model: Any, context: int = 77, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """open_clip's own normalised features of `TEXTS` and `IMAGES`, in evaluation mode."""
    model = copy.deepcopy(model).eval()
    tokenizer, transform = tools(context, side)
    pixels = torch.stack([transform(image) for image in IMAGES]).to(model.visual.conv1.weight.dtype)
    raw = model.encode_text(tokenizer(TEXTS)), model.encode_image(pixels)
    pooled = [features[0] if isinstance(features, tuple) else features for features in raw]
    texts, images = (nn.functional.normalize(features.float(), dim=-1).numpy() for features in pooled)
    return texts, images


def nobody(name: str) -> CustomToken:
    raise ConceptError(f"unknown {name}")


MODELS: dict[str, Callable[[], Any]] = {
    "flattened": clip,
    "custom text": custom,
    "quick gelu": lambda: clip(quick_gelu=True),
    "projection with bias": lambda: custom({"proj_bias": True}),
    "flattened projection with bias": lambda: clip({"proj_bias": True}),
    "pooled at the end token": lambda: clip({"pool_type": "eos", "eos_id": 49407}),
    "layer scale and normalised queries": lambda: clip({"ls_init_value": 0.5, "qk_norm": True}),
    "resnet": lambda: clip(vision={"layers": [1, 1, 1, 1], "width": 16, "head_width": 16}),
    "in training mode with patch dropout": lambda: clip(vision={"patch_dropout": 0.5}).train(),
    "tokens beside features": lambda: custom({"output_tokens": True}, {"output_tokens": True}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_features_are_open_clips(kind: str) -> None:
    model = MODELS[kind]()
    encoder = view(model)
    texts, images = oracle(model)
    assert isinstance(encoder.text_tower, TextTower)
    assert np.allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    assert np.allclose(encoder.encode_images(IMAGES), images, atol=1e-4)
    assert np.ptp(texts, axis=0).max() > 0.1  # the oracle tells texts apart
    assert np.ptp(images, axis=0).max() > 0.01
    assert encoder.spec.embed_dim == 16
    assert encoder.text_tower.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


PLAIN: dict[str, tuple[Callable[[], Any], int]] = {
    "not causal": (lambda: custom({"no_causal_mask": True}), 77),
    "features at a class token": (lambda: custom({"embed_cls": True}), 77),
    "pooled at the last place": (lambda: clip({"pool_type": "last"}), 77),
    "pooled at an end token that is none": (lambda: clip({"pool_type": "eos"}), 77),
    "coca": (coca, 19),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_other_towers_take_plain_prompts(kind: str) -> None:
    make, context = PLAIN[kind]
    model = make()
    encoder = view(model, context)
    texts, images = oracle(model, context)
    assert encoder.takes_plain_prompts_only
    assert np.allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    assert np.allclose(encoder.encode_images(IMAGES), images, atol=1e-4)
    with pytest.raises(ModelError, match="plain prompts only"):
        _ = encoder.text_tower


def test_a_subclass_that_encodes_texts_its_own_way_does_so() -> None:
    class Reversed(open_clip.CLIP):
        def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
            return super().encode_text(text, normalize).flip(-1)

    model = clip()
    model.__class__ = Reversed
    encoder = view(model)
    assert encoder.takes_plain_prompts_only
    assert np.allclose(encoder.encode_texts(TEXTS), oracle(model)[0], atol=1e-5)


def lowered(model: Any, precision: str) -> Any:
    """As open_clip's factory lowers a model: some layers, or with `pure` all of it."""
    dtype = torch.float16 if precision.endswith("fp16") else torch.bfloat16
    if precision.startswith("pure"):
        return model.to(dtype)
    open_clip.convert_weights_to_lp(model, dtype)
    return model


@pytest.mark.parametrize("make", [clip, custom])
@pytest.mark.parametrize("precision", ["fp16", "bf16", "pure_fp16", "pure_bf16"])
def test_half_precision_is_computed_in_float32(make: Callable[..., Any], precision: str) -> None:
    norms = {} if precision.startswith("pure") else {"cast_dtype": torch.float16}
    model = lowered(make(**norms), precision)
    before = {name: own.dtype for name, own in model.state_dict().items()}
    encoder = view(model)
    texts, images = encoder.encode_texts(TEXTS), encoder.encode_images(IMAGES)
    exact_texts, exact_images = oracle(copy.deepcopy(model).float())
    assert np.allclose(texts, exact_texts, atol=1e-5)
    assert np.allclose(images, exact_images, atol=1e-4)
    own_texts, own_images = oracle(model)  # open_clip's own, in half precision
    assert ((texts * own_texts).sum(1) > 0.999).all()
    assert ((images * own_images).sum(1) > 0.999).all()
    assert {name: own.dtype for name, own in model.state_dict().items()} == before


@pytest.mark.parametrize("make", [clip, custom])
def test_memory_is_shared_in_float32(make: Callable[..., Any]) -> None:
    model = make()
    encoder = view(model)
    theirs = {own.data_ptr() for own in (*model.parameters(), *model.buffers())}
    for tower in (encoder.text_tower, encoder.image_tower):
        ours = [*tower.parameters(), *tower.buffers()]
        assert len(ours) > 10
        assert {own.data_ptr() for own in ours} <= theirs
        assert not any(own.requires_grad for own in ours)
        assert not any(module.training for module in tower.modules())


def test_a_view_keeps_tied_tensors_tied_and_integers_as_they_are() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2)).half()
    module[1].weight = module[0].weight
    twin = frozen_view(module)
    assert twin[0].weight is twin[1].weight
    assert twin[0].weight.dtype == torch.float32
    assert twin[2].num_batches_tracked.dtype == torch.int64
    assert module[0].weight.dtype == torch.float16


def photograph(model: nn.Module) -> list[Any]:
    """All of a model that learning could change."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [
        [(name, id(own), own.dtype, own.requires_grad, own.grad is None) for name, own in tensors],
        [(name, id(module), module.training) for name, module in model.named_modules()],
        sorted(vars(model.visual)),
    ]


@pytest.mark.parametrize(
    "make",
    [
        clip,
        lambda: custom().train(),
        lambda: lowered(clip(cast_dtype=torch.float16), "fp16"),
        lambda: clip(vision={"layers": [1, 1, 1, 1], "width": 16, "head_width": 16}).train(),
        coca,
    ],
)
def test_the_users_model_is_left_as_it_is(make: Callable[[], Any], tmp_path: Path) -> None:
    """After everything that an encoder does with a model: encoding, weights, learning a token."""
    model = make()
    model.set_grad_checkpointing(True)
    before, state = photograph(model), copy.deepcopy(model.state_dict())
    encoder = view(model, 19 if isinstance(model, open_clip.CoCa) else 77)
    encoder.encode_texts(TEXTS)
    encoder.encode_files(make_photos(tmp_path, 2))
    _ = encoder.embedder_id
    if not encoder.takes_plain_prompts_only:
        query_vector("a (red:2) dress", encoder, nobody)
        learn(encoder)
    assert photograph(model) == before
    after = model.state_dict()
    assert all(bits(own) == bits(after[name]) for name, own in state.items())


def bits(tensor: torch.Tensor) -> bytes:
    """CoCa's decoder leaves what it never uses as it finds it, NaN even."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def learn(encoder: Encoder, **changes: Any) -> Lesson:
    """A token by prompt tuning."""
    others = encoder.encode_images([picture(i, (40, 40)) for i in range(10, 18)])
    return learn_token(
        "my-dress",
        IMAGES,
        "dress",
        encoder,
        lambda text, images: others,
        config=replace(QUICK, **changes),
        method="prompt tuning",
        adjectives=("red", "old", "striped"),
    )


def test_learning_lowers_the_loss_and_its_token_is_found() -> None:
    encoder = view(clip(), name="mine")
    lesson = learn(encoder, steps=20, projection=False)
    losses = [look.classification for look in lesson.learned.losses]
    assert min(losses) < losses[0]
    assert lesson.token.text_tower == encoder.text_tower.table_hash
    assert lesson.token.embedder == str(encoder.embedder_id)
    with_token = compile_query("a <my-dress> on grass", encoder, lambda name: lesson.token)
    assert not np.allclose(with_token.vector, encoder.encode_texts(["a dress on grass"])[0], atol=1e-3)
    assert config_for(encoder.spec) == PAPER


@pytest.mark.parametrize("make", [clip, custom])
def test_token_weights(make: Callable[..., Any]) -> None:
    encoder = view(make())
    plain = encoder.encode_texts(["a red dress"])[0]
    for same in ("a red dress", "a (red:1) dress"):
        assert np.array_equal(query_vector(same, encoder, nobody)[0], plain)
    assert not np.allclose(query_vector("a (red:3) dress", encoder, nobody)[0], plain, atol=1e-3)
    assert encoder.text_tower.start_block == 2
    assert view(make(), start_fraction=0.25).text_tower.start_block == 1


@pytest.fixture(scope="module")
def bundled(encoder: Encoder) -> Encoder:
    """The bundled model out of its own files, through open_clip."""
    name = encoder.spec.architecture
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return Encoder.from_open_clip(model, open_clip.get_tokenizer(name), preprocess)


def test_a_model_by_name_is_the_same_in_memory(bundled: Encoder, encoder: Encoder) -> None:
    by_name = Encoder.load("gair-mini", "cpu")
    assert by_name.spec == encoder.spec
    assert by_name.embedder_id.same_as(encoder.embedder_id)
    assert bundled.preprocessing == encoder.preprocessing
    assert bundled.embedder_id.preprocessing == encoder.embedder_id.preprocessing
    assert bundled.spec.embed_dim == encoder.spec.embed_dim
    assert bundled.text_tower.table_hash == encoder.text_tower.table_hash
    assert np.allclose(bundled.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)
    assert np.allclose(bundled.encode_images(IMAGES), encoder.encode_images(IMAGES), atol=1e-6)
    token = tiny_token(encoder)
    for prompt in ("a (red:2) dress", "[a] <my-dress> on grass"):
        ours, theirs = (query_vector(prompt, own, lambda name: token)[0] for own in (bundled, encoder))
        assert np.allclose(ours, theirs, atol=1e-6)


def test_its_gallery_is_its_own(encoder: Encoder, tmp_path: Path) -> None:
    model = clip()
    mine, folder = view(model), tmp_path / "photos"
    paths = make_photos(folder, 4)
    gallery = EmbeddedGallery(tmp_path / "gallery")
    index_folders([folder], mine.spec, mine.encode_pixels, gallery, workers=0)
    hits = gallery.search(mine.encode_files(paths[2:3])[0], 1)
    assert Path(hits[0].path).name == paths[2].name
    gallery.require(view(copy.deepcopy(model), name="the same").embedder_id)
    for other in (encoder, view(custom())):
        with pytest.raises(EmbedderMismatchError):
            gallery.require(other.embedder_id)
    gallery.close()


def test_loading_by_name_says_what_there_is() -> None:
    with pytest.raises(ModelError, match="is no architecture"):
        Encoder.load("ViT-B-33/laion2b_s34b_b79k")
    with pytest.raises(ModelError, match="models pull ViT-B-32/laion2b_s34b_b79k"):
        Encoder.load("ViT-B-32/laion2b_s34b_b79k")
    assert Encoder.load("gair-mini", "cpu", 0.25).text_tower.start_block == 1


def test_a_fitting_generator_draws_for_it(bundled: Encoder, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a model in memory.*Generator.load\(encoder, FOLDER\)"):
        Generator.load(bundled)
    with pytest.raises(ModelError, match="is a model in memory"):
        export.pipeline_folder(bundled.spec)
    with pytest.raises(ModelError, match="is a model in memory"):
        export.export(bundled.spec, tmp_path / "full")
    parts = tiny_generator(tmp_path / "parts", MINI_WIDTH)
    sampling = SamplingConfig(steps=1)
    drawn = []
    for own in (bundled, encoder):
        conditioning = own.text_tower.encode_ids([[320]], full_context=True).conditioning
        drawn.append(Generator.load(own, parts).sample(conditioning.detach(), [1], sampling))
    assert torch.equal(*drawn)
    full = export.assemble(parts, bundled.text_tower, tmp_path / "full")
    assert Generator.load(encoder, full).identity == Generator.load(bundled, full).identity


@pytest.mark.parametrize("make", [clip, custom])
def test_its_text_encoder_is_exported(make: Callable[..., Any]) -> None:
    tower = view(make(quick_gelu=True)).text_tower
    exported = make_text_encoder(tower)
    ids = [tower.token_ids(text) for text in TEXTS]
    rows = torch.full((3, 77), tower.end_id)
    for row, own in zip(rows, ids, strict=True):
        row[: len(own) + 2] = torch.tensor([tower.start_id, *own, tower.end_id])
    with torch.inference_mode():
        expected = tower.encode_ids(ids, full_context=True).conditioning
        assert torch.allclose(exported(rows).last_hidden_state, expected, atol=1e-5)
    assert exported.config.projection_dim == 16


@pytest.mark.slow
def test_the_id_is_of_what_the_encoder_computes() -> None:
    """The same in half precision; another with other weights, activation, heads or preparation of images."""
    model = clip()
    first = view(model).embedder_id
    assert first.name == "CLIP-16"
    assert first.dim == 16
    assert first == view(copy.deepcopy(model)).embedder_id
    assert view(model, name="mine").embedder_id == replace(first, name="mine")
    half = clip().half()
    assert view(half).embedder_id == view(copy.deepcopy(half).float()).embedder_id
    with torch.no_grad():
        model.visual.conv1.weight[0, 0, 0, 0] += 1e-6
    other = view(model).embedder_id
    assert (other.weights != first.weights, other.architecture) == (True, first.architecture)
    for changed in (clip(quick_gelu=True), clip({"heads": 4}), clip({"pool_type": "last"})):
        its = view(changed).embedder_id
        assert (its.weights, its.architecture != first.architecture) == (first.weights, True)
    transform = open_clip.image_transform(32, is_train=False, resize_mode="squash")
    squashed = Encoder.from_open_clip(clip(), tools()[0], transform).embedder_id
    assert squashed.preprocessing != first.preprocessing
    assert replace(squashed, preprocessing=first.preprocessing) == first


def test_the_id_is_not_computed_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, digits: int) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(open_clip_models, "digest", refuse)
    encoder = view(clip())
    encoder.encode_texts(TEXTS)
    encoder.encode_images(IMAGES)
    with pytest.raises(AssertionError, match="hashed"):
        _ = encoder.embedder_id


def test_a_spec_in_memory_has_no_file_of_weights() -> None:
    spec = view(clip(quick_gelu=True)).spec
    assert isinstance(spec, ModelInMemory)
    assert spec.quick_gelu
    assert spec.folder is None
    assert Encoder(spec, "cpu").encode_texts(TEXTS).shape == (3, 16)
    spec.verify_weights()
    with pytest.raises(ModelError, match="without a file of weights"):
        _ = spec.weights_file


def test_models_and_encoders_of_inference_mode_can_be_learned_with() -> None:
    with torch.inference_mode():
        model = clip()
        encoder = view(model)
        encoder.encode_images(IMAGES)
    assert np.allclose(encoder.encode_texts(TEXTS), oracle(clip())[0], atol=1e-5)
    learn(encoder)


@pytest.mark.slow
def test_a_compiled_model_is_seen_through() -> None:
    model = clip()
    encoder = view(torch.compile(model))
    assert encoder.spec.name == "CLIP-16"
    assert np.allclose(encoder.encode_texts(TEXTS), oracle(model)[0], atol=1e-5)


WRONG: dict[str, tuple[Callable[[], tuple[Any, Any, Any]], str]] = {
    "the whole tuple": (
        lambda: ((clip(), None, None), *tools()),
        "model is tuple; expected the model that open_clip",
    ),
    "no towers": (lambda: (nn.Linear(2, 2), *tools()), "model is Linear; .* `visual` and `encode_text`"),
    "a scripted model": (
        lambda: (torch.jit.script(nn.Linear(2, 2)), *tools()),
        "model is scripted.* jit=False",
    ),
    "a model without weights": (lambda: (clip().to("meta"), *tools()), "on the device meta"),
    "two arguments swapped": (
        lambda: (clip(), *tools()[::-1]),
        "tokenizer is Compose; expected what open_clip",
    ),
    "all arguments swapped": (lambda: (*tools(), clip()), "model is SimpleTokenizer; expected the model"),
    "the model's name": (lambda: ("ViT-B-32", *tools()), "model is str; expected the model"),
    "the function tokenize": (
        lambda: (clip(), open_clip.tokenize, tools()[1]),
        "tokenizer is tokenize; expected what open_clip.get_tokenizer",
    ),
    "a shorter tokenizer": (lambda: (clip(), *tools(32)), "gives 32 places.* takes 77; .*context_length=77"),
    "a longer tokenizer": (
        lambda: (clip({"context_length": 32}), *tools()),
        "gives 77 places.* takes 32; .*context_length=32",
    ),
    "another vocabulary": (
        lambda: (clip({"vocab_size": 32000}), *tools()),
        "has 49408 words, and the token table of CLIP 32000",
    ),
    "a slightly larger table": (
        lambda: (clip({"vocab_size": 50265}), *tools()),
        "has 49408 words, and the token table of CLIP 50265",
    ),
    "no transform": (lambda: (clip(), tools()[0], None), "preprocess is NoneType; expected preprocess_val"),
    "a transform that fails": (
        lambda: (clip(), tools()[0], open_clip.SimpleTokenizer()),
        "preprocess is SimpleTokenizer, and fails on an RGB image",
    ),
    "the transform for training": (
        lambda: (clip(), tools()[0], open_clip.image_transform(32, is_train=True)),
        r"draws lots \(it holds RandomResizedCrop\).*expected preprocess_val",
    ),
    "images of another size": (
        lambda: (clip(), *tools(side=48)),
        "images of 48 x 48, and the image tower takes 32 x 32",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments_are_named(kind: str) -> None:
    make, message = WRONG[kind]
    with pytest.raises(ModelError, match=message):
        Encoder.from_open_clip(*make())


def test_a_model_that_fails_is_named() -> None:
    model = clip()
    model.positional_embedding = nn.Parameter(torch.zeros(60, 32))
    with pytest.raises(ModelError, match="CLIP can't encode what the tokenizer gives: The size of tensor"):
        view(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "coca_ViT-B-32"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_real_architecture(name: str) -> None:
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    encoder = Encoder.from_open_clip(model, tokenizer, preprocess)
    model.eval()
    images: list[Image.Image] = [picture(1, (500, 300)), picture(2, (224, 224)), picture(3, (180, 400))]
    with torch.inference_mode():
        texts = nn.functional.normalize(model.encode_text(tokenizer(TEXTS)), dim=-1)
        pictures = nn.functional.normalize(
            model.encode_image(torch.stack([preprocess(image) for image in images])), dim=-1
        )
    assert np.allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    assert np.allclose(encoder.encode_images(images), pictures, atol=1e-4)
    assert encoder.takes_plain_prompts_only == name.startswith("coca")
    assert encoder.device.type == "cpu"


def on_a_card() -> bool:
    return torch.cuda.is_available()


@pytest.mark.skipif(not on_a_card(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "pure_bf16"])
def test_it_runs_where_the_model_lies(precision: str) -> None:
    model = clip(cast_dtype=torch.float16)
    texts, images = oracle(model)
    encoder = view((model if precision == "fp32" else lowered(model, precision)).cuda())
    assert encoder.device.type == "cuda"
    assert ((encoder.encode_texts(TEXTS) * texts).sum(1) > 0.995).all()
    assert ((encoder.encode_images(IMAGES) * images).sum(1) > 0.995).all()
    learn(encoder)
    there = encoder.text_tower.device
    assert Encoder(encoder.spec, "cpu").text_tower.device.type == "cpu"
    assert (encoder.text_tower.device, next(model.parameters()).device) == (there, there)
