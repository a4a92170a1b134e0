"""Stage 2c: teach the image tower the fashion world, and keep what it knows of the real one.

    python -m training.align --work build/gair-mini

The text tower is done and frozen; the head starts as the analytic one (`image_tower.py`). The trunk's later
half is trained, and what the head leaves free. Losses on the fashion world: contrastive between images and
captions, where a caption suits every image that it does not contradict; zero-shot classification by attribute,
against prompts; and contrastive between two views of one instance, beside twins that go by the same words. On
the composites: what the untouched network and the analytic head say. Writes `image.pt` (resumable) and
`image.log.jsonl`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from timm.layers import Mlp
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    PATTERNS,
    caption,
    noun_phrase,
    render,
    scene,
)
from gair_search.encoder.folding import fold_batch_norms
from gair_search.encoder.text_tower import TextTower
from training import checkpoint, image_tower
from training.codes import ATTRIBUTES, CODES, DETAIL, DETAIL_DIM, scene_labels
from training.corpus import SEED
from training.schedule import rate
from training.text_tower import PSEUDO_DIM
from training.towers import EMBED_DIM, text_tower
from training.trunk import BATCH, N_COMPOSITES, N_INSTANCES, VIEWS, halves, preprocess, training_scene

PAIRS = 40
COMPOSITES = 40
SCALE = 30.0
"""Inverse temperature of every contrastive loss."""
CAPTIONS_PER_IMAGE = 2
HARD = {"color": 3}
"""Attributes that count more than once: a second colour is all around the first."""


def new_head() -> Mlp:
    """The `mlp` head as open_clip's timm adapter builds it, at random weights."""
    return Mlp(1280, 2 * EMBED_DIM, EMBED_DIM, drop=(0.0, 0.0), bias=(True, True))


