"""The texts that the text tower learns from: WordNet's things in photo captions, and the fashion world.

    python -m training.corpus --work build/gair-mini

Writes `texts.txt`, one text a line, all different, shuffled; the last `HELD_OUT` are never trained on. And
`captions.jsonl`: those of the fashion world, with what each of them names.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from timm.data import ImageNetInfo

from gair_search.benchmarks.fashion_world import Caption, caption, scene
from gair_search.benchmarks.fashion_world.vocabulary import COLORS
from training import wordnet

HELD_OUT = 4_000
SEED = 0

PHOTO_TEMPLATES = (
    "a photo of a {}",
    "a photo of the {}",
    "a picture of a {}",
    "a close-up photo of a {}",
    "an image of a {}",
    "a photo of one {}",
    "a photo of many {}",
    "a drawing of a {}",
    "a {} in a photo",
    "my {}",
    "the {}",
    "a {}",
)
MATERIALS = (
    "wooden", "metal", "plastic", "glass", "leather", "cotton", "woolen", "silk", "paper", "stone",
    "ceramic", "rubber", "golden", "silver", "denim", "velvet", "knitted", "stuffed",
)  # fmt: skip
PLACES = (
    "on a beach", "in the snow", "in a forest", "on the grass", "on a city street", "in the desert",
    "on a wooden floor", "on a table", "in a kitchen", "on a sofa", "on a bed", "in a garden", "on a chair",
    "in the water", "by a lake", "in the mountains", "on the road", "in a park", "at night", "in the rain",
    "in a living room", "on a shelf", "in a bathroom", "in an office", "on a carpet", "in front of a house",
    "against a brick wall", "on a white background", "on a blue background", "under a tree", "by the window",
    "on top of a mirror", "with a city in the background", "with a mountain in the background",
    "with a tree in the background", "in a shop", "in a box", "on a plate", "in the jungle", "in the sky",
)  # fmt: skip
COMPANY = (
    "next to a {}", "and a {}", "on a {}", "with a {}", "in front of a {}", "near a {}", "behind a {}",
    "without a {}",
)  # fmt: skip


def physical_lemmas() -> list[str]:
    """Every word for something that a camera can see, sorted; about 90,000."""
    nouns = wordnet.synsets().values()
    return sorted({lemma for s in nouns if s.lexfile in wordnet.PHYSICAL for lemma in s.lemmas})


def imagenet_lemmas() -> list[str]:
    """All words for the 1,000 classes of ImageNet, sorted."""
    info = ImageNetInfo("imagenet-1k")
    offsets = [info.index_to_label_name(i)[1:] for i in range(1000)]
    return sorted({lemma for o in offsets for lemma in wordnet.synsets()[o].lemmas})


def noun_texts(rng: np.random.Generator) -> list[str]:
    """Every physical lemma in one photo template, common ones and ImageNet's in many."""
    counts, imagenet = wordnet.tag_counts(), set(imagenet_lemmas())
    texts = []
    for lemma in physical_lemmas():
        n = 12 if lemma in imagenet else 1 + min(7, counts.get(lemma.lower(), 0))
        chosen = rng.permutation(len(PHOTO_TEMPLATES))[:n]
        texts += [PHOTO_TEMPLATES[i].format(lemma) for i in chosen]
    return texts


def composed_texts(rng: np.random.Generator, n: int) -> list[str]:
    """Captions of common things: adjective, colour, material, thing, company and place."""
    counts = wordnet.tag_counts()
    nouns = sorted(set(imagenet_lemmas()) | {w for w, count in counts.items() if count > 0})
    frequency = np.array([counts.get(word.lower(), 0) + 3 for word in nouns]) ** 0.5
    frequency /= frequency.sum()
    adjectives = sorted({a for s in wordnet.synsets("adj").values() for a in s.lemmas if a.isalpha()})
    colors, texts = list(COLORS), []

    def pick(words: Sequence[str]) -> str:  # rng.choice turns the list into an array each time
        return words[int(rng.integers(len(words)))]

    for first, second in rng.choice(nouns, size=(n, 2), p=frequency):
        words = []
        if rng.random() < 0.35:
            words.append(pick(adjectives))
        if rng.random() < 0.4:
            words.append(pick(colors))
        if rng.random() < 0.2:
            words.append(pick(MATERIALS))
        text = pick(PHOTO_TEMPLATES).format(" ".join([*words, str(first)]))
        if rng.random() < 0.25:
            text += " " + pick(COMPANY).format(second)
        if rng.random() < 0.5:
            text += " " + pick(PLACES)
        texts.append(text)
    return texts


def adjective_texts(rng: np.random.Generator) -> list[str]:
    """Every adjective by itself and before a common thing."""
    things = [w for w, count in wordnet.tag_counts().items() if count > 20]
    adjectives = sorted({a for s in wordnet.synsets("adj").values() for a in s.lemmas})
    texts = []
    for adjective in adjectives:
        texts += [adjective, f"a {adjective} {rng.choice(things)}"]
    return texts


def glosses(rng: np.random.Generator, n: int) -> list[str]:
    """Definitions of physical things, of at most 120 characters."""
    nouns = [s for s in wordnet.synsets().values() if s.lexfile in wordnet.PHYSICAL]
    texts = sorted({s.gloss for s in nouns if len(s.gloss) <= 120})
    return [texts[i] for i in rng.permutation(len(texts))[:n]]


def world_captions(rng: np.random.Generator, n: int) -> list[Caption]:
    """Captions of the fashion world's training scenes, half of them full."""
    return [caption(scene(seed), rng, full=seed % 2 == 0) for seed in range(n)]


def corpus(seed: int = SEED) -> tuple[list[str], list[Caption]]:
    """(all texts, different and shuffled; those of the fashion world, with what they name)."""
    rng = np.random.default_rng(seed)
    texts = noun_texts(rng) + composed_texts(rng, 110_000) + adjective_texts(rng)
    texts += glosses(rng, 25_000)
    captions = world_captions(rng, 60_000)
    texts += [own.text for own in captions]
    unique = sorted({re.sub(r"\ba (?=[aeiouAEIOU])", "an ", text) for text in texts})
    return [unique[i] for i in rng.permutation(len(unique))], captions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    texts, captions = corpus()
    (args.work / "texts.txt").write_text("\n".join(texts) + "\n", "utf-8")
    lines = [json.dumps(dataclasses.asdict(own)) for own in captions]
    (args.work / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
