"""Models of strangers: none of their code is run."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from support.strangers import arch, change, configure, plant, tokenizer_by_flag, use

from gair_search.encoder import download, models, untrusted
from gair_search.encoder.clip import Encoder
from gair_search.errors import ModelError
from gair_search.generation import export
from gair_search.generation.generator import Generator

CASES = Path(os.environ.get("GAIR_CASES", Path.cwd().parent / "shared/data/cases")) / "model-configs"


def bert(folder: Path, marker: Path, code: bool) -> Path:
    """A text tower in transformers' format; with `code`, one that is its own Python."""
    facts: dict[str, Any] = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1}
    facts |= {"num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}
    if code:
        facts = {
            "model_type": "marker",
            "auto_map": {"AutoConfig": "marker.Config", "AutoModel": "marker.Model"},
        }
    change(folder / "config.json", **facts)
    plant(folder, marker)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"adog"[:4]]))
    change(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    return folder


def tokenizer_by_question(folder: Path, marker: Path) -> None:
    tokenizer_by_flag(folder, marker)
    configure(folder, "text_cfg", tokenizer_kwargs={})


def tokenizer_flag_alone(folder: Path, marker: Path) -> None:
    configure(folder, "text_cfg", hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": 1})


def text_tower_of_the_folder(folder: Path, marker: Path) -> None:
    configure(folder, "text_cfg", hf_model_name=str(bert(folder, marker, code=True)))


def text_tower_elsewhere(folder: Path, marker: Path) -> None:
    other = bert(folder.parent / "elsewhere", marker, code=True)
    configure(folder, "text_cfg", hf_model_name=str(other), hf_pooler_type="mean_pooler")


def image_tower_by_flag(folder: Path, marker: Path) -> None:
    configure(folder, "vision_cfg", act_kwargs={"deep": [{"trust_remote_code": True}]})


def image_tower_of_a_folder(folder: Path, marker: Path) -> None:
    configure(folder, "vision_cfg", timm_model_name=f"local-dir:{folder}")


def image_tower_of_the_hub(folder: Path, marker: Path) -> None:
    configure(folder, "vision_cfg", timm_model_name="hf-hub:someone/tower")


def attention_of_the_hub(folder: Path, marker: Path) -> None:
    bert(folder, marker, code=False)
    change(folder / "config.json", _attn_implementation="someone/kernel")


def parts(name: str) -> Callable[[Path, Path], None]:
    """`auto_map` in the config of a part of the generator."""

    def spoil(folder: Path, marker: Path) -> None:
        plant(folder / "generator" / name, marker)
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        change(folder / "generator" / name / file, auto_map={"AutoModel": "marker.Model"})

    return spoil


def index(**entries: Any) -> Callable[[Path, Path], None]:
    """Entries of the generator's `model_index.json`."""

    def spoil(folder: Path, marker: Path) -> None:
        plant(folder / "generator" / "unet", marker)
        plant(folder / "generator", marker)
        change(folder / "generator" / "model_index.json", **entries)

    return spoil


def part_like_a_library(folder: Path, marker: Path) -> None:
    """diffusers takes `unet/diffusers.py` for the library of `["diffusers", "UNet2DConditionModel"]`."""
    plant(folder / "generator" / "unet", marker, "diffusers")


class Evil:
    """What leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.marker), "w"))


def pickled_unet(folder: Path, marker: Path) -> None:
    part = folder / "generator" / "unet"
    (part / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": Evil(marker)}, part / "diffusion_pytorch_model.bin")


ATTACKS: dict[Callable[[Path, Path], None], str] = {
    tokenizer_by_flag: "trust_remote_code is true",
    tokenizer_by_question: r"tokenizer_config.json: auto_map is \{\"AutoTokenizer\"",
    tokenizer_flag_alone: "model_cfg.text_cfg.tokenizer_kwargs.trust_remote_code is 1, expected",
    text_tower_of_the_folder: "config.json: auto_map",
    text_tower_elsewhere: "elsewhere/config.json: auto_map",
    image_tower_by_flag: r"vision_cfg.act_kwargs.deep\[0\].trust_remote_code is true",
    image_tower_of_a_folder: "timm_model_name is",
    image_tower_of_the_hub: "timm_model_name is",
    attention_of_the_hub: "_attn_implementation is",
    parts("unet"): "unet/config.json: auto_map",
    parts("vae"): "vae/config.json: auto_map",
    parts("scheduler"): "scheduler_config.json: auto_map",
    parts("text_encoder"): "text_encoder/config.json: auto_map",
    parts("tokenizer"): "tokenizer/config.json: auto_map",
    index(unet=["marker", "Model"]): r"model_index.json: unet is \[\"marker\", \"Model\"\], expected",
    index(vae=["diffusers.marker", "AutoencoderKL"]): "model_index.json: vae is",
    index(scheduler=["transformers", "MyScheduler"]): "model_index.json: scheduler is",
    index(extra=[["marker"], "Model"]): "model_index.json: extra is",
    index(extra={"a": ["marker", "Model"]}): "model_index.json: extra is",
    index(_class_name=["marker", "Model"]): "model_index.json: _class_name is",
    index(_class_name="MarkerPipeline"): "model_index.json: _class_name is",
    index(custom_pipeline="marker"): "custom_pipeline is",
    part_like_a_library: "unet/diffusers.py",
    pickled_unet: "diffusion_pytorch_model.bin",
}


QUICK = (tokenizer_by_flag, text_tower_of_the_folder, part_like_a_library, pickled_unet)
"""One attack of each kind, for the quick tests."""


@pytest.mark.parametrize(
    "attack",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in ATTACKS],
    ids=lambda attack: f"{attack.__qualname__}: {ATTACKS[attack]}",
)
def test_no_code_of_a_folder_is_run(
    attack: Callable[[Path, Path], None], folder: Path, marker: Path, nobody_is_asked: list[str]
) -> None:
    attack(folder, marker)
    with pytest.raises(ModelError, match=ATTACKS[attack]):
        use(folder)
    assert not marker.exists()
    assert nobody_is_asked == []


def test_an_unspoilt_folder_with_python_in_it_is_used_and_nothing_imported(
    folder: Path, marker: Path
) -> None:
    plant(folder, marker)
    plant(folder / "generator", marker)
    use(folder)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", ["code", "a slip, then code"])
def test_pickled_weights_of_a_folder_run_nothing(
    folder: Path, marker: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`open_clip_pytorch_model.bin` is read as tensors, also where that fails in a way that open_clip mends."""
    weights = folder / "open_clip_pytorch_model.bin"
    torch.save(load_file(folder / "open_clip_model.safetensors"), weights)
    (folder / "open_clip_model.safetensors").unlink()
    use(folder)
    weights.write_bytes(pickle.dumps({"state_dict": Evil(marker)}))
    if content != "code":
        load = torch.load  # open_clip asks again without `weights_only` then; older torch took that for no

        def slip(*told: Any, weights_only: bool | None = None, **more: Any) -> Any:
            if weights_only:
                raise TypeError("a slip")
            return load(*told, weights_only=None if untrusted_is_on() else False, **more)

        monkeypatch.setattr(torch, "load", slip)
    clip = Encoder(models.resolve(f"local-dir:{folder}"), "cpu")
    for ask in (
        lambda: clip.encode_texts(["x"]),
        lambda: clip.encode_pixels(np.zeros((1, 32, 32, 3), np.uint8)),
    ):
        with pytest.raises(ModelError):
            ask()
    assert not marker.exists()


def untrusted_is_on() -> bool:
    import os

    return os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD") == "1"


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_generators_of_others_are_read_from_safetensors_alone(
    tiny_folder: Path, tmp_path: Path, marker: Path, part: str
) -> None:
    clip = Encoder(models.resolve(f"local-dir:{tiny_folder}"), "cpu")
    full = export.export(clip.spec, tmp_path / "full")
    (file,) = (full / part).glob("*.safetensors")
    name = "diffusion_pytorch_model.bin" if part != "text_encoder" else "pytorch_model.bin"
    torch.save({"x": Evil(marker)}, full / part / name)
    Generator.load(clip, full)  # beside safetensors it is not read
    file.unlink()
    with pytest.raises(ModelError, match=f"{name} is a pickle"):
        Generator.load(clip, full)
    assert not marker.exists()
    change(full / part / "config.json", auto_map={"AutoModel": "marker.Model"})
    with pytest.raises(ModelError, match="auto_map"):
        Generator.load(clip, full)


def test_an_ordinary_stable_diffusion_index_is_taken(tiny_folder: Path, tmp_path: Path) -> None:
    clip = Encoder(models.resolve(f"local-dir:{tiny_folder}"), "cpu")
    full = export.export(clip.spec, tmp_path / "full")
    change(
        full / "model_index.json",
        _class_name="LatentConsistencyModelPipeline",
        _diffusers_version="0.6.0",
        scheduler=["diffusers", "PNDMScheduler"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        image_encoder=[None, None],
        requires_safety_checker=True,
    )
    Generator.load(clip, full)


def test_every_json_is_read_within_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, said in (
        ("[" * 100_000, "nested"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested"),
        ("{", "can't be read"),
        ("\ufeff{}", "can't be read"),
        ('{"\\u0061uto_map": {}}', "auto_map"),
        ('[{"a": {"auto_map": "x"}}]', r"\[0\].a.auto_map"),
    ):
        (folder / "deep" / "er").mkdir(parents=True, exist_ok=True)
        (folder / "deep" / "er" / "x.JSON").write_text(content, "utf-8")
        with pytest.raises(ModelError, match=said) as caught:
            models.resolve(f"local-dir:{folder}")
        assert len(str(caught.value)) < 1000
    (folder / "deep" / "er" / "x.JSON").write_text("{}")
    models.resolve(f"local-dir:{folder}")
    monkeypatch.setattr(untrusted, "MAX_BYTES", 1)
    with pytest.raises(ModelError, match="bytes"):
        models.resolve(f"local-dir:{folder}")


def test_links_are_followed_and_rings_of_them_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (folder / "link").symlink_to(tmp_path / "far")
    for ring in ("back", "again", "and again"):
        (tmp_path / "far" / ring).symlink_to(folder)
    models.resolve(f"local-dir:{folder}")
    change(tmp_path / "far" / "config.json", auto_map={"AutoModel": "x.X"})
    with pytest.raises(ModelError, match="auto_map"):
        models.resolve(f"local-dir:{folder}")


def test_words_of_a_vocabulary_are_no_settings(folder: Path) -> None:
    change(folder / "vocab.json", auto_map=1, trust_remote_code=2)
    change(folder / "tokenizer.json", model={"vocab": {"auto_map": 1, "trust_remote_code": 2}})
    models.resolve(f"local-dir:{folder}")


@pytest.mark.skipif(not CASES.is_dir(), reason="the small files that went wrong are not on this machine")
def test_the_files_that_went_wrong(folder: Path, marker: Path) -> None:
    plant(folder, marker)
    shutil.copy(CASES / "tokenizer_config-auto-map.json", folder / "tokenizer_config.json")
    with pytest.raises(ModelError, match="auto_map"):
        use(folder)
    shutil.copy(CASES / "asks-for-remote-code.json", folder / "open_clip_config.json")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="trust_remote_code"):
        use(folder)
    assert not marker.exists()


def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """An empty snapshot of a repository in a hub cache of the test's own."""
    cache = tmp_path / "hub"
    for module in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.file_download.HF_HUB_CACHE"):
        monkeypatch.setattr(module, str(cache), raising=False)
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    return repository / "snapshots" / "abc"


def test_what_a_config_names_on_the_hub_is_never_fetched(
    folder: Path, no_network: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path, monkeypatch, "someone/else")
    configure(folder, "text_cfg", hf_model_name="someone/tower", hf_tokenizer_name="someone/tokens")
    clip = Encoder(models.resolve(f"local-dir:{folder}"), "cpu")
    for ask in (
        lambda: clip.encode_texts(["x"]),
        lambda: clip.encode_pixels(np.zeros((1, 32, 32, 3), np.uint8)),
    ):
        with pytest.raises(ModelError, match=r"someone/tower.*gair models pull local-dir:"):
            ask()
    weights = folder / "open_clip_model.safetensors"
    for name in ("roberta-ViT-B-32", "ViT-B-16-SigLIP"):
        with pytest.raises(ModelError, match=f"gair models pull {name}"):
            Encoder(models.resolve(f"{name}:{weights}"), "cpu").encode_texts(["x"])
    assert no_network == []


def test_towers_and_tokenizers_that_were_pulled_work_without_a_network(
    folder: Path,
    marker: Path,
    no_network: list[Any],
    nobody_is_asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from safetensors.torch import save_file

    tower = bert(cached(tmp_path, monkeypatch, "someone/tower"), marker, code=False)
    bert(folder, marker, code=False)
    (folder / "config.json").unlink()
    told = {"hf_model_name": "someone/tower", "hf_tokenizer_name": "someone/tower", "context_length": 8}
    configure(folder, "text_cfg", **told, hf_pooler_type="mean_pooler", hf_proj_type="linear")
    config = models.resolve(f"local-dir:{folder}").config
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-bert", config)
    monkeypatch.setitem(arch(), "bert", {"config_names": {"width": "hidden_size"}, "pooler": "mean_pooler"})
    (folder / "open_clip_model.safetensors").unlink()
    fresh = open_clip.create_model("tiny-bert", pretrained_text=False)
    save_file(fresh.state_dict(), folder / "open_clip_model.safetensors")
    no_network.clear()  # open_clip by itself does ask
    for name in (f"local-dir:{folder}", f"tiny-bert:{folder / 'open_clip_model.safetensors'}"):
        assert Encoder(models.resolve(name), "cpu").encode_texts(["a d"]).shape == (1, 16)
    assert (no_network, nobody_is_asked) == ([], [])
    bert(tower, marker, code=True)  # another program may have fetched that one
    for name in (f"local-dir:{folder}", f"tiny-bert:{folder / 'open_clip_model.safetensors'}"):
        with pytest.raises(ModelError, match="auto_map"):
            Encoder(models.resolve(name), "cpu").encode_texts(["a d"])
    # should the search for such fields ever miss one, transformers still runs and asks nothing
    monkeypatch.setattr(untrusted, "check_folder", lambda folder: None)
    for name in (f"local-dir:{folder}", f"tiny-bert:{folder / 'open_clip_model.safetensors'}"):
        with pytest.raises(ModelError, match="can't be loaded"):
            Encoder(models.resolve(name), "cpu").encode_texts(["a d"])
    assert (marker.exists(), no_network, nobody_is_asked) == (False, [], [])


def test_pulling_fetches_what_a_config_names_and_asks_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import dynamic_module_utils

    fetched: list[Any] = []

    def tokenizer(name: str, **told: Any) -> None:
        fetched.append((name, told, dynamic_module_utils.TIME_OUT_REMOTE_CODE))

    monkeypatch.setattr(download, "_check_reachable", lambda url, name: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, file: fetched.append((repo, file)))
    monkeypatch.setattr(open_clip, "get_tokenizer", tokenizer)
    weights = folder / "open_clip_model.safetensors"
    assert download.pull(f"roberta-ViT-B-32:{weights}") == weights
    safely = {"trust_remote_code": False}
    assert fetched == [("roberta-base", "config.json"), ("roberta-ViT-B-32", safely, 0)]
    fetched.clear()
    configure(folder, "text_cfg", hf_model_name="someone/tower", hf_tokenizer_name="someone/tokens")
    download.pull(f"local-dir:{folder}")
    assert fetched == [("someone/tower", "config.json")]
    assert dynamic_module_utils.TIME_OUT_REMOTE_CODE > 0


def test_tokenizers_of_transformers_are_told_to_run_and_fetch_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name, **more: told.append(more))
    configure(folder, "text_cfg", hf_tokenizer_name="x")
    with pytest.raises(AttributeError):  # None is no tokenizer
        Encoder(models.resolve(f"local-dir:{folder}"), "cpu").encode_texts(["x"])
    assert told == [{"trust_remote_code": False, "local_files_only": True}]
