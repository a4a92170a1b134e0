"""How images are drawn: the scheduler, its steps, guidance, and size."""

from dataclasses import dataclass

SCHEDULERS = {
    "ddim": ("DDIMScheduler", 20),
    "dpm++": ("DPMSolverMultistepScheduler", 12),
    "lcm": ("LCMScheduler", 4),
}
"""Scheduler by name: diffusers' class, and the steps that it takes unless told otherwise."""


@dataclass(frozen=True)
class SamplingConfig:
    """How images are drawn; with conditioning and noise, all that determines them.

    Attributes:
        scheduler: a key of `SCHEDULERS`; None takes `lcm` for a UNet that was distilled for it, else `dpm++`.
        steps: denoising steps, >= 1; None takes the scheduler's own number. `lcm` needs weights that were
            distilled for it: others give blurred images.
        guidance: factor of classifier-free guidance; 1 or less goes without, at half the cost.
        height, width: in pixels, multiples of the VAE's factor; None takes the size of the training images.
    """

    scheduler: str | None = None
    steps: int | None = None
    guidance: float = 5.0
    height: int | None = None
    width: int | None = None
