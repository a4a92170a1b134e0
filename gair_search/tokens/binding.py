"""A token from a file -> a token of a text tower: which of the two fit, and what to do where they don't."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken, model_name
from gair_search.tokens.facts import LEARNED_WITH

if TYPE_CHECKING:
    from gair_search.encoder.text_tower import TextTower

ROOM_FOR_WORDS = 5
"""Places of the context that a token must leave to the rest of a prompt: "a photo of a", and one more."""

ASSUMED = "text_tower_assumed"
"""The fact that a token's file didn't say which text tower it belongs to, so that importing it said it."""

_KNOWN_WIDTHS = {
    512: "ViT-B-32 and ViT-B-16",
    768: "Stable Diffusion 1.x, whose text tower is that of ViT-L-14/openai",
    1024: "Stable Diffusion 2.x, whose text tower is that of ViT-H-14/laion2b_s32b_b79k",
    1280: "ViT-bigG-14, SDXL's second text encoder",
}


def adopt(
    token: CustomToken, tower: "TextTower", embedder: str, parent: str | None = None, source: str = ""
) -> CustomToken:
    """Bind a token that was read from a file to a model.

    A file of ours says which text tower its token belongs to, and another one is refused. Other programs'
    files don't say: the width must fit, and the fact `text_tower_assumed` remembers that nothing more is known.

    Args:
        token: from `formats.read_token`.
        tower: the text tower of the model that prompts with the token will be for.
        embedder: readable id of that model.
        parent: the super-class as text; by default as the token says.
        source: the file's name, for the fact `imported_from`.

    Returns:
        the token with the same vectors, belonging to `tower`.

    Raises:
        ConceptError: it is too wide, too long, or another text tower's.
    """
    width, model = token.vectors.shape[1], model_name(embedder)
    if token.text_tower and token.text_tower != tower.table_hash:
        its = token.model or "another model"
        raise ConceptError(
            f"<{token.name}> was learned with {its} (text tower {token.text_tower}), and the text tower of "
            f"{model} is {tower.table_hash}; import it for the model that it was learned with: --model {its}"
        )
    if width != tower.width:
        known = f"; a width of {width} is that of {_KNOWN_WIDTHS[width]}" if width in _KNOWN_WIDTHS else ""
        raise ConceptError(
            f"<{token.name}> has vectors of width {width}, and the text tower of {model} takes {tower.width}"
            f"{known}; choose a model that fits with --model"
        )
    room = tower.n_ctx - 2 - ROOM_FOR_WORDS
    if len(token.vectors) > room:
        raise ConceptError(
            f"<{token.name}> has {len(token.vectors)} vectors, and the context of {model} has room for "
            f"{room} beside a few words; expected a custom token of some 1 to 16 vectors"
        )
    facts = dict(token.facts)
    if not token.text_tower:
        facts[ASSUMED] = "yes"
    if token.embedder and token.embedder != embedder:  # the same text tower under another name
        facts.setdefault(LEARNED_WITH, token.embedder)
    facts["imported_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    if source:
        facts["imported_from"] = source
    return replace(
        token,
        text_tower=tower.table_hash,
        embedder=embedder,
        parent=token.parent if parent is None else parent,
        facts=facts,
    )
