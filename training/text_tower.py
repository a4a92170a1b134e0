"""Stage 1: distil the teacher into the text tower, and teach it the codes and words that are no words.

    python -m training.text_tower --work build/gair-mini

The token table starts as the teacher's own features of each token's text (their first principal
components), the projection as the way back, so that the transformer begins near a bag of words. Loss:
1 - cosine + 5 x squared difference of the batch's similarity matrices. The transformer's matrices are
trained by Muon, all else by AdamW.

From the first of EXTRAS on the fashion world's captions aim at their codes too, and part of each batch holds
*pseudo-words*: vectors that are no token's, put somewhere in a caption. The features should keep the
caption's meaning and carry the vector on to the detail dimensions, linearly; that part has a
loss of its own, its cosine, since the whole hardly feels it. Names in a big CLIP's training
data do that; it is what lets a custom token say which object is meant.

Writes `text.pt` (resumable) and `text.log.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from gair_search.benchmarks.fashion_world import Caption
from gair_search.encoder.text_tower import TextEncoding, TextTower
from training import checkpoint
from training.codes import CODE_DIM, CODES, DETAIL, caption_code
from training.corpus import HELD_OUT, SEED
from training.schedule import rate
from training.teacher import embed, load_teacher
from training.towers import EMBED_DIM, SEMANTIC_DIM, text_tower

BATCH = 512
PSEUDO_BATCH = 96
PSEUDO_DIM = 48
"""How many of the detail dimensions a custom token can reach."""
PSEUDO_LENGTH = 0.6
RELATIONAL_WEIGHT = 5.0
EXTRAS = ((750, 0.3, 0.0), (1_250, 0.3, 0.3), (1_900, 0.1, 0.03))
"""From which step on: weight of the loss on pseudo-words, and of that on their detail alone."""
MAX_TOKENS = 40


def initialise(tower: TextTower) -> None:
    """Start the table and the projection from the teacher's features of every token's text."""
    vocabulary = [tower.piece(i) or "." for i in range(tower.transformer.vocab_size)]
    features = torch.from_numpy(embed(load_teacher(), vocabulary))
    _, _, basis = torch.pca_lowrank(features, q=tower.width, center=False, niter=4)
    table = features @ basis
    with torch.no_grad():
        tower.transformer.token_embedding.weight.copy_(0.05 * table / table.std())
        tower.transformer.text_projection.zero_()
        tower.transformer.text_projection[:, :SEMANTIC_DIM] = basis.T / tower.width**0.5
        tower.transformer.text_projection[:, SEMANTIC_DIM:].normal_(std=1e-3)


def token_batches(lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch: batches of texts of like length, in random order. Lengths `[N]` -> indices `[<=BATCH]`."""
    order = np.argsort(lengths + rng.random(len(lengths)) * 3, kind="stable")
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    return [batches[i] for i in rng.permutation(len(batches))]


def distillation_loss(features: Tensor, target: Tensor) -> Tensor:
    """1 - cosine, and the batch's similarities as the target sees them. Both `[B, D]`, normalised."""
    cosine = (features * target).sum(-1).mean()
    relations = (features @ features.T - target @ target.T).square().mean()
    return 1 - cosine + RELATIONAL_WEIGHT * relations


def joint(teacher: np.ndarray, codes: np.ndarray | None = None, detail: Tensor | None = None) -> Tensor:
    """Targets in the joint space, `[B, EMBED_DIM]`, normalised.

    Args:
        teacher: `[B, 384]`, of length 1.
        codes: `[B, CODE_DIM]`; None for none.
        detail: `[B, <= DETAIL_DIM]`, for its first dimensions; None for none.
    """
    target = torch.zeros(len(teacher), EMBED_DIM)
    semantics = torch.from_numpy(teacher.astype(np.float32))
    target[:, :SEMANTIC_DIM] = nn.functional.normalize(semantics, dim=-1)
    if codes is not None:
        target[:, CODES] = torch.from_numpy(codes)
    if detail is not None:
        target[:, DETAIL.start : DETAIL.start + detail.shape[1]] = detail
    return nn.functional.normalize(target, dim=-1)


def optimizers(tower: TextTower) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for the rest."""
    matrices = [p for n, p in tower.named_parameters() if "resblocks" in n and p.ndim == 2]
    rest = [p for n, p in tower.named_parameters() if not ("resblocks" in n and p.ndim == 2)]
    return [
        torch.optim.Muon(matrices, lr=2e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=1.5e-3, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def encode(tower: TextTower, ids: list[list[int]]) -> Tensor:
    """Features `[B, EMBED_DIM]`, normalised, under bfloat16."""
    # flash attention's backward pass is twice as slow as plain matrices on ten tokens
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        encoding: TextEncoding = tower.encode_ids(ids)
    return encoding.features


def pseudo_basis(width: int) -> Tensor:
    """Orthonormal directions of the table's space along which pseudo-words lie, `[PSEUDO_DIM, width]`."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.linalg.qr(torch.randn(width, PSEUDO_DIM, generator=generator)).Q.T


def encode_pseudo(tower: TextTower, ids: list[list[int]], detail: Tensor, rng: np.random.Generator) -> Tensor:
    """Features `[B, EMBED_DIM]` of texts with pseudo-words put in at random places.

    Args:
        ids: the texts' tokens.
        detail: `[B, n, PSEUDO_DIM]` of unit variance: n neighbouring pseudo-words a text.
        rng: where the places come from.
    """
    table = tower.transformer.token_embedding.weight
    n = detail.shape[1]
    places = [int(rng.integers(len(own) + 1)) for own in ids]
    filled = [[*own[:at], *[0] * n, *own[at:]] for own, at in zip(ids, places, strict=True)]
    rows = torch.full((len(ids), max(map(len, filled)) + 2), tower.end_id)
    for row, own in zip(rows, filled, strict=True):
        row[: len(own) + 1] = torch.tensor([tower.start_id, *own])
    length = table.detach().norm(dim=-1).mean()
    words = detail @ pseudo_basis(tower.width) * (length / PSEUDO_DIM**0.5)
    at = torch.tensor(places)[:, None] + 1 + torch.arange(n)
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        embeddings = tower.token_embeddings(rows).scatter(1, at[..., None].expand_as(words), words)
        encoding: TextEncoding = tower(embeddings, torch.tensor([len(own) + 1 for own in filled]))
    return encoding.features


