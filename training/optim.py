"""Muon for what multiplies, AdamW for the rest."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import AdamW, Muon

from training.schedule import rate


class MuonAdamW:
    """Muon for matrices and convolutions, AdamW for norms and biases, under one schedule.

    torch's Muon takes matrices alone, so a convolution `[out, in, k, k]` is shown to it as `[out, in * k * k]`,
    a view of the same storage.
    """

    def __init__(self, model: nn.Module, muon_lr: float, adamw_lr: float) -> None:
        self.model = model
        self.matrices = [p for p in model.parameters() if p.ndim >= 2]
        self.views = [nn.Parameter(p.data.flatten(1)) for p in self.matrices]
        rest = [p for p in model.parameters() if p.ndim < 2]
        self.muon = Muon(self.views, lr=muon_lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        self.adamw = AdamW(rest, lr=adamw_lr, weight_decay=0.0, betas=(0.9, 0.99))
        self.peaks = (muon_lr, adamw_lr)

    def step(self, progress: float) -> None:
        """One step at a progress of 0..1 of the run; clears the gradients."""
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for view, parameter in zip(self.views, self.matrices, strict=True):
            assert parameter.grad is not None
            view.grad = parameter.grad.flatten(1)
        for optim, peak in zip((self.muon, self.adamw), self.peaks, strict=True):
            optim.param_groups[0]["lr"] = peak * rate(progress)
            optim.step()
            optim.zero_grad()
        self.model.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of a checkpoint."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
