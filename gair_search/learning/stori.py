"""Data-driven SToRI (Kim et al. 2024, sections 3.2 and 4.1): token weights learned from labelled images.

The vectors of the words stay what they are; learned is how much attention each receives. So the outcome can be
read: which words tell the classes apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gair_search.encoder.text_tower import TextTower
from gair_search.errors import ConceptError, GairError, PromptError
from gair_search.learning.token_weights import TokenWeights, WeightedPrompt
from gair_search.progress import Progress
from gair_search.query.compiler import compile_prompt
from gair_search.query.language import MAX_WEIGHT, escape
from gair_search.tokens.custom_token import CustomToken

PROMPTS_AT_ONCE = 256
"""Of more prompts, only so many have their activations in memory at a time."""

FEW_SHOTS = 4
"""The paper's 1, 2 and 4 images a class take 100 epochs, its 8 and 16 take 200."""


@dataclass(frozen=True)
class TokenWeightsConfig:
    """How token weights are learned; the defaults are the paper's for CLIP (appendix A.1).

    Attributes:
        learning_rate: of Adam, under a cosine schedule. The paper takes 0.05 for most data sets, 0.01 for those
            of hundreds of classes (ImageNet, SUN397), 0.1 for Food101 and for 8 and more images a class of
            Flowers102 and DTD.
        epochs: None takes the paper's: 100 up to 4 images a class, else 200.
        batch_size: images a step.
        whole_words: one weight a word, where the paper has one a BPE piece. Every prompt can then be written
            in the query language without loss.
    """

    learning_rate: float = 0.05
    epochs: int | None = None
    batch_size: int = 256
    whole_words: bool = False

    def __post_init__(self) -> None:
        """Raise GairError where a number can't be meant."""
        counts = (self.batch_size, 1 if self.epochs is None else self.epochs)
        if not (0 < self.learning_rate < float("inf") and min(counts) > 0):
            raise GairError(
                f"{self}: expected a positive learning rate, and 1 or more epochs and images a step"
            )


PAPER = TokenWeightsConfig()


@dataclass(frozen=True)
class ClassPrompts:
    """The prompts of classes, encoded as far as no token weight reaches. P prompts of C classes.

    Attributes:
        texts: as given, plain text, `[C]` rows.
        ids: BPE ids of each prompt, `[P]` rows, class by class.
        hidden: `TextTower.before_start_block`, `[P, n, text_width]`.
        end: place of each end token, `[P]`.
        class_of: class of each prompt, `[P]`.
        leads: place of the first piece of each token's word, `[P, n]`.
        free: whether a place's weight is learned, `[P, n]`: not those of the start token, the end token and
            what follows it.
    """

    texts: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[int, ...], ...]
    hidden: Tensor
    end: Tensor
    class_of: Tensor
    leads: Tensor
    free: Tensor


def encode_class_prompts(texts: Sequence[Sequence[str]], tower: TextTower) -> ClassPrompts:
    """Encode the prompts of classes up to the block where token weights begin.

    Args:
        texts: one or more prompts a class, plain text: brackets mean themselves.

    Raises:
        PromptError: a prompt is empty or longer than the context.
        GairError: fewer than two classes, or one without a prompt.
    """
    if len(texts) < 2 or not all(texts):
        raise GairError("token weights tell classes apart: expected two or more, each with a prompt or more")
    flat = [text for own in texts for text in own]
    words = [_split_words(text, tower) for text in flat]
    ids = [tuple(tower.token_ids(text)) for text in flat]
    for text, own in zip(flat, ids, strict=True):
        if not own:
            raise PromptError("the prompt is empty; write what the picture should show", text)
        if len(own) > tower.n_ctx - 2:
            raise PromptError(
                f"the prompt has {len(own)} tokens and the model takes {tower.n_ctx - 2}; shorten it", text
            )
    device = tower.device
    start, stop = tower.start_id, tower.end_id
    length = max(map(len, ids)) + 2
    rows = torch.full((len(ids), length), stop)
    leads = torch.arange(length).repeat(len(ids), 1)
    for row, lead, own, own_words in zip(rows, leads, ids, words, strict=True):
        row[: len(own) + 2] = torch.tensor([start, *own, stop])
        at = 1
        for _, _, n in own_words:
            lead[at : at + n] = at
            at += n
    end = torch.tensor([len(own) + 1 for own in ids])
    places = torch.arange(length)
    with torch.no_grad():
        hidden = tower.before_start_block(tower.token_embeddings(rows.to(device)))
    class_of = torch.tensor([c for c, own in enumerate(texts) for _ in own])
    free = (places > 0) & (places < end[:, None])
    return ClassPrompts(
        tuple(map(tuple, texts)),
        tuple(ids),
        hidden,
        *(tensor.to(device) for tensor in (end, class_of, leads, free)),
    )


