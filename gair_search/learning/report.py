"""What can be said of a custom token: its facts, the words that its vectors lie near, and how good it is."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gair_search.tokens.binding import ASSUMED
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from torch import Tensor

    from gair_search.encoder.text_tower import TextTower
    from gair_search.learning.joint import Problem

CONTEXTS = ("on a beach", "in the snow")
"""Two places that are seen to be different, for `composition`."""

QUALITY = ("norm_lowest", "norm_highest", "composition")
"""What `quality` always tells."""

SEPARATION = ("separation", "n_photos", "n_negatives")
"""What it tells where something was left out of learning to measure on."""

_ASKED = 20
"""Attributes that stand for words in `composition` and `affinity`."""


def describe(token: CustomToken) -> dict[str, Any]:
    """A token's facts as JSON values; needs no model.

    `norms` holds the L2 norm of each vector, `made_at` when it was learned or imported (None: not known),
    `text_tower_assumed` whether its file didn't say which text tower it belongs to.
    """
    return {
        "name": token.name,
        "parent": token.parent,
        "n_vectors": len(token.vectors),
        "width": token.vectors.shape[1],
        "norms": [float(norm) for norm in np.linalg.norm(token.vectors.astype(np.float64), axis=1)],
        "model": token.model,
        "embedder": token.embedder,
        "text_tower": token.text_tower,
        "text_tower_assumed": ASSUMED in token.facts,
        "made_at": token.facts.get("learned_at") or token.facts.get("imported_at"),
        "facts": dict(token.facts),
    }


def nearest_rows(
    vectors: NDArray[np.float32], table: NDArray[np.float32], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The rows of a table that lie nearest to vectors, by cosine.

    Args:
        vectors: `[n, width]`.
        table: `[rows, width]`.
        k: how many; fewer where the table is shorter.

    Returns:
        row numbers and cosines, `[n, k]`, nearest first; of equals the lower number first. A zero vector has
        the cosine 0 with all.
    """
    products = vectors.astype(np.float64) @ table.astype(np.float64).T
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None] * np.linalg.norm(
        table.astype(np.float64), axis=1
    )
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)


def nearest_words(token: CustomToken, tower: "TextTower", k: int = 5) -> list[list[tuple[str, float]]]:
    """For each vector of a token the `k` nearest words of its text tower's table, with cosines.

    The start and end tokens, and pieces that show as nothing, are left out; a word that the table holds twice,
    as itself and as a beginning, counts once.
    """
    table = tower.token_table.cpu().float().numpy()
    special = {tower.start_id, tower.end_id}
    found: list[list[tuple[str, float]]] = []
    # twice for both spellings, and some more for what is left out
    for rows, cosines in zip(*nearest_rows(token.vectors, table, 4 * k + len(special)), strict=True):
        words: dict[str, float] = {}
        for row, cosine in zip(rows, cosines, strict=True):
            word = "" if int(row) in special else tower.piece(int(row))
            if word and word.isprintable() and "�" not in word:  # parts of a character
                words.setdefault(word, round(float(cosine), 4))
        found.append(list(words.items())[:k])
    return found


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the share of pairs in which the positive has the higher score; ties count half.

    Args:
        positive, negative: scores, `[n]` and `[m]`.

    Raises:
        ValueError: no positive, or no negative.
    """
    if not len(positive) or not len(negative):
        raise ValueError(f"AUC of {len(positive)} positives and {len(negative)} negatives: it needs both")
    low = np.sort(negative)
    below = np.searchsorted(low, positive, "left") + np.searchsorted(low, positive, "right")
    return float(below.sum() / 2 / len(positive) / len(negative))


def quality(
    vectors: "Tensor", problem: "Problem", tower: "TextTower", words: Sequence[str]
) -> dict[str, float]:
    """What a user needs to trust a token, computed where it was learned.

    Returns:
        `separation`: AUC of f(x) . (tau_* - tau_parent) on photos of the concept, their views and negatives that were
        neither learned nor chosen on (`Problem.report`), and how many these are, `n_photos` and `n_negatives`; 0.5
        is chance. Left out where nothing is left to measure on. `norm_lowest`, `norm_highest`: of the attributes'
        embeddings. `composition`: see `composition`.
    """
    import torch

    from gair_search.learning.templates import CLASSIFICATION, Slot

    slot = Slot.from_template(tower, CLASSIFICATION, problem.parent)
    with torch.inference_mode():
        (concept,) = slot.encode(tower, vectors).features
        (parent,) = slot.encode(tower, vectors[:0]).features
    lowest, highest = norm_range(tower, words)
    measured: dict[str, float] = {}
    if (held := problem.report) is not None:
        own, others = ((x @ (concept - parent)).cpu().numpy() for x in (held.concept, held.negatives))
        counts = {"n_photos": held.n_photos, "n_negatives": len(held.negatives)}
        measured = {"separation": auc(own, others)} | counts
    return measured | {
        "norm_lowest": lowest,
        "norm_highest": highest,
        "composition": composition(vectors, problem.parent, tower, words[:_ASKED]),
    }


def norm_range(tower: "TextTower", words: Sequence[str]) -> tuple[float, float]:
    """Lowest and highest L2 norm of words' average embeddings."""
    from gair_search.learning.attributes import average_embeddings

    norms = average_embeddings(tower, words).norm(dim=1)
    return float(norms.min()), float(norms.max())


