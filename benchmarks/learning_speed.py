"""Textual inversion: steps per second of ours against diffusers' own training loop, on the same weights and photos.

    python -m gair_search.benchmarks.learning_speed [--model gair-mini] [--photos FOLDER] [--rounds 5] [--steps 50]

Both learn the same number of vectors from the same files at the generator's size, same batch size, same prompts, in
float32 on the CPU. Ours is `learn_vectors` with the diffusion loss alone and no projection, its share of held-out
looks included; latents, and what else is frozen, are made before, once, and their seconds told apart. Theirs is the
work of a step of `examples/textual_inversion/textual_inversion.py` in huggingface/diffusers, which the package does
not hold, written anew: files opened, resized and mirrored by PIL, the VAE's encoder, the text encoder over its full
context with the whole token table in AdamW, the UNet forth and back, and all other rows of the table put back. Left
out are accelerate, which does nothing on one CPU, progress bars and files.

A round times `--steps` steps of each, in an order drawn anew; the ratio is that of the medians over the rounds.
Without `--photos`, photos are four pictures of one dress of the fashion world. Prints a Markdown table.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gair_search.benchmarks.speed import in_turns
from PIL import Image, ImageOps
from torch import Tensor, nn

from gair_search.clip import Clip
from gair_search.generator import Generator
from gair_search.models import ModelSpec, resolve
from gair_search.pipeline import pipeline_folder
from gair_search.tokens import attributes, lessons, photos
from gair_search.tokens.learn import Problem, Settings, learn_vectors
from gair_search.tokens.prompts import PARAPHRASES
from gair_search.world import instance, render, scene

OURS, THEIRS = "gair-search", "diffusers' loop"
REPEATS = 100
"""Times that the loop's data set goes through the photos in an epoch: the script's default."""
WEIGHT_DECAY = 1e-2
"""Of its AdamW: the script's default."""


