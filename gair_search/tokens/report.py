"""What can be said of a custom token: its facts, and the words that its vectors lie near."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gair_search.tokens.adopt import ASSUMED
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from gair_search.clip import TextTower


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
    table = tower.tower.token_embedding.weight.detach().cpu().float().numpy()
    special = {tower.tokenizer.sot_token_id, tower.tokenizer.eot_token_id}
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
