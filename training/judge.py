"""The judge of generated images: a classifier of the fashion world's attributes, trained on renderings alone.

    python -m training.judge --work build/gair-mini

A plain convolutional network of 64 px, one linear head an attribute. It never sees a generated image, nor any
of CLIP's weights. Writes `judge.pt` and `judge.json`, with its accuracy on 2,000 renderings of the test split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import render, scene
from training.codes import ATTRIBUTES, scene_labels
from training.corpus import SEED
from training.parallel import load_array, rows_of
from training.renders import SIZE, pixels
from training.schedule import rate

BATCH = 128
WIDTHS = (32, 64, 128, 192)


class JudgeNetwork(nn.Module):
    """`[B, 3, 64, 64]` in -1..1 -> attribute -> logits `[B, values]`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.SiLU(),
            ]
            layers += [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers)
        places = (SIZE // 2 ** len(WIDTHS)) ** 2
        self.mix = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(WIDTHS[-1] * places, 384), nn.SiLU()
        )
        self.heads = nn.ModuleDict({name: nn.Linear(384, len(values)) for name, values in ATTRIBUTES.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        mixed = self.mix(self.trunk(images))
        return {name: head(mixed) for name, head in self.heads.items()}


def judge_loss(logits: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Mean cross-entropy of the attributes; labels `[B, 5]`, -1 for no second colour."""
    losses = [
        nn.functional.cross_entropy(logits[name], labels[:, i], ignore_index=-1)
        for i, name in enumerate(ATTRIBUTES)
    ]
    return torch.stack(losses).mean()


@torch.inference_mode()
def accuracies(judge: JudgeNetwork, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Attribute -> share of images that the judge reads rightly; `[N, 3, 64, 64]`, `[N, 5]`."""
    judge.eval()
    parts = [judge(batch) for batch in images.split(BATCH)]
    found = {}
    for i, name in enumerate(ATTRIBUTES):
        rows = labels[:, i] >= 0
        right = torch.cat([part[name] for part in parts]).argmax(1) == labels[:, i]
        found[name] = float(right[rows].float().mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=1_800, help="steps of 128 images")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    images = load_array(args.work / "renders.npy", torch.device("cpu"))
    labels = torch.from_numpy(
        np.stack([scene_labels(scene(i)) for i in tqdm(range(len(images)), desc="labels")])
    )
    judge = JudgeNetwork().to(memory_format=torch.channels_last)
    optim = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    for step in tqdm(range(args.steps), mininterval=10):
        optim.param_groups[0]["lr"] = 2e-3 * rate(step / args.steps)
        rows = rows_of((SEED, 12, step), len(images), BATCH, torch.device("cpu"))
        loss = judge_loss(judge(pixels(images, rows)), labels[rows])
        loss.backward()
        optim.step()
        optim.zero_grad()
    torch.save(judge.state_dict(), args.work / "judge.pt")
    scenes = [scene(i, "test") for i in range(2_000)]
    shown = np.stack([np.asarray(render(one, SIZE)) for one in scenes])
    truth = torch.from_numpy(np.stack([scene_labels(one) for one in scenes]))
    report = accuracies(judge, pixels(torch.from_numpy(shown), slice(None)), truth)
    (args.work / "judge.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
