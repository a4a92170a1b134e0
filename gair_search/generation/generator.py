"""Conditioning -> images: any latent diffusion in the format of Stable Diffusion 1.x, driven by our text tower.

The text tower is that of retrieval, so that a picture shows what a search looks for: conditioning with custom
tokens and token weights comes from outside, and a folder whose text encoder is another one is refused. Nothing is
downloaded.
"""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gair_search.encoder import untrusted
from gair_search.encoder.clip import Encoder
from gair_search.errors import GeneratorError
from gair_search.generation.export import check_parts, generator_parts
from gair_search.generation.folders import (
    check_folder,
    find_folder,
    folder_hash,
    load_parts,
    silence_diffusers,
)
from gair_search.generation.sampling import SCHEDULERS, SamplingConfig

BATCH_SIZE = 32
"""Images that go through the denoiser at once, unless memory says less."""

_DECODED_AT_ONCE = 8  # decoding takes several times the memory of denoising


class Generator:
    """A loaded denoiser and decoder on one device, frozen. One thread at a time draws.

    Attributes:
        identity: 16 hex digits that change with any file of its parts.
        denoiser_rows: how many rows have gone through the UNet so far.
        batch_size: images at once; halved, for good, where memory runs out.
    """

    def __init__(
        self, unet: Any, vae: Any, scheduler: Mapping[str, Any], empty: Tensor, identity: str = ""
    ) -> None:
        """Put a generator together; `load` does so from a folder.

        Args:
            unet, vae: diffusers' `UNet2DConditionModel` and `AutoencoderKL`.
            scheduler: config of the scheduler that the UNet was trained with; all others are made from it.
            empty: conditioning of the empty prompt, `[1, n_ctx, text_width]`.
            identity: for caches.
        """
        self.unet, self.vae, self.scheduler = unet, vae, scheduler
        self.empty = empty.to(unet.device, unet.dtype)
        self.identity = identity
        self.denoiser_rows = 0
        self.batch_size = BATCH_SIZE
        self._lock = threading.Lock()

    @classmethod
    def load(cls, encoder: Encoder, source: str | Path | None = None) -> "Generator":
        """Load a generator for a model, on the model's device and in its precision.

        Args:
            encoder: the model whose text tower drives it.
            source: a folder in diffusers' layout of Stable Diffusion 1.x, or the name of a repository that is
                in Hugging Face's cache; None takes the model's own `generator/`.

        Raises:
            GeneratorError: it is not on this machine, is of another format, or has another text encoder.
            ModelError: as `pipeline.check_parts` and `untrusted.check_generator`; the text tower takes plain
                prompts only.
        """
        tower = encoder.text_tower
        if source is None:
            folder = generator_parts(encoder.spec)
            check_parts(folder, tower)
        else:
            folder = find_folder(source)
            untrusted.check_generator(folder)
            check_folder(folder, tower, encoder.spec.name)
        unet, vae, scheduler = load_parts(folder, encoder.dtype)
        if unet.config.in_channels != vae.config.latent_channels:
            raise GeneratorError(
                f"the UNet in {folder} takes {unet.config.in_channels} channels and the VAE gives "
                f"{vae.config.latent_channels}; expected a text-to-image model, not one for inpainting or depth"
            )
        for part in (unet, vae):
            part.eval().requires_grad_(False).to(encoder.device, memory_format=torch.channels_last)
        with torch.inference_mode():
            empty = tower.encode_ids([[]], full_context=True).conditioning
        return cls(unet, vae, scheduler, empty, folder_hash(folder))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels, unless the sampling sets another."""
        side = self.unet.config.sample_size
        height, width = side if isinstance(side, list | tuple) else (side, side)
        return height * self._factor, width * self._factor

    def complete_sampling(self, sampling: SamplingConfig) -> SamplingConfig:
        """`sampling` with this generator's own choices where it leaves them open.

        Raises:
            GeneratorError: a value is out of its range.
        """
        distilled = self.unet.config.time_cond_proj_dim is not None
        name = sampling.scheduler or ("lcm" if distilled else "dpm++")
        if name not in SCHEDULERS:
            raise GeneratorError(f"scheduler {name}: expected one of {', '.join(SCHEDULERS)}")
        steps = SCHEDULERS[name][1] if sampling.steps is None else sampling.steps
        height = self.size[0] if sampling.height is None else sampling.height
        width = self.size[1] if sampling.width is None else sampling.width
        most = int(self.scheduler.get("num_train_timesteps", 1000))
        if name == "lcm":  # its schedule is cut out of the one that it was distilled from
            most = int(self.scheduler.get("original_inference_steps", 50))
        if not 1 <= steps <= most:
            raise GeneratorError(f"{steps} steps: expected 1 to {most} with {name}")
        if not 0 <= sampling.guidance < float("inf"):
            raise GeneratorError(f"guidance {sampling.guidance}: expected a factor >= 0, as 5")
        # the UNet halves its latents once a block, save the last
        grid = self._factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if any(side < grid or side % grid for side in (height, width)):
            raise GeneratorError(
                f"{height} x {width} pixels: expected multiples of {grid} for this generator, best "
                f"{self.size[0]} x {self.size[1]}"
            )
        return replace(sampling, scheduler=name, steps=steps, height=height, width=width)

    def noise(self, seeds: Sequence[int], sampling: SamplingConfig | None = None) -> Tensor:
        """Standard normal noise of seeds, `[len(seeds), channels, height, width]` of latents, on the CPU.

        A seed gives the same noise on every device, in any batch; it is that of diffusers' pipelines for
        `torch.Generator("cpu").manual_seed(seed)`.
        """
        return self._draw_noise(seeds, self.complete_sampling(sampling or SamplingConfig()))[0]

    def sample(
        self,
        conditioning: Tensor,
        seeds: Sequence[int] = (0,),
        sampling: SamplingConfig | None = None,
        *,
        noise: Tensor | None = None,
        on_step: Callable[[int], None] | None = None,
        on_warning: Callable[[str], None] = warnings.warn,
    ) -> Tensor:
        """Draw images.

        Args:
            conditioning: `[B, n_ctx, text_width]`.
            seeds: one an image, or a single one for all. Equal seeds share their noise.
            sampling: how.
            noise: `[B, channels, height, width]` of latents, in place of the seeds' own.
            on_step: called after each pass of the denoiser with the number of images that went through it.
            on_warning: called with a message where memory runs out and the batch is halved.

        Returns:
            uint8 `[B, height, width, 3]` on the device; black where the model gave NaN.

        Raises:
            GeneratorError: values out of range, shapes that don't fit, or memory too small for one image.
        """
        if len(conditioning) == 0:
            raise GeneratorError("no conditioning: expected one image or more")
        chosen = self.complete_sampling(sampling or SamplingConfig())
        seeds = list(seeds) * (len(conditioning) if len(seeds) == 1 else 1)
        if len(seeds) != len(conditioning):
            raise GeneratorError(
                f"{len(seeds)} seeds for {len(conditioning)} images; expected one each, or one"
            )
        images: list[Tensor] = []
        with self._lock, torch.inference_mode():
            while (at := sum(map(len, images))) < len(seeds):
                rows = slice(at, min(at + self.batch_size, len(seeds)))
                given = None if noise is None else noise[rows]
                try:
                    latents = self.denoise(conditioning[rows], seeds[rows], chosen, given, on_step)
                    parts = [to_pixels(self.decode(part)) for part in torch.split(latents, _DECODED_AT_ONCE)]
                    images.append(torch.cat(parts))
                    continue
                except RuntimeError as error:
                    if not _is_out_of_memory(error):
                        raise
                    if rows.stop - at == 1:
                        raise GeneratorError(
                            f"memory is too small for a single image of {chosen.height} x {chosen.width} pixels "
                            f"on {self.unet.device}; try a smaller size, or --device cpu"
                        ) from error
                # only here, where the error no longer holds on to the tensors
                self._halve(rows.stop - at, on_warning)
            return torch.cat(images)

    @torch.inference_mode()
    def denoise(
        self,
        conditioning: Tensor,
        seeds: Sequence[int],
        sampling: SamplingConfig,
        noise: Tensor | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents `[B, channels, height, width]` of conditioning, in one batch; arguments as for `sample`.

        Classifier-free guidance (Ho and Salimans 2022). Its unconditional branch has the same conditioning for
        all rows; at the first step rows of one noise have the same latents, too, so it is computed once a noise.
        """
        chosen = self.complete_sampling(sampling)
        scheduler = self._scheduler(chosen)
        drawn, dice = self._draw_noise(seeds, chosen)
        latents: Tensor = (drawn if noise is None else noise).to(self.unet.device, torch.float32)
        if latents.shape != (len(conditioning), *drawn.shape[1:]):
            raise GeneratorError(f"noise {list(latents.shape)}: expected {list(drawn.shape)}")
        rows = conditioning.to(self.unet.device, self.unet.dtype)
        if rows.shape[1:] != self.empty.shape[1:]:
            raise GeneratorError(
                f"conditioning {list(rows.shape)}: expected [B, {', '.join(map(str, self.empty.shape[1:]))}]"
            )
        guided = chosen.guidance > 1 and self.unet.config.time_cond_proj_dim is None
        groups = (
            torch.arange(len(rows)) if not guided else _group_equal_rows(drawn if noise is None else noise)
        )
        latents = latents * scheduler.init_noise_sigma
        random = {"generator": dice} if chosen.scheduler == "lcm" else {}
        for step in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, step)
            if guided:
                firsts = _first_rows(groups)
                both = self._predict(
                    torch.cat([scaled[firsts], scaled]),
                    step,
                    torch.cat([self.empty.expand(len(firsts), -1, -1), rows]),
                    chosen,
                )
                unconditional, predicted = both[: len(firsts)], both[len(firsts) :]
                unconditional = unconditional[groups.to(unconditional.device)]
                predicted = unconditional + chosen.guidance * (predicted - unconditional)
                groups = torch.arange(len(rows))  # from here on every row has latents of its own
            else:
                predicted = self._predict(scaled, step, rows, chosen)
            latents = scheduler.step(predicted, step, latents, **random).prev_sample
            if on_step:
                on_step(len(rows))
        return latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images `[B, 3, height, width]` in 0..1, float32."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        images: Tensor = self.vae.decode(scaled).sample.float()
        return images.div(2).add(0.5).clamp(0, 1)

    @property
    def _factor(self) -> int:
        """Pixels to a side of a latent."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def _predict(
        self, latents: Tensor, step: Tensor, conditioning: Tensor, sampling: SamplingConfig
    ) -> Tensor:
        """One pass of the UNet. One that was distilled for LCM takes the guidance as an input."""
        scale = None
        if (dim := self.unet.config.time_cond_proj_dim) is not None:
            from diffusers import StableDiffusionPipeline

            factors = torch.full((len(latents),), sampling.guidance - 1)
            embed = StableDiffusionPipeline.get_guidance_scale_embedding
            scale = embed(None, factors, embedding_dim=dim).to(latents.device, self.unet.dtype)
        self.denoiser_rows += len(latents)
        predicted: Tensor = self.unet(
            latents.to(self.unet.dtype), step, encoder_hidden_states=conditioning, timestep_cond=scale
        ).sample
        return predicted.float()  # the scheduler counts in float32

    def _scheduler(self, sampling: SamplingConfig) -> Any:
        """A fresh scheduler with the folder's betas and kind of prediction."""
        import diffusers

        assert sampling.scheduler is not None
        kind = getattr(diffusers, SCHEDULERS[sampling.scheduler][0])
        # the stochastic variant of DPM-Solver++, which a folder may ask for, would not repeat a seed
        fixed = {"algorithm_type": "dpmsolver++"} if sampling.scheduler == "dpm++" else {}
        with silence_diffusers():
            scheduler = kind.from_config(dict(self.scheduler), **fixed)
        scheduler.set_timesteps(sampling.steps, device=self.unet.device)
        return scheduler

    def _draw_noise(
        self, seeds: Sequence[int], sampling: SamplingConfig
    ) -> tuple[Tensor, list[torch.Generator]]:
        """The seeds' noise, and the dice that go on from there, for schedulers that draw at every step."""
        assert sampling.height is not None
        assert sampling.width is not None
        shape = (
            self.unet.config.in_channels,
            sampling.height // self._factor,
            sampling.width // self._factor,
        )
        dice = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        rows = [torch.randn((1, *shape), generator=die) for die in dice]
        return torch.cat(rows), dice

    def _halve(self, tried: int, on_warning: Callable[[str], None]) -> None:
        """Halve the batch after running out of memory with `tried` images."""
        self.batch_size = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        on_warning(f"out of memory with {tried} images at once; going on with {self.batch_size}")


def to_pixels(images: Tensor) -> Tensor:
    """Images `[B, 3, height, width]` in 0..1 -> uint8 `[B, height, width, 3]`; black where one holds NaN."""
    finite = images.isfinite().flatten(1).all(1).view(-1, 1, 1, 1)
    return torch.where(finite, images, 0).mul(255).round().byte().permute(0, 2, 3, 1)


def _group_equal_rows(noise: Tensor) -> Tensor:
    """Group of each row, `[B]`: rows of equal noise are in one."""
    groups: Tensor = torch.unique(noise.flatten(1), dim=0, return_inverse=True)[1].cpu()
    return groups


def _first_rows(groups: Tensor) -> Tensor:
    """The first row of each group 0, 1, ..."""
    return torch.stack([(groups == group).nonzero()[0, 0] for group in range(int(groups.max()) + 1)])


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out: CUDA has a class for it, MPS and the CPU a text."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in ("out of memory", "not enough memory")
    )
