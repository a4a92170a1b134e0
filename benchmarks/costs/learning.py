"""`gair bench speed --parts learning`: steps per second of textual inversion, ours against diffusers' training loop.

Both learn the same number of vectors from the same photos at the generator's size, same batch size, same prompts, on
the same weights. Ours is `learn_vectors` with the diffusion loss alone and no projection; latents, and what else is
frozen, are made before, once, and their seconds told apart. Theirs is the work of a step of
`examples/textual_inversion/textual_inversion.py` in huggingface/diffusers, which the package does not hold, written
anew: files opened, resized and mirrored by PIL, the VAE's encoder, the text encoder over its full context with the
whole token table in AdamW, the UNet forth and back, and all other rows of the table put back. Left out are accelerate,
which does nothing on one device, progress bars and files.
"""

import contextlib
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from gair_search.benchmarks.fashion_world import instance, render, scene
from gair_search.benchmarks.harness.measures import summary
from gair_search.benchmarks.harness.report import Table
from gair_search.benchmarks.harness.timing import Task, TimedPart, format_over_seeds
from gair_search.encoder.clip import Encoder
from gair_search.encoder.identity import ModelSpec
from gair_search.errors import ConceptError, GeneratorError
from gair_search.generation.export import assemble, pipeline_folder
from gair_search.generation.generator import Generator
from gair_search.images.folders import find_photos
from gair_search.images.reading import read_images
from gair_search.learning import attributes
from gair_search.learning.config import LearningConfig, config_for
from gair_search.learning.joint import Problem, learn_vectors
from gair_search.learning.preparation import prepare_problem
from gair_search.learning.templates import PARAPHRASES

OURS, THEIRS = "gair-search", "diffusers' loop"
REPEATS = 100
"""Times that the loop's data set goes through the photos in an epoch: the script's default."""
WEIGHT_DECAY = 1e-2
"""Of its AdamW: the script's default."""