class Photos(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The loop's data set: a photo is opened and made ready each time that it is asked for."""

    def __init__(self, files: Sequence[Path], tokenizer: Any, text: str, side: int) -> None:
        self.files, self.tokenizer, self.text, self.side = files, tokenizer, text, side

    def __len__(self) -> int:
        return len(self.files) * REPEATS

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        image = Image.open(self.files[i % len(self.files)]).convert("RGB")
        image = image.resize((self.side, self.side), Image.Resampling.BICUBIC)
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


class DiffusersLoop:
    """Textual inversion as the script does it, step by step.

    Attributes:
        rows: of the token table, those that are learned.
    """

    def __init__(
        self, folder: Path, files: Sequence[Path], parent: str, settings: Settings, clip: Clip, seed: int
    ) -> None:
        """Load a Stable Diffusion folder and add the concept's tokens to it, as the script does."""
        from diffusers import DDPMScheduler, StableDiffusionPipeline

        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
        self.unet = pipe.unet.requires_grad_(False).to(clip.device, clip.dtype)
        self.vae = pipe.vae.requires_grad_(False).to(clip.device, clip.dtype)
        self.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
        names = ["<concept>", *(f"<concept>_{i}" for i in range(1, settings.n_vectors))]
        if pipe.tokenizer.add_tokens(names) != len(names):
            raise ValueError(f"the tokenizer in {folder} knows {names[0]} already")
        pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
        self.text_encoder = pipe.text_encoder.requires_grad_(False).to(clip.device).train()
        self.table: nn.Parameter = pipe.text_encoder.get_input_embeddings().weight
        self.rows: list[int] = pipe.tokenizer.convert_tokens_to_ids(names)
        (first, *_) = pipe.tokenizer.encode(parent, add_special_tokens=False)
        with torch.no_grad():
            self.table[self.rows] = self.table[first].clone()
        self.table.requires_grad_(True)
        self.before = self.table.detach().clone()
        self.optim = torch.optim.AdamW([self.table], lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
        side = self.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.photos = Photos(files, pipe.tokenizer, f"{' '.join(names)} {parent}", side)
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


@dataclass(frozen=True)
class Speed:
    """What was measured: seconds of each round by name, steps a round, seconds of our preparation."""

    seconds: dict[str, list[float]]
    steps: int
    prepared: float

    def steps_per_second(self, name: str) -> float:
        """Of the median round."""
        return self.steps / statistics.median(self.seconds[name])

    @property
    def ratio(self) -> float:
        """How many times as fast ours is."""
        return self.steps_per_second(OURS) / self.steps_per_second(THEIRS)


def settings_of(spec: ModelSpec, steps: int, batch_size: int, n_vectors: int | None = None) -> Settings:
    """Textual inversion without projection: `steps` of a run, with their share of its held-out looks."""
    own = lessons.settings_for(spec)
    noises = max(round(own.held_out_noises * steps / own.check_every), 1)
    return replace(
        own,
        n_vectors=n_vectors or own.n_vectors,
        batch_size=batch_size,
        steps=steps,
        check_every=steps,
        held_out_noises=noises,
        projection=False,
    ).by("textual inversion")


def frozen(
    clip: Clip, generator: Generator, files: Sequence[Path], parent: str, settings: Settings
) -> Problem:
    """All that ours computes before the first step."""
    images, _ = photos.load_images(files)
    words = attributes.nearest(clip.text_tower, parent, settings.n_attributes)
    # no loss looks at the negatives here: the concept's own features stand in for them
    return lessons.prepare(
        images, parent, clip, lambda _, concept: concept, settings, words, generator, seed=0
    )


def measure(
    clip: Clip,
    files: Sequence[Path],
    parent: str,
    settings: Settings,
    rounds: int = 5,
    seed: int = 0,
    generator: str | None = None,
) -> Speed:
    """Time both on the same photos.

    Args:
        clip: a model with a generator.
        files: the photos.
        parent: what they show, one word of the tokenizer's.
        settings: from `settings_of`.
        rounds: timings of each.
        seed: of draws, and of the order in each round.
        generator: a Stable Diffusion folder; the model's own generator unless given.
    """
    ours = Generator.load(clip, generator)
    began = time.perf_counter()
    problem = frozen(clip, ours, files, parent, settings)
    prepared = time.perf_counter() - began
    folder = Path(generator) if generator else pipeline_folder(clip.spec)
    theirs = DiffusersLoop(folder, files, parent, settings, clip, seed)

    def run() -> None:
        for _ in range(settings.steps):
            theirs.step()

    tasks = {OURS: lambda: learn_vectors(problem, clip.text_tower, settings, seed), THEIRS: run}
    return Speed(in_turns(tasks, rounds, seed), settings.steps, prepared)


def draw_photos(folder: Path, n: int = 4, side: int = 512) -> list[Path]:
    """Pictures of one dress of the fashion world, as JPEG files."""
    item = instance(1, "test", kind="dress")
    files = [folder / f"{i}.jpg" for i in range(n)]
    for i, file in enumerate(files):
        render(scene(i, "test", item=item), side).save(file, quality=92)
    return files


def table(speed: Speed) -> str:
    """The measurement in Markdown."""
    lines = ["| | steps/s | times as fast | rounds, s | before, once, s |", "|---|---|---|---|---|"]
    for name in (OURS, THEIRS):
        times = speed.ratio if name == OURS else 1.0
        span = f"{min(speed.seconds[name]):.2f} to {max(speed.seconds[name]):.2f}"
        before = f"{speed.prepared:.1f}" if name == OURS else "-"
        lines.append(f"| {name} | {speed.steps_per_second(name):.2f} | {times:.2f} | {span} | {before} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="gair-mini")
    parser.add_argument("--generator", help="a Stable Diffusion 1.x folder; the model's own unless given")
    parser.add_argument("--device")
    parser.add_argument("--photos", type=Path, help="a folder of photos of one thing")
    parser.add_argument("--parent", default="dress", help="what they show")
    parser.add_argument("--vectors", type=int, help="the model's own number unless given")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="of each in a round")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    clip = Clip(resolve(args.model), args.device)
    settings = settings_of(clip.spec, args.steps, args.batch_size, args.vectors)
    with tempfile.TemporaryDirectory() as folder:
        files = photos.image_files([args.photos]) if args.photos else draw_photos(Path(folder))
        speed = measure(clip, files, args.parent, settings, args.rounds, args.seed, args.generator)
        print(
            f"{args.model}, {len(files)} photos, {settings.n_vectors} vectors, batch size {settings.batch_size}, "
            f"{args.rounds} rounds of {args.steps} steps each in turns, seed {args.seed}, {clip.device}, "
            f"{torch.get_num_threads()} threads\n"
        )
    print(table(speed))


if __name__ == "__main__":
    main()
