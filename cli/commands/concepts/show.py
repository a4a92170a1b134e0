"""`gair concepts show`: all that is known of a custom token."""

from typing import TYPE_CHECKING, Any

import typer

from gair_search.cli import options, output
from gair_search.cli.commands.concepts.listing import Name

if TYPE_CHECKING:
    from gair_search.encoder.text_tower import TextTower
    from gair_search.tokens.custom_token import CustomToken

_NOT_IN_ROWS = frozenset({"text_tower_assumed", "concept_features", "quality", "settings", "held_out"})
"""Facts that `show` puts in other words, or prints only with --json."""


def show(name: Name, html: options.Page = None, as_json: options.Json = False) -> None:
    """Show all that is known of a custom token, how good it is, and the words nearest to its vectors."""
    from gair_search.learning.report import describe, read_quality
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    token = store.get(name)
    tower, missing = _find_text_tower(token)
    facts: dict[str, Any] = {
        **describe(token),
        "quality": read_quality(token),
        "active": name == store.active_name,
        "file": str(store.path(name)),
        **_nearest_words(token, tower, missing),
    }
    if html:
        from gair_search.cli.pages.concept import write_concept

        write_concept(html, facts, _rows(facts), _figures(token, tower))
    if as_json:
        output.print_json(facts)
        return
    _print_facts(facts)
    if html:
        typer.echo(f"\npage: {html}")


def _find_text_tower(token: "CustomToken") -> "tuple[TextTower | None, str]":
    """The text tower that a token belongs to; or None, and why, where it isn't at hand."""
    options.ignore_warnings()
    from gair_search.encoder import trust
    from gair_search.encoder.models import default_model, resolve
    from gair_search.errors import GairError

    try:
        trust.require_chosen(token.model, f"the file of <{token.name}>")
        spec = resolve(token.model or default_model())
        from gair_search.encoder.clip import Encoder

        tower = Encoder(spec, "cpu").text_tower
    except GairError as error:
        return None, str(error)
    if tower.table_hash != token.text_tower:
        return None, f"the text tower of {spec.name} is {tower.table_hash}, not the token's own"
    return tower, ""


def _nearest_words(token: "CustomToken", tower: "TextTower | None", missing: str) -> dict[str, Any]:
    """The words nearest to a token's vectors; or None, and why, without its text tower."""
    if tower is None:
        return {"nearest_words": None, "nearest_words_missing": missing}
    from gair_search.learning.report import nearest_words

    words = nearest_words(token, tower)
    return {"nearest_words": [[{"word": w, "cosine": c} for w, c in row] for row in words]}


def _figures(token: "CustomToken", tower: "TextTower | None") -> dict[str, Any]:
    """What a page draws beside the facts; without the token's text tower, less."""
    from gair_search.learning.report import affinity, norm_range, related_words
    from gair_search.tokens.facts import held_out

    figures: dict[str, Any] = {"losses": held_out(token)}
    if tower is not None:
        words = related_words(token, tower)
        figures |= {"affinity": affinity(token, tower, words), "norm_range": norm_range(tower, words)}
    return figures


def _rows(facts: dict[str, Any]) -> dict[str, str]:
    """What `show` prints line by line."""
    assumed = " (assumed: its file did not say)" if facts["text_tower_assumed"] else ""
    return {
        "concept": f"<{facts['name']}>{', the active one' if facts['active'] else ''}",
        "parent": facts["parent"] or "-",
        "vectors": f"{facts['n_vectors']} of width {facts['width']}",
        "norms": " ".join(f"{norm:.3f}" for norm in facts["norms"]),
        "model": facts["embedder"] or "-",
        "text tower": f"{facts['text_tower'] or '-'}{assumed}",
        "file": facts["file"],
        **{key: value for key, value in sorted(facts["facts"].items()) if key not in _NOT_IN_ROWS},
    }


def _print_facts(facts: dict[str, Any]) -> None:
    """`show` for people."""
    for line in output.align([tuple(map(output.printable, row)) for row in _rows(facts).items()]):
        typer.echo(line)
    output.print_quality(facts["quality"])
    if facts["nearest_words"] is None:
        typer.echo(f"\nnearest words: not known here; {output.printable(facts['nearest_words_missing'])}")
        return
    typer.echo("\nnearest words")
    for number, row in enumerate(facts["nearest_words"]):
        typer.echo(f"  [{number}]  " + "  ".join(f"{near['word']} {near['cosine']:.2f}" for near in row))
