import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from support.generator import TINY_WIDTH

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.errors import GeneratorError, ModelError
from gair_search.generation import export
from gair_search.generation.generator import Generator, to_pixels
from gair_search.generation.sampling import SCHEDULERS, SamplingConfig

QUICK = SamplingConfig("ddim", steps=3, guidance=4.0)


@pytest.fixture
def generator(tiny: Encoder) -> Generator:
    return Generator.load(tiny)


@pytest.fixture(scope="module")
def full(tiny_folder: Path, tiny: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same generator as a whole Stable Diffusion folder; don't change it."""
    return export.export(tiny.spec, tmp_path_factory.mktemp("full") / "sd")


def conditioning(encoder: Encoder, *texts: str) -> torch.Tensor:
    tower = encoder.text_tower
    with torch.inference_mode():
        return tower.encode_ids([tower.token_ids(text) for text in texts], full_context=True).conditioning


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_images_equal_those_of_diffusers_own_pipeline(
    generator: Generator, tiny: Encoder, full: Path, scheduler: str, guidance: float, prediction: str
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(full)
    pipe.set_progress_bar_config(disable=True)
    config = {**generator.scheduler, "prediction_type": prediction}
    pipe.scheduler = getattr(diffusers, SCHEDULERS[scheduler][0]).from_config(config)
    generator.scheduler = config
    told, seeds = conditioning(tiny, "a red dress", "a dog", "grass"), [3, 3, 8]
    theirs = pipe(
        prompt_embeds=told,
        negative_prompt_embeds=conditioning(tiny, "").expand(3, -1, -1),
        num_inference_steps=5,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        output_type="pt",
    ).images
    sampling = SamplingConfig(scheduler, 5, guidance)
    ours = generator.decode(generator.denoise(told, seeds, sampling))
    assert ours.shape == theirs.shape == (3, 3, 16, 16)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert theirs.std() > 0.01
    pixels = generator.sample(told, seeds, sampling)
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (3, 16, 16, 3))
    assert (pixels.int() - to_pixels(theirs).int()).abs().max() <= 1


def test_a_unet_that_was_distilled_takes_the_guidance_as_an_input(
    tiny: Encoder, full: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(full, tmp_path / "lcm")
    torch.manual_seed(0)
    config = json.loads((folder / "unet/config.json").read_text()) | {"time_cond_proj_dim": 32}
    diffusers.UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    generator, pipe = Generator.load(tiny, folder), StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = diffusers.LCMScheduler.from_config(generator.scheduler)
    told = conditioning(tiny, "a red dress", "a dog")
    theirs = pipe(
        prompt_embeds=told,
        negative_prompt_embeds=told,
        num_inference_steps=4,
        guidance_scale=6.0,
        generator=[torch.Generator().manual_seed(1) for _ in told],
        output_type="pt",
    ).images
    assert generator.complete_sampling(SamplingConfig()).scheduler == "lcm"
    assert torch.allclose(
        generator.decode(generator.denoise(told, [1, 1], SamplingConfig(guidance=6.0))), theirs, atol=1e-4
    )
    assert generator.denoiser_rows == 8


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_seed_gives_the_same_image_in_a_batch_as_alone(
    generator: Generator, tiny: Encoder, scheduler: str
) -> None:
    sampling, seeds = SamplingConfig(scheduler, 4), [5, 6, 5, 6]
    told = conditioning(tiny, "a red dress", "a red dress", "grass", "grass")
    together = generator.decode(generator.denoise(told, seeds, sampling))
    for row, seed, image in zip(told, seeds, together, strict=True):
        alone = generator.decode(generator.denoise(row[None], [seed], sampling))
        assert torch.allclose(alone[0], image, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_given_noise_takes_the_place_of_the_seeds(generator: Generator, tiny: Encoder) -> None:
    told = conditioning(tiny, "a dog", "a cat")
    noise = generator.noise([4, 4])
    assert torch.equal(noise[0], noise[1])
    expected = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    assert torch.equal(noise[:1], expected)
    given = generator.sample(told, [0], QUICK, noise=noise)
    assert torch.equal(given, generator.sample(told, [4], QUICK))


def test_rows_are_counted_and_the_unconditional_first_step_is_shared(
    generator: Generator, tiny: Encoder
) -> None:
    told = conditioning(tiny, "a", "b", "c", "d")
    told_steps: list[int] = []
    generator.sample(told, [7, 7, 7, 9], QUICK, on_step=told_steps.append)
    # step 1: 4 rows and one unconditional a seed; steps 2 and 3: 4 and 4
    assert generator.denoiser_rows == (4 + 2) + 2 * (4 + 4)
    assert told_steps == [4, 4, 4]
    generator.sample(told, [7], SamplingConfig("ddim", 3, guidance=1.0))
    assert generator.denoiser_rows == 22 + 3 * 4


def test_out_of_memory_halves_the_batch_and_says_so(
    generator: Generator, tiny: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, seeds = conditioning(tiny, *"abcdefg"), list(range(7))
    expected = generator.sample(told, seeds, QUICK)
    whole, sizes = generator.decode, []

    def small(latents: torch.Tensor, most: int = 2) -> torch.Tensor:
        sizes.append(len(latents))
        if len(latents) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(latents)

    monkeypatch.setattr(generator, "decode", small)
    said: list[str] = []
    images = generator.sample(told, seeds, QUICK, on_warning=said.append)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert said == [
        "out of memory with 7 images at once; going on with 3",
        "out of memory with 3 images at once; going on with 1",
    ]
    assert (images.int() - expected.int()).abs().max() <= 1
    monkeypatch.setattr(generator, "decode", lambda latents: small(latents, 0))
    with pytest.raises(GeneratorError, match="a single image of 16 x 16"):
        generator.sample(told, seeds, QUICK)
    monkeypatch.setattr(generator, "decode", lambda _: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):  # other errors stay what they are
        generator.sample(told, seeds, QUICK)


def test_nan_becomes_black() -> None:
    images = torch.full((2, 3, 4, 4), 0.5)
    images[1, 2, 3, 3] = float("nan")
    pixels = to_pixels(images)
    assert pixels[0].unique().tolist() == [128]
    assert pixels[1].unique().tolist() == [0]


def test_sizes_of_ones_own(generator: Generator, tiny: Encoder) -> None:
    told = conditioning(tiny, "a dog")
    assert generator.size == (16, 16)
    sampling = SamplingConfig("ddim", 2, height=24, width=32)
    assert generator.sample(told, [0], sampling).shape == (1, 24, 32, 3)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (SamplingConfig("euler"), "expected one of ddim, dpm\\+\\+, lcm"),
        (SamplingConfig(steps=0), r"0 steps: expected 1 to 1000 with dpm\+\+"),
        (SamplingConfig("lcm", steps=51), "51 steps: expected 1 to 50 with lcm"),
        (SamplingConfig(guidance=float("nan")), "guidance nan"),
        (SamplingConfig(guidance=-1), "guidance -1"),
        (SamplingConfig(height=17), "expected multiples of 4 for this generator, best 16 x 16"),
    ],
)
def test_values_out_of_range_are_told(
    generator: Generator, tiny: Encoder, sampling: SamplingConfig, said: str
) -> None:
    with pytest.raises(GeneratorError, match=said):
        generator.sample(conditioning(tiny, "a"), [0], sampling)


def test_shapes_that_dont_fit_are_told(generator: Generator, tiny: Encoder) -> None:
    told = conditioning(tiny, "a", "b")
    for bad, said in (
        ({"conditioning": told, "seeds": [1, 2, 3]}, "3 seeds for 2 images"),
        ({"conditioning": told[:, :5]}, r"expected \[B, 77, 32\]"),
        ({"conditioning": told, "noise": torch.zeros(2, 4, 9, 9)}, r"expected \[2, 4, 8, 8\]"),
        ({"conditioning": told[:0]}, "no conditioning"),
    ):
        with pytest.raises(GeneratorError, match=said):
            generator.sample(**bad)


def test_a_whole_folder_with_our_text_encoder_is_taken_in_any_precision(
    generator: Generator, tiny: Encoder, full: Path, tmp_path: Path
) -> None:
    told = conditioning(tiny, "a dog")
    loaded = Generator.load(tiny, str(full))
    assert torch.equal(loaded.sample(told, [0], QUICK), generator.sample(told, [0], QUICK))
    assert loaded.identity == generator.identity
    half = shutil.copytree(full, tmp_path / "half")  # as repositories with weights in half precision alone
    for part in ("unet", "vae", "text_encoder"):
        (file,) = (half / part).glob("*.safetensors")
        save_file({k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors"))
        file.unlink()
    narrow = Generator.load(tiny, half)
    assert narrow.identity != loaded.identity
    assert (narrow.sample(told, [0], QUICK).int() - loaded.sample(told, [0], QUICK).int()).abs().max() <= 8


def test_another_text_encoder_is_refused(tiny: Encoder, full: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full, tmp_path / "other")
    file = folder / "text_encoder" / "model.safetensors"
    state = load_file(file)
    state["text_model.embeddings.token_embedding.weight"][7, 3] += 0.5
    save_file(state, file, {"format": "pt"})
    with pytest.raises(GeneratorError, match="another token table than the text tower of local-dir:"):
        Generator.load(tiny, folder)
    file.write_bytes(b"nonsense")
    with pytest.raises(GeneratorError, match="can't be read"):
        Generator.load(tiny, folder)
    file.unlink()
    with pytest.raises(GeneratorError, match="holds no token table"):
        Generator.load(tiny, folder)


def test_a_generator_in_the_hubs_cache_is_found_by_name(
    tiny: Encoder, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--someone--sd"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    shutil.copytree(full, repository / "snapshots" / "abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert Generator.load(tiny, "someone/sd").size == (16, 16)
    for name in ("someone/else", "no such name", "/no/such/folder"):
        with pytest.raises(GeneratorError, match=f"there is no generator {name}: expected a folder"):
            Generator.load(tiny, name)


def test_what_is_no_generator_is_told(
    encoder: Encoder, tiny: Encoder, tiny_folder: Path, full: Path, tmp_path: Path
) -> None:
    with pytest.raises(GeneratorError, match=rf"conditioning of width {TINY_WIDTH}, and .* gair-mini gives"):
        Generator.load(encoder, full)
    with pytest.raises(GeneratorError, match="holds no unet/"):
        Generator.load(tiny, tmp_path)
    bare = shutil.copytree(tiny_folder, tmp_path / "bare")
    shutil.rmtree(bare / "generator")
    with pytest.raises(ModelError, match="has no generator"):
        Generator.load(Encoder(models.resolve(f"local-dir:{bare}"), "cpu"))
    broken = shutil.copytree(full, tmp_path / "broken")
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(GeneratorError, match="can't be loaded"):
        Generator.load(tiny, broken)
    xl = shutil.copytree(full, tmp_path / "xl")
    config = json.loads((xl / "unet/config.json").read_text()) | {"addition_embed_type": "text_time"}
    (xl / "unet/config.json").write_text(json.dumps(config))
    with pytest.raises(GeneratorError, match="SDXL"):
        Generator.load(tiny, xl)
    wide = shutil.copytree(full, tmp_path / "wide")
    config = json.loads((wide / "unet/config.json").read_text()) | {"in_channels": 9}
    diffusers.UNet2DConditionModel.from_config(config).save_pretrained(wide / "unet")
    with pytest.raises(GeneratorError, match="not one for inpainting"):
        Generator.load(tiny, wide)


def test_drawing_leaves_the_users_seed_alone(generator: Generator, tiny: Encoder) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    generator.sample(conditioning(tiny, "a dog"), [0], SamplingConfig("lcm", 2))
    assert torch.equal(torch.rand(1), expected)
    assert np.isfinite(generator.noise([0]).numpy()).all()