def composition(vectors: "Tensor", parent: str, tower: "TextTower", words: Sequence[str]) -> float:
    """Whether a token lets the context through, as a word does.

    1 - cosine between 'a * c on a beach' and 'a * c in the snow', over the same with attributes in the token's
    place, their mean. 1 is as a word; near 0 the token drowns the context.

    Args:
        vectors: `[n_vectors, text_width]`.
        words: attributes of the parent.
    """
    import torch

    from gair_search.learning.attributes import average_embeddings
    from gair_search.learning.templates import Slot

    slots = [Slot.around(tower, "a", f"{parent} {context}") for context in CONTEXTS]

    def apart(rows: "Tensor") -> float:
        with torch.inference_mode():
            first, second = (slot.encode(tower, rows).features[0] for slot in slots)
        return 1 - float(first @ second)

    table = average_embeddings(tower, words)
    return apart(vectors) / float(np.mean([apart(row[None]) for row in table]))


def read_quality(token: CustomToken) -> dict[str, float] | None:
    """The `quality` that a token's file tells; None where it tells none, or not all of it in finite numbers.

    The separation of a file of an earlier version is left out: it was measured on what had chosen the step.
    """
    try:
        found = json.loads(token.facts.get("quality", "null"))
        measured = SEPARATION if all(key in found for key in SEPARATION) else ()
        values = {key: float(found[key]) for key in (*measured, *QUALITY)}
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return values if np.isfinite(list(values.values())).all() else None


def related_words(token: CustomToken, tower: "TextTower") -> list[str]:
    """Attributes to compare a token with: its own; else those nearest to its parent; else the commonest."""
    from gair_search.learning import attributes
    from gair_search.tokens import facts

    if known := facts.attributes(token):
        return known
    return attributes.nearest(tower, token.parent, _ASKED) if token.parent else list(attributes.vocabulary())


def affinity(
    token: CustomToken, tower: "TextTower", words: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Figure 4 of Perera et al.: cosines between attributes' average embeddings and the token's mean vector.

    Returns:
        labels (the attributes, at most 20, then the token) and their cosines `[n, n]`; 0 with a zero vector.
    """
    from gair_search.learning.attributes import average_embeddings

    shown = list(words[:_ASKED])
    rows = np.vstack(
        [average_embeddings(tower, shown).cpu().numpy(), token.vectors.mean(0, keepdims=True)]
    ).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(norms > 0, norms, 1)
    return [*shown, f"<{token.name}>"], rows @ rows.T