def token_weights(log_weights: Tensor, prompts: ClassPrompts) -> Tensor:
    """Token weights `[P, n]` from their logarithms, which keeps them positive; 1 where none is learned.

    They stay within 1e-6..1e6, the query language's range.
    """
    limit = float(np.log(MAX_WEIGHT))
    return log_weights.clamp(-limit, limit).where(prompts.free, 0.0).exp()


def text_classifier(log_weights: Tensor, prompts: ClassPrompts, tower: TextTower) -> Tensor:
    """One text feature a class (section 4.1.1): the mean over its prompts' features.

    Args:
        log_weights: logarithms of the token weights, `[P, n]`.

    Returns:
        `[C, embed_dim]`, L2-normalised, differentiable in `log_weights`.
    """

    def features(hidden: Tensor, end: Tensor, weights: Tensor) -> Tensor:
        return tower.after_start_block(hidden, end, weights).features

    given = (prompts.hidden, prompts.end, token_weights(log_weights, prompts))
    parts = list(zip(*(torch.split(tensor, PROMPTS_AT_ONCE) for tensor in given), strict=True))
    many = len(parts) > 1 and log_weights.requires_grad
    each = torch.cat(
        [checkpoint(features, *part, use_reentrant=False) if many else features(*part) for part in parts]
    )
    sums = each.new_zeros(len(prompts.texts), each.shape[1]).index_add(0, prompts.class_of, each)
    return nn.functional.normalize(sums, dim=-1)  # of the sum as of the mean


def text_classifier_loss(classifier: Tensor, features: Tensor, labels: Tensor, logit_scale: float) -> Tensor:
    """Equation 3: the mean of `L_CE(y, sim(phi_T, phi_I) / tau)`.

    Args:
        classifier: `[C, embed_dim]`, L2-normalised.
        features: image features `[B, embed_dim]`, L2-normalised.
        labels: class of each image, `[B]`.
        logit_scale: 1 / tau.
    """
    return nn.functional.cross_entropy(logit_scale * features @ classifier.T, labels)