@torch.inference_mode()
def encode(tower: TextTower, texts: list[str]) -> Tensor:
    """Features `[N, EMBED_DIM]`, in order, in batches of like length."""
    ids = [tower.token_ids(text) for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    features = torch.empty(len(ids), EMBED_DIM)
    for start in range(0, len(order), 256):
        rows = order[start : start + 256]
        features[rows] = tower.encode_ids([ids[i] for i in rows]).features
    return features


def attribute_prompts() -> dict[str, list[list[str]]]:
    """Attribute -> for each of its values, several prompts that name nothing else.

    There is none for the second colour: 'a thing with red stripes' is as good a name for a main colour.
    """
    frames = ("{}", "a photo of {}", "a picture of {}", "an image of {}")
    nouns = ("thing", "object", "item")

    def fill_frames(phrases: list[str]) -> list[str]:
        return [frame.format(phrase) for frame in frames for phrase in phrases]

    return {
        "kind": [fill_frames([noun_phrase(kind)]) for kind in KINDS],
        "color": [
            fill_frames([noun_phrase("", color=color, noun=noun) for noun in nouns]) for color in COLORS
        ],
        "pattern": [fill_frames([noun_phrase("", pattern=p, noun=noun) for noun in nouns]) for p in PATTERNS],
        "background": [
            fill_frames([f"{noun_phrase('', noun=n)} {p[0]}" for n in nouns]) for p in BACKGROUNDS.values()
        ],
    }


def prompt_features(tower: TextTower) -> dict[str, Tensor]:
    """Attribute -> `[values, EMBED_DIM]`: the mean over its prompts, normalised."""
    return {
        name: nn.functional.normalize(
            torch.stack([encode(tower, prompts).mean(0) for prompts in values]), dim=-1
        )
        for name, values in attribute_prompts().items()
    }


@torch.no_grad()
def unfold_batch_norms(net: nn.Module, folded: nn.Module) -> None:
    """Write folded convolutions back into `net`: its batch norms are left with nothing but the bias."""
    for module, twin in zip(convolution_holders(net), convolution_holders(folded), strict=True):
        children = list(module.named_children())
        for (name, conv), (_, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                trained = getattr(twin, name)
                conv.weight.copy_(trained.weight)
                norm.running_mean.zero_()
                norm.running_var.fill_(1 - norm.eps)
                norm.weight.fill_(1)
                norm.bias.copy_(trained.bias)


def convolution_holders(net: nn.Module) -> list[nn.Module]:
    """The modules that hold convolutions, in order."""
    return [m for m in net.modules() if any(isinstance(child, nn.Conv2d) for child in m.children())]


class Tail(nn.Module):
    """The trained part of the image tower: trunk states `[B, 80, 14, 14]` -> raw features `[B, EMBED_DIM]`."""

    def __init__(self, back: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.back = back
        self.head = head

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """(pooled features `[B, 1280]`, image features `[B, EMBED_DIM]`, normalised)."""
        pooled = self.back(states)
        return pooled, nn.functional.normalize(self.head(pooled), dim=-1)


def hold_analytic(head: nn.Module, n_classes: int = 1000) -> None:
    """Let training change only what the analytic head leaves free: spare hidden units, and rows of codes."""
    spare = slice(n_classes + DETAIL_DIM, None)
    free = {name: torch.zeros_like(parameter) for name, parameter in head.named_parameters()}
    free["fc1.weight"][spare] = free["fc1.bias"][spare] = 1
    free["fc2.weight"][:, spare] = free["fc2.weight"][CODES] = free["fc2.bias"][CODES] = 1
    for name, parameter in head.named_parameters():
        parameter.register_hook(free[name].mul)


def contrast(similarity: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE both ways with several positives a row: `[N, M]` each; rows without a positive do not count."""

    def one_way(logits: Tensor, wanted: Tensor) -> Tensor:
        share = wanted / wanted.sum(1, keepdim=True).clamp(min=1)
        rows = wanted.any(1)
        return -(share * logits.log_softmax(1)).sum(1)[rows].mean()

    return (one_way(similarity, positive) + one_way(similarity.T, positive.T)) / 2


def caption_matches(captions: Tensor, images: Tensor) -> Tensor:
    """Whether a caption contradicts nothing: labels `[M, 5]` (-2 where open), `[N, 5]` -> bool `[N, M]`."""
    return ((captions[None] == images[:, None]) | (captions[None] == -2)).all(-1)


def instance_loss(features: Tensor, instances: Tensor) -> Tensor:
    """InfoNCE between views of one instance, `[B, D]` normalised, `[B]`."""
    similarity = SCALE / 2 * features @ features.T
    similarity = similarity.masked_fill(torch.eye(len(features), dtype=torch.bool), -torch.inf)
    same = instances[:, None] == instances[None]
    same.fill_diagonal_(False)
    logs = similarity.log_softmax(1)
    return -logs[same].mean()


def world_loss(
    features: Tensor,
    labels: Tensor,
    instances: Tensor,
    captions: Tensor,
    caption_labels: Tensor,
    prompts: dict[str, Tensor],
) -> dict[str, Tensor]:
    """The losses on one batch of the fashion world.

    Args:
        features: `[B, EMBED_DIM]`, normalised.
        labels: `[B, 5]`; index of each attribute's value, -1 for no second colour.
        instances: `[B]`.
        captions: text features `[M, EMBED_DIM]`.
        caption_labels: `[M, 5]`; -2 for what a caption leaves open.
        prompts: attribute -> `[values, EMBED_DIM]`.
    """
    named = [
        HARD.get(name, 1) * nn.functional.cross_entropy(SCALE * features @ prompts[name].T, labels[:, i])
        for i, name in enumerate(ATTRIBUTES)
        if name in prompts
    ]
    detail = nn.functional.normalize(features[:, DETAIL.start : DETAIL.start + PSEUDO_DIM], dim=-1)
    return {
        "captions": contrast(SCALE * features @ captions.T, caption_matches(caption_labels, labels)),
        "attributes": torch.stack(named).mean(),
        "instances": instance_loss(features, instances),
        "detail": instance_loss(detail, instances),
    }


def keep_loss(features: Tensor, target: Tensor) -> Tensor:
    """What composites must keep: 1 - cosine, and the similarities of the batch. Both `[B, D]`, normalised."""
    relations = (features @ features.T - target @ target.T).square().mean()
    return 1 - (features * target).sum(-1).mean() + 5 * relations


class WorldData:
    """Rows of `trunk.npy` with labels, captions and their features."""

    def __init__(self, work: Path, tower: TextTower) -> None:
        self.states = np.load(work / "trunk.npy", mmap_mode="r")
        n = N_INSTANCES * VIEWS
        scenes = [training_scene(i) for i in tqdm(range(n), desc="scenes")]
        self.labels = torch.from_numpy(np.stack([scene_labels(one) for one in scenes]))
        rng = np.random.default_rng((SEED, 6))
        own = [
            [caption(one, rng, full=k == 0) for k in range(CAPTIONS_PER_IMAGE)]
            for one in tqdm(scenes, desc="captions")
        ]
        flat = [c for row in own for c in row]
        cache = work / "captions.pt"
        if cache.exists():
            features = torch.load(cache, weights_only=True)
        else:
            features = encode(tower, [c.text for c in flat]).half()
            torch.save(features, cache)
        self.captions = features.view(n, CAPTIONS_PER_IMAGE, EMBED_DIM)
        named = [[getattr(c, name) for name in ATTRIBUTES] for c in flat]
        index = [
            [-2 if v is None else values.index(v) for v, values in zip(row, ATTRIBUTES.values(), strict=True)]
            for row in named
        ]
        self.caption_labels = torch.tensor(index).view(n, CAPTIONS_PER_IMAGE, len(ATTRIBUTES))

    def rows(self, picked: np.ndarray) -> Tensor:
        """Trunk states, float32 `[B, 80, 14, 14]`."""
        states = torch.from_numpy(self.states[picked]).float()
        return states.contiguous(memory_format=torch.channels_last)


def batch_rows(rng: np.random.Generator) -> np.ndarray:
    """Both views of PAIRS instances; twins come together."""
    neighbours = rng.choice(N_INSTANCES // 2, PAIRS // 2, replace=False)
    numbers = np.concatenate([2 * neighbours, 2 * neighbours + 1])
    return np.concatenate([VIEWS * numbers, VIEWS * numbers + 1])


@functools.cache
def validation(n: int = 400) -> tuple[Tensor, Tensor, list[str]]:
    """(pixels, labels, full captions) of scenes of the validation split."""
    scenes = [scene(i, "val") for i in range(n)]
    rng = np.random.default_rng(7)
    images = torch.cat(
        [preprocess([render(one) for one in scenes[i : i + BATCH]]) for i in range(0, n, BATCH)]
    )
    return (
        images,
        torch.from_numpy(np.stack([scene_labels(one) for one in scenes])),
        [caption(s, rng, full=True).text for s in scenes],
    )


@torch.inference_mode()
def validate(
    front: nn.Module, tail: nn.Module, tower: TextTower, prompts: dict[str, Tensor]
) -> dict[str, float]:
    """Zero-shot accuracies, and R@1 of full captions, on the validation split."""
    images, labels, texts = validation()
    features = []
    for i in range(0, len(images), BATCH):
        with torch.autocast("cpu", torch.bfloat16):
            states = front(images[i : i + BATCH])
        features.append(tail(states.float())[1])
    found = torch.cat(features)
    report = {}
    for i, name in enumerate(ATTRIBUTES):
        if name in prompts:
            report[name] = float(((found @ prompts[name].T).argmax(1) == labels[:, i]).float().mean())
    ranked = encode(tower, texts) @ found.T
    report["R@1"] = float((ranked.argmax(1) == torch.arange(len(texts))).float().mean())
    return report


def main() -> None:
    """Run the stage. Long, since it is read from top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=950, help="steps of 80 world images and 40 composites")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    tower = text_tower().eval().requires_grad_(False)
    tower.load_state_dict(torch.load(args.work / "text.pt", weights_only=True)["tower"])
    data, prompts = WorldData(args.work, tower), prompt_features(tower)
    net = image_tower.imagenet_classifier().requires_grad_(False)
    features = torch.from_numpy(np.load(args.work / "composites.npy"))
    head = new_head()
    names = encode(tower, [f"a photo of a {name}" for name in image_tower.class_names()])
    image_tower.set_head(head, net.classifier, names, image_tower.photo_mean(net.bn2), features)
    analytic = nn.functional.normalize(head(features), dim=-1).detach()
    front, back = halves(copy.deepcopy(net).to(memory_format=torch.channels_last))
    tail = Tail(fold_batch_norms(back), head).requires_grad_(True)
    hold_analytic(tail.head)
    averaged = AveragedModel(tail, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    groups = [{"params": tail.back.parameters(), "lr": 2e-4}, {"params": tail.head.parameters(), "lr": 1e-3}]
    optim = torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98))
    peaks = [group["lr"] for group in optim.param_groups]
    first, state = 0, checkpoint.load(args.work / "image.pt")
    if state:
        tail.load_state_dict(state["tail"])
        averaged.load_state_dict(state["averaged"])
        optim.load_state_dict(state["optim"])
        first = state["step"]
    began = time.time()
    for step in tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10):
        rng = np.random.default_rng((SEED, 8, step))
        rows, stand_ins = batch_rows(rng), rng.integers(N_COMPOSITES, size=COMPOSITES)
        for group, peak in zip(optim.param_groups, peaks, strict=True):
            group["lr"] = peak * rate(step / args.steps, warmup=0.05)
        picked = np.concatenate([rows, N_INSTANCES * VIEWS + stand_ins])
        pooled, found = tail(data.rows(picked))
        which = torch.from_numpy(rng.integers(CAPTIONS_PER_IMAGE, size=len(rows)))
        others = rng.integers(N_INSTANCES * VIEWS, size=1_000)
        captions = torch.cat([data.captions[rows, which], data.captions[others, 0]]).float()
        caption_labels = torch.cat([data.caption_labels[rows, which], data.caption_labels[others, 0]])
        n = len(rows)
        losses = world_loss(
            found[:n], data.labels[rows], torch.from_numpy(rows // VIEWS), captions, caption_labels, prompts
        )
        losses["keep"] = keep_loss(found[n:], analytic[stand_ins])
        losses["features"] = nn.functional.mse_loss(pooled[n:], features[stand_ins])
        weights = {"instances": 0.5, "detail": 0.3, "keep": 3.0, "features": 5.0}
        loss = sum(weights.get(name, 1.0) * value for name, value in losses.items())
        loss.backward()
        nn.utils.clip_grad_norm_(tail.parameters(), 5.0)
        optim.step()
        optim.zero_grad()
        averaged.update_parameters(tail)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            record = {"step": step + 1, "seconds": time.time() - began}
            record |= {f"loss_{name}": value.item() for name, value in losses.items()}
            record |= validate(front, averaged.module, tower, prompts)
            checkpoint.log(args.work / "image.log.jsonl", record)
            state = {
                "tail": tail.state_dict(),
                "averaged": averaged.state_dict(),
                "optim": optim.state_dict(),
                "step": step + 1,
            }
            checkpoint.save(args.work / "image.pt", state)


if __name__ == "__main__":
    main()