class LoopPhotos(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The loop's data set: a photo is opened and made ready each time that it is asked for."""

    def __init__(self, files: Sequence[Path], tokenizer: Any, text: str, size: tuple[int, int]) -> None:
        """`size` is (height, width) in pixels."""
        self.files, self.tokenizer, self.text, self.size = files, tokenizer, text, size

    def __len__(self) -> int:
        return len(self.files) * REPEATS

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        image = Image.open(self.files[i % len(self.files)]).convert("RGB")
        height, width = self.size
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        pixels = (np.asarray(image, np.uint8) / 127.5 - 1.0).astype(np.float32)
        return {
            "pixels": torch.from_numpy(pixels).permute(2, 0, 1),
            "ids": self.ids(random.choice(PARAPHRASES)),
        }

    def ids(self, template: str) -> Tensor:
        """A prompt's ids over the full context, `[n_ctx]`."""
        length = self.tokenizer.model_max_length
        found = self.tokenizer(
            template.format(self.text),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        ids: Tensor = found.input_ids[0]
        return ids


@contextlib.contextmanager
def _silence_libraries() -> Iterator[None]:
    """Without the bars and remarks of diffusers and transformers."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    before = [(log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers, transformers)]
    try:
        for log, *_ in before:
            log.set_verbosity_error()
            log.disable_progress_bar()
        yield
    finally:
        for log, verbosity, bars in before:
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()


class DiffusersLoop:
    """Textual inversion as the script does it, step by step.

    Attributes:
        rows: of the token table, those that are learned.
    """

    @_silence_libraries()
    def __init__(
        self,
        source: str | Path,
        files: Sequence[Path],
        parent: str,
        settings: LearningConfig,
        encoder: Encoder,
        size: tuple[int, int],
        seed: int,
    ) -> None:
        """Load a Stable Diffusion folder and add the concept's tokens to it, as the script does.

        Args:
            source: the folder, or the name of a repository in Hugging Face's cache.
            files: the photos.
            parent: what they show.
            settings: of ours; vectors, batch size and learning rate are taken from them.
            encoder: tells device and precision.
            size: (height, width) of the generator's images in pixels.
            seed: of draws.

        Raises:
            GeneratorError: diffusers can't load the source.
        """
        from diffusers import DDPMScheduler, StableDiffusionPipeline

        try:
            pipe = StableDiffusionPipeline.from_pretrained(source, safety_checker=None, local_files_only=True)
        except (OSError, ValueError) as error:
            raise GeneratorError(f"diffusers can't load {source}: {error}") from error
        self.unet = pipe.unet.requires_grad_(False).to(encoder.device, encoder.dtype)
        self.vae = pipe.vae.requires_grad_(False).to(encoder.device, encoder.dtype)
        self.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
        names = ["<concept>", *(f"<concept>_{i}" for i in range(1, settings.n_vectors))]
        if pipe.tokenizer.add_tokens(names) != len(names):
            raise GeneratorError(f"the tokenizer in {source} knows {names[0]} already")
        pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
        self.text_encoder = pipe.text_encoder.requires_grad_(False).to(encoder.device).train()
        self.table: nn.Parameter = pipe.text_encoder.get_input_embeddings().weight
        self.rows: list[int] = pipe.tokenizer.convert_tokens_to_ids(names)
        (first, *_) = pipe.tokenizer.encode(parent, add_special_tokens=False)
        with torch.no_grad():
            self.table[self.rows] = self.table[first].clone()
        self.table.requires_grad_(True)
        self.before = self.table.detach().clone()
        self.optim = torch.optim.AdamW([self.table], lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
        self.photos = LoopPhotos(files, pipe.tokenizer, f"{' '.join(names)} {parent}", size)
        torch.manual_seed(seed)
        random.seed(seed)
        self.loader = torch.utils.data.DataLoader(self.photos, settings.batch_size, shuffle=True)
        self._batches = iter(self.loader)

    def conditioning(self, ids: Tensor) -> Tensor:
        """What the text encoder makes of `[B, n_ctx]` ids: `[B, n_ctx, text_width]`."""
        return self.text_encoder(ids.to(self.table.device))[0].to(self.unet.dtype)  # type: ignore[no-any-return]

    def step(self) -> float:
        """One step; its loss."""
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.loader)
            batch = next(self._batches)
        pixels = batch["pixels"].to(self.unet.device, self.unet.dtype)
        latents = self.vae.encode(pixels).latent_dist.sample().detach() * self.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        high = self.scheduler.config.num_train_timesteps
        steps = torch.randint(0, high, (len(latents),), device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, steps)
        predicted = self.unet(noisy, steps, self.conditioning(batch["ids"])).sample
        if self.scheduler.config.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latents, noise, steps)
        else:
            target = noise
        loss = nn.functional.mse_loss(predicted.float(), target.float())
        loss.backward()  # type: ignore[no-untyped-call]
        self.optim.step()
        self.optim.zero_grad()
        others = torch.ones(len(self.table), dtype=torch.bool)
        others[min(self.rows) : max(self.rows) + 1] = False
        with torch.no_grad():
            self.table[others] = self.before[others]
        return float(loss.detach())


class LearningCost(TimedPart):
    """Textual inversion, ours and theirs.

    Attributes:
        prepared: seconds that ours took before its first step, one a seed.
    """

    title = "Learning: textual inversion against diffusers' training loop"
    baselines: ClassVar[Mapping[str, str]] = {OURS: THEIRS}

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        pipeline: str | Path,
        rounds: int,
        steps: int,
        photos: Sequence[Path] = (),
        parent: str = "dress",
    ) -> None:
        """Put it together.

        Args:
            encoder: a model.
            generator: what ours learns with.
            pipeline: the same for diffusers, from `find_pipeline`.
            rounds: timings of each.
            steps: of each in a round.
            photos: files or folders; pictures of the fashion world where empty.
            parent: what they show, words of the tokenizer's.

        Raises:
            ConceptError: no photo can be read; no parent.
        """
        super().__init__(rounds)
        self.encoder, self.generator, self.pipeline, self.parent = encoder, generator, pipeline, parent
        self.settings = short_inversion_config(encoder.spec, steps)
        self.files = readable_photos(photos) if photos else []
        self.prepared: list[float] = []
        if not encoder.text_tower.token_ids(parent):
            raise ConceptError(f'parent "{parent}": say what the photos show, as --parent dress')

    def tasks(self, seed: int, folder: Path) -> dict[str, Task]:
        self.files = self.files or draw_photos(folder)
        encoder, settings = self.encoder, self.settings
        began = time.perf_counter()
        problem = photo_problem(encoder, self.generator, self.files, self.parent, settings)
        self.prepared.append(time.perf_counter() - began)
        size = self.generator.size
        theirs = DiffusersLoop(self.pipeline, self.files, self.parent, settings, encoder, size, seed)
        return {
            OURS: lambda _: learn_vectors(problem, encoder.text_tower, settings, seed),
            THEIRS: lambda _: [theirs.step() for _ in range(settings.steps)],
        }

    def values(self) -> dict[str, Any]:
        """The ratio, and steps per second of the median round."""
        rates = {
            name: [self.settings.steps / statistics.median(seconds[name]) for seconds in self.seconds]
            for name in (OURS, THEIRS)
        }
        return super().values() | {
            "steps per second": {name: asdict(summary(found)) for name, found in rates.items()},
            "times as fast": asdict(self.faster(OURS)),
            "seconds before": asdict(summary(self.prepared)),
        }

    def table(self) -> Table:
        found = self.values()
        rows = []
        for name in (OURS, THEIRS):
            taken = [second for seconds in self.seconds for second in seconds[name]]
            before = f"{found['seconds before']['mean']:.1f}" if name == OURS else "-"
            rate = found["steps per second"][name]["mean"]
            span = f"{min(taken):.2f} to {max(taken):.2f}"
            rows.append((name, f"{rate:.2f}", format_over_seeds(self.faster(name), ".2f"), span, before))
        columns = ("", "steps/s", "times as fast", "rounds, s", "before, once, s")
        return Table(self.title, columns, tuple(rows), self.note())

    def note(self) -> str:
        return (
            f"{len(self.files)} photos, {self.settings.n_vectors} vectors, batches of {self.settings.batch_size}, "
            f"{self.settings.steps} steps a round. {super().note()}"
        )


def short_inversion_config(spec: ModelSpec, steps: int) -> LearningConfig:
    """Textual inversion without projection: `steps` of a model's own run; nothing is held out."""
    own = replace(config_for(spec), steps=steps, check_every=steps, projection=False)
    return own.with_method("textual inversion")


def photo_problem(
    encoder: Encoder, generator: Generator, files: Sequence[Path], parent: str, settings: LearningConfig
) -> Problem:
    """All that ours computes before the first step."""
    images, _ = read_images(files)
    words = attributes.nearest(encoder.text_tower, parent, settings.n_attributes)
    # no loss looks at the negatives here: the concept's own features stand in for them
    return prepare_problem(
        images, parent, encoder, lambda _, concept: concept[:, 0], settings, words, generator, seed=0
    )


def find_pipeline(encoder: Encoder, source: str | None, folder: Path) -> str | Path:
    """What diffusers loads a generator from, as `Generator.load` takes its source.

    Parts without a text encoder are joined with the model's own in `folder`. Raises ModelError where they can't be.
    """
    if source is None:
        return pipeline_folder(encoder.spec)
    parts = Path(source).expanduser()
    if not parts.is_dir():
        return source
    return parts if (parts / "text_encoder").is_dir() else assemble(parts, encoder.text_tower, folder)


def readable_photos(paths: Sequence[Path]) -> list[Path]:
    """The photos of files and folders that can be read. Raises ConceptError where none can."""
    files, _ = find_photos(paths)
    _, skipped = read_images(files)
    unreadable = {path for path, _ in skipped}
    if found := [file for file in files if str(file) not in unreadable]:
        return found
    raise ConceptError(f"{', '.join(map(str, paths))}: no photo that can be read; give 3 to 5 of one thing")


def draw_photos(folder: Path, n: int = 4, side: int = 512) -> list[Path]:
    """Pictures of one dress of the fashion world, as JPEG files."""
    item = instance(1, "test", kind="dress")
    files = [folder / f"dress-{i}.jpg" for i in range(n)]
    for i, file in enumerate(files):
        render(scene(i, "test", item=item), side).save(file, quality=92)
    return files