def learn_token_weights(
    prompts: ClassPrompts,
    features: Tensor,
    labels: Tensor,
    tower: TextTower,
    config: TokenWeightsConfig = PAPER,
    seed: int = 0,
    on_epoch: Progress | None = None,
) -> tuple[Tensor, list[float]]:
    """Learn the token weights of prompts; nothing else is learned. The last epoch's count, as in the paper.

    Args:
        features: image features `[N, embed_dim]`, L2-normalised.
        labels: class of each image, `[N]`, 0..C - 1.
        seed: of the order of the images.
        on_epoch: called after each epoch; the note is its mean loss.

    Returns:
        log-weights `[P, n]` and the mean loss of each epoch.

    Raises:
        GairError: features or labels are not as said.
    """
    _check_features(prompts, features, labels)
    device = prompts.hidden.device
    features, labels = features.to(device, torch.float32), labels.to(device)
    epochs = config.epochs or (100 if len(labels) <= FEW_SHOTS * len(prompts.texts) else 200)
    log_weights = torch.zeros(prompts.free.shape, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([log_weights], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        order = torch.randperm(len(labels), generator=generator).to(device)
        for batch in torch.split(order, config.batch_size):
            shared = log_weights.gather(1, prompts.leads) if config.whole_words else log_weights
            classifier = text_classifier(shared, prompts, tower)
            loss = text_classifier_loss(classifier, features[batch], labels[batch], tower.logit_scale)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        losses.append(total / len(labels))
        if on_epoch:
            on_epoch(epoch, epochs, f"loss {losses[-1]:.4f}")
    learned = log_weights.detach()
    return learned.gather(1, prompts.leads) if config.whole_words else learned, losses


def _check_features(prompts: ClassPrompts, features: Tensor, labels: Tensor) -> None:
    """Raise GairError where features and labels don't fit each other or the classes."""
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels) or not len(labels):
        raise GairError(
            f"expected image features [N, embed_dim] and labels [N], N >= 1; got {list(features.shape)} and "
            f"{list(labels.shape)}"
        )
    if not features.isfinite().all():
        raise GairError("the image features hold NaN or infinite values")
    if labels.min() < 0 or labels.max() >= len(prompts.texts):
        raise GairError(
            f"the labels go from {int(labels.min())} to {int(labels.max())}; expected 0 to {len(prompts.texts) - 1}"
        )


def read_out(
    log_weights: Tensor,
    prompts: ClassPrompts,
    tower: TextTower,
    classes: Sequence[str],
    embedder: str = "",
    facts: Mapping[str, Any] | None = None,
) -> TokenWeights:
    """What was learned, to be read, saved and classified with.

    Args:
        log_weights: from `learn_token_weights`, `[P, n]`.
        classes: names, `[C]`.
        embedder: readable id of the model.
    """
    with torch.no_grad():
        classifier = text_classifier(log_weights, prompts, tower).cpu().numpy()
        rows = token_weights(log_weights, prompts).cpu()
    flat = iter(zip(prompts.ids, rows, strict=True))
    weighted = tuple(
        tuple(_weigh_prompt(text, *next(flat), tower) for text in own)  # in the order of the flat prompts
        for own in prompts.texts
    )
    return TokenWeights(tuple(classes), weighted, classifier, tower.table_hash, embedder, facts or {})


def _weigh_prompt(text: str, ids: tuple[int, ...], row: Tensor, tower: TextTower) -> WeightedPrompt:
    weights = tuple(row[1 : len(ids) + 1].tolist())
    return WeightedPrompt(text, tuple(map(tower.piece, ids)), weights, *as_query(text, weights, tower))


def as_query(text: str, weights: Sequence[float], tower: TextTower) -> tuple[str, bool]:
    """Plain text with token weights as a prompt of the query language: `a (red:1.83) wall`.

    A span is tokenised by itself, so that a weight can stand on whole words only: pieces of one word get the
    geometric mean of theirs. Weights are written with four digits.

    Args:
        text: plain text.
        weights: one a BPE piece, > 0.

    Returns:
        the prompt, and whether it compiles to the same tokens with the same weights, rounding aside.
    """
    spans: list[tuple[str, str, str]] = []  # the space before, the text, the weight as written
    at = 0
    for space, word, n in _split_words(text, tower):
        mean = float(np.exp(np.mean(np.log(weights[at : at + n]))))
        at += n
        written = f"{min(mean, MAX_WEIGHT):.4g}"
        if spans and spans[-1][2] == written:
            spans[-1] = (spans[-1][0], spans[-1][1] + space + escape(word), written)
        else:
            spans.append((space, escape(word), written))
    query = "".join(space + (word if w == "1" else f"({word}:{w})") for space, word, w in spans).strip()
    try:
        compiled = compile_prompt(query, tower, _refuse_concept)
    except (PromptError, ConceptError):  # odd characters that the tokenizer's own cleaning brings forth
        return escape(text), False
    ids = torch.tensor(tower.token_ids(text), device=compiled.embeddings.device)
    same = torch.equal(compiled.embeddings[0, 1:-1], tower.token_embeddings(ids))
    return query, same and bool(np.allclose([t.weight for t in compiled.tokens], weights, rtol=1e-3, atol=0))


def _refuse_concept(name: str) -> CustomToken:
    raise ConceptError(f"<{name}> in plain text")


def _split_words(text: str, tower: TextTower) -> list[tuple[str, str, int]]:
    """What the tokenizer takes apart: (the space before it, the word, its number of BPE pieces)."""
    cleaned = tower.tokenizer.clean_fn(text)
    words, at = [], 0
    for match in tower.tokenizer.pat.finditer(cleaned):
        words.append((cleaned[at : match.start()], match[0], tower.token_ids(match[0])))
        at = match.end()
    ids = tower.token_ids(text)
    if [i for _, _, own in words for i in own] != ids:
        return [("", cleaned, len(ids))]  # its words, cleaned once more, are others
    return [(space, word, len(own)) for space, word, own in words]