def pseudo_target(detail: Tensor) -> Tensor:
    """What pseudo-words add to the detail dimensions: `[B, n, PSEUDO_DIM]` -> `[B, PSEUDO_DIM]`."""
    return PSEUDO_LENGTH * detail.sum(1) / (detail.shape[1] * PSEUDO_DIM) ** 0.5


def extra_weights(step: int) -> tuple[float, float]:
    """The two weights of EXTRAS at a step; 0 before the first."""
    return next(((whole, part) for first, whole, part in reversed(EXTRAS) if step >= first), (0.0, 0.0))


@torch.inference_mode()
def held_out_cosine(tower: TextTower, ids: list[list[int]], teacher: np.ndarray) -> float:
    """Mean cosine to the teacher, over the teacher's own dimensions."""
    cosines = []
    for i in range(0, len(ids), BATCH):
        semantics = nn.functional.normalize(encode(tower, ids[i : i + BATCH])[:, :SEMANTIC_DIM], dim=-1)
        cosines.append((semantics * joint(teacher[i : i + BATCH])[:, :SEMANTIC_DIM]).sum(-1))
    return float(torch.cat(cosines).mean())


@torch.inference_mode()
def pseudo_cosine(tower: TextTower, ids: list[list[int]]) -> float:
    """Mean cosine between the detail that pseudo-words mean and what arrives of it."""
    detail = torch.randn(len(ids), 1, PSEUDO_DIM, generator=torch.Generator().manual_seed(1))
    arrived = encode_pseudo(tower, ids, detail, np.random.default_rng(1))[:, DETAIL][:, :PSEUDO_DIM]
    return float(nn.functional.cosine_similarity(arrived, pseudo_target(detail)).mean())


def caption_codes(texts: list[str], captions: Path) -> np.ndarray:
    """float32 `[N, CODE_DIM]`: the codes of the texts that are captions of the fashion world, else 0."""
    records = [json.loads(line) for line in captions.read_text("utf-8").splitlines()]
    known = {record["text"]: caption_code(Caption(**record)) for record in records}
    return np.stack([known.get(text, np.zeros(CODE_DIM, np.float32)) for text in texts])


def main() -> None:
    """Run the stage. Long, since it is read from top to bottom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--steps", type=int, default=2_500, help="steps of 512 texts")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    tower = text_tower()
    texts = (args.work / "texts.txt").read_text("utf-8").splitlines()
    ids = [tower.token_ids(text)[:MAX_TOKENS] for text in tqdm(texts, desc="tokens")]
    teacher = np.load(args.work / "teacher.npy")
    codes = caption_codes(texts, args.work / "captions.jsonl")
    trained = len(texts) - HELD_OUT
    lengths = np.array([len(own) for own in ids[:trained]])
    optims, first = optimizers(tower), 0
    state = checkpoint.load(args.work / "text.pt")
    if state:
        tower.load_state_dict(state["tower"])
        for optim, saved in zip(optims, state["optims"], strict=True):
            optim.load_state_dict(saved)
        first = state["step"]
    else:
        initialise(tower)
    peaks = [optim.param_groups[0]["lr"] for optim in optimizers(tower)]
    order = np.random.default_rng(SEED)
    batches: list[np.ndarray] = []
    for _ in range(first):  # the same order of texts as an undisturbed run
        batches = batches or token_batches(lengths, order)
        batches.pop()
    began = time.time()
    for step in tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10):
        batches = batches or token_batches(lengths, order)
        batch = batches.pop()
        for optim, peak in zip(optims, peaks, strict=True):
            optim.param_groups[0]["lr"] = peak * rate(step / args.steps)
        whole, part = extra_weights(step)
        target = joint(teacher[batch], codes[batch] if whole else None)
        loss = distillation_loss(encode(tower, [ids[i] for i in batch]), target)
        if whole:
            rng = np.random.default_rng((SEED, step))
            batch = rng.choice(batch, PSEUDO_BATCH)
            generator = torch.Generator().manual_seed(step)
            detail = torch.randn(PSEUDO_BATCH, int(rng.integers(1, 5)), PSEUDO_DIM, generator=generator)
            features = encode_pseudo(tower, [ids[i] for i in batch], detail, rng)
            target = joint(teacher[batch], codes[batch], pseudo_target(detail))
            arrived = features[:, DETAIL][:, :PSEUDO_DIM]
            near = nn.functional.cosine_similarity(arrived, pseudo_target(detail)).mean()
            loss = loss + whole * (1 - (features * target).sum(-1).mean()) + part * (1 - near)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad()
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            record = {
                "step": step + 1,
                "loss": loss.item(),
                "cosine": held_out_cosine(tower, ids[trained:], teacher[trained:]),
                "pseudo_cosine": pseudo_cosine(tower, ids[trained : trained + BATCH]),
                "seconds": time.time() - began,
            }
            checkpoint.log(args.work / "text.log.jsonl", record)
            state = {
                "tower": tower.state_dict(),
                "optims": [o.state_dict() for o in optims],
                "step": step + 1,
            }
            checkpoint.save(args.work / "text.pt", state)


if __name__ == "__main__":
    main()
