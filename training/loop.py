"""What the generator's stages share: optimiser, average of the weights, checkpoints, curve."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from training import checkpoint, parallel
from training.optim import MuonAdamW

Rates = tuple[float, float]
"""Peak learning rates: Muon's, AdamW's."""


class Loop:
    """Steps of a stage: from its checkpoint where there is one, else from the first.

        loop = Loop(work / "unet.pt", model, rates, steps=6_000)
        for step in loop:
            loop.learn(loss)

    Under torchrun gradients are averaged over the processes, and the first one writes.

    Args:
        path: the checkpoint; the curve is written beside it, as `STEM.log.jsonl`.
        model: in training mode, on its device.
        rates: peak learning rates.
        steps: of the whole run.
        decay: of the moving average of the weights, a step.
        every: steps between two checkpoints.
    """

    def __init__(
        self, path: Path, model: nn.Module, rates: Rates, steps: int, decay: float, every: int = 250
    ) -> None:
        self.path, self.model, self.steps, self.every = path, model, steps, every
        self.rank, self.ranks = parallel.rank()
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.optim = MuonAdamW(model, *rates)
        self.done = 0
        self._errors: list[Tensor] = []
        if state := checkpoint.load(path):
            model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["averaged"])
            self.optim.load_state_dict(state["optim"])
            self.done = state["step"]

    def __iter__(self) -> Iterator[int]:
        """Numbers of the steps that are left."""
        self._began = time.time()
        yield from tqdm(
            range(self.done, self.steps),
            initial=self.done,
            total=self.steps,
            mininterval=10,
            desc=self.path.stem,
            disable=self.rank > 0,
        )

    def learn(self, loss: Tensor, error: Tensor | None = None) -> None:
        """One step down a loss; the curve shows `error`, or the loss itself."""
        loss.backward()  # type: ignore[no-untyped-call]
        parallel.average_gradients(self.model)
        self.optim.step(self.done / self.steps)
        self.averaged.update_parameters(self.model)
        self._errors.append((loss if error is None else error).detach())
        self.done += 1
        if self.rank == 0 and (self.done % self.every == 0 or self.done == self.steps):
            self._save()

    def _save(self) -> None:
        mean = float(np.mean([error.item() for error in self._errors]))
        self._errors = []
        record = {"step": self.done, "error": mean, "seconds": time.time() - self._began}
        checkpoint.log(self.path.with_suffix(".log.jsonl"), record)
        state = {"model": self.model.state_dict(), "averaged": self.averaged.state_dict()}
        checkpoint.save(self.path, {**state, "optim": self.optim.state_dict(), "step": self.done})
