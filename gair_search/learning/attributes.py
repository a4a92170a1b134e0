"""The attributes of a parent (`A` in Perera et al.): adjectives that suit it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gair_search.errors import ConceptError

if TYPE_CHECKING:
    from torch import Tensor

    from gair_search.encoder.text_tower import TextTower


@lru_cache
def vocabulary() -> tuple[str, ...]:
    """680 adjectives of what a photo can show, out of WordNet; the commonest first."""
    text = Path(__file__).with_name("adjectives.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def parse(text: str) -> list[str]:
    """`red, old` -> ["red", "old"], each once, in order. Raises ConceptError where fewer than two are left."""
    words = list(dict.fromkeys(word for part in text.split(",") if (word := " ".join(part.split()))))
    if len(words) < 2:
        raise ConceptError(
            f'attributes "{text}": expected two or more, with commas between them, as red,old,worn'
        )
    return words


def nearest(tower: "TextTower", parent: str, n: int, words: Sequence[str] | None = None) -> list[str]:
    """The attributes that correlate most with a parent in CLIP's space (section 5, "Model details").

    Args:
        parent: as text, "dress".
        n: how many.
        words: to choose from; `vocabulary()` unless given.

    Returns:
        best first; of equals the earlier one in `words`.
    """
    import torch

    words = vocabulary() if words is None else words
    with torch.inference_mode():
        (target,) = tower.encode_texts([parent])
        order = (tower.encode_texts(words) @ target).argsort(descending=True, stable=True)
    return [words[i] for i in order[:n].tolist()]


def average_embeddings(tower: "TextTower", words: Sequence[str]) -> "Tensor":
    """The mean token embedding of each word's pieces, `[len(words), text_width]`."""
    import torch

    table = tower.token_table
    return torch.stack([table[torch.tensor(tower.token_ids(w), device=table.device)].mean(0) for w in words])
