"""`gair concepts`: the custom tokens of this machine, and their files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gair_search.cli import common

if TYPE_CHECKING:
    from gair_search.encoder.clip import TextTower
    from gair_search.tokens.custom_token import CustomToken

app = typer.Typer(
    help="List custom tokens, choose one, bring them in from files and hand them on.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """Whose file `export` writes."""

    diffusers = "diffusers"
    webui = "webui"


_NOT_READ = frozenset({"text_tower_assumed", "concept_features", "quality", "settings", "held_out"})
"""Facts that `show` tells in other words, or only with --json."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `gair concepts list` shows it.")]


@app.callback()
def concepts(context: typer.Context, as_json: common.Json = False) -> None:
    """List the custom tokens; * marks the active one, which * in a prompt stands for."""
    if not context.invoked_subcommand:
        list_concepts(as_json)


@app.command("list")
def list_concepts(as_json: common.Json = False) -> None:
    """List the custom tokens; * marks the active one, which * in a prompt stands for."""
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    active = store.active_name
    rows = [{**_row(store, name), "active": name == active} for name in store.names()]
    if as_json:
        common.print_json({"active": active, "concepts": rows})
        return
    if not rows:
        typer.echo(
            "no custom tokens yet; learn one with: gair learn NAME PHOTO... --parent WORD; "
            "or bring one in with: gair concepts import FILE"
        )
        return
    table = [("", "name", "vectors", "parent", "model", "made")]
    for row in rows:
        cells = ("-", "-", "damaged, see: gair concepts show", "-")
        if "error" not in row:
            made = (row["made_at"] or "-")[:10]
            cells = (str(row["n_vectors"]), row["parent"] or "-", row["model"] or "-", made)
        table.append(("*" if row["active"] else "", row["name"], *cells))
    widths = [max(len(_plain(cell)) for cell in column) for column in zip(*table, strict=True)]
    for line in table:
        typer.echo(
            "  ".join(f"{_plain(cell):<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        )


@app.command()
def show(
    name: Name,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Show all that is known of a custom token, how good it is, and the words nearest to its vectors."""
    from gair_search.learning.report import describe, measured
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    token = store.get(name)
    tower, missing = _text_tower(token)
    facts: dict[str, Any] = {
        **describe(token),
        "quality": measured(token),
        "active": name == store.active_name,
        "file": str(store.path(name)),
        **_nearest_words(token, tower, missing),
    }
    if html:
        from gair_search.cli.pages.page import write_concept

        write_concept(html, facts, _rows(facts), _beside_words(token, tower))
    if as_json:
        common.print_json(facts)
        return
    _print_facts(facts)
    if html:
        typer.echo(f"\npage: {html}")


@app.command()
def use(name: Name, as_json: common.Json = False) -> None:
    """Choose the custom token that * in a prompt stands for."""
    from gair_search.tokens.store import TokenStore

    TokenStore().use(name)
    if as_json:
        common.print_json({"active": name})
    else:
        typer.echo(f"* now stands for <{name}>")


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The concepts to remove.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: common.Json = False,
) -> None:
    """Remove custom tokens from this machine."""
    from gair_search.errors import ConceptError
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    names = list(dict.fromkeys(names))
    store.require(*names)
    shown = ", ".join(f"<{name}>" for name in names)
    if not yes and (as_json or not sys.stdin.isatty()):
        raise ConceptError(f"{shown} would be gone for good; nobody is here to be asked, so say --yes")
    if not yes and not typer.confirm(f"remove {shown} for good?", err=True):
        typer.echo("nothing removed", err=True)
        raise typer.Exit(1)
    store.remove(*names)
    if as_json:
        common.print_json({"removed": names})
    else:
        typer.echo(f"removed {shown}")


@app.command("import")
def import_concept(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help=".safetensors, .pt or .bin of diffusers, a web UI or gair."),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What to call it. [default: as the file says]"),
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="WORD", help="What it is a kind of, as dress.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model that it is for, as `gair query --model` takes it. "
            "[default: GAIR_MODEL, else the best on this machine]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a concept of the same name.")] = False,
    as_json: common.Json = False,
) -> None:
    """Bring in a custom token from a file. Nothing in the file is ever run."""
    import warnings

    warnings.filterwarnings("ignore")  # other libraries' advice to their programmers
    import os

    from gair_search.encoder import trust
    from gair_search.encoder.models import default_model, resolve
    from gair_search.tokens.formats import read_token
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    token = read_token(file.expanduser(), name)
    if not force:
        store.require_free(token.name)  # before a model is loaded for nothing
    spec = resolve(model or default_model())
    if model or os.environ.get("GAIR_MODEL"):
        trust.remember(spec)
    from gair_search.encoder.clip import Encoder
    from gair_search.tokens.binding import ASSUMED, adopt

    stated = bool(token.text_tower) and ASSUMED not in token.facts
    token = adopt(token, Encoder(spec, "cpu").text_tower, str(spec.embedder_id), parent, file.name)
    written = store.save(token, overwrite=force)
    count = len(token.vectors)
    note = (
        None
        if stated
        else f"the file does not say which text tower it belongs to; its width fits that of {spec.name}, and if "
        f"it was learned with another one, it means nothing here"
    )
    if as_json:
        facts = {"concept": token.name, "n_vectors": count, "parent": token.parent, "model": spec.name}
        common.print_json({**facts, "file": str(written), "text_tower_stated": stated, "note": note})
        return
    typer.echo(f"<{token.name}> is here: {count} vector{'s' * (count != 1)}, for {spec.name}")
    if note:
        typer.secho(f"note: {note}", fg="yellow", err=True)
    typer.echo(f"search with it: gair query 'a photo of a <{token.name}>'")


@app.command()
def export(
    name: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write: .safetensors, for webui also .pt.")
    ],
    layout: Annotated[
        Format | None,
        typer.Option("--format", help="Whose file. [default: webui for a .pt, else diffusers]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: common.Json = False,
) -> None:
    """Write a custom token as a file for diffusers or a Stable Diffusion web UI."""
    from gair_search.tokens.formats import write_token
    from gair_search.tokens.store import TokenStore

    token = TokenStore().get(name)
    target = file.expanduser().absolute()
    written = write_token(token, target, layout.value if layout else None, overwrite=force)
    if as_json:
        common.print_json({"concept": name, "file": str(target), "format": written})
        return
    typer.echo(f"<{name}> is at {target}")
    if written == "diffusers":
        typer.echo(
            f"load it with: pipe.load_textual_inversion({str(target)!r}), and write <{name}> in prompts"
        )
    else:
        typer.echo(f"put it in the web UI's folder embeddings, and write {target.stem} in prompts")


def _row(store: Any, name: str) -> dict[str, Any]:
    """What `list` says of a concept; of a damaged one, its error."""
    from gair_search.errors import ConceptError
    from gair_search.learning.report import describe

    try:
        facts = describe(store.get(name))
    except ConceptError as error:
        return {"name": name, "error": str(error)}
    return {key: facts[key] for key in ("name", "n_vectors", "parent", "model", "text_tower", "made_at")}


def _text_tower(token: "CustomToken") -> "tuple[TextTower | None, str]":
    """The text tower that a token belongs to; or None, and why, where it isn't at hand."""
    import warnings

    warnings.filterwarnings("ignore")
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


def _beside_words(token: "CustomToken", tower: "TextTower | None") -> dict[str, Any]:
    """What a page draws besides the facts; without the token's text tower, less."""
    from gair_search.learning.report import affinity, norm_range, related_words
    from gair_search.tokens.facts import held_out

    drawn: dict[str, Any] = {"losses": held_out(token)}
    if tower is not None:
        words = related_words(token, tower)
        drawn |= {"affinity": affinity(token, tower, words), "norm_range": norm_range(tower, words)}
    return drawn


def _rows(facts: dict[str, Any]) -> dict[str, str]:
    """What `show` tells line by line."""
    assumed = " (assumed: its file did not say)" if facts["text_tower_assumed"] else ""
    return {
        "concept": f"<{facts['name']}>{', the active one' if facts['active'] else ''}",
        "parent": facts["parent"] or "-",
        "vectors": f"{facts['n_vectors']} of width {facts['width']}",
        "norms": " ".join(f"{norm:.3f}" for norm in facts["norms"]),
        "model": facts["embedder"] or "-",
        "text tower": f"{facts['text_tower'] or '-'}{assumed}",
        "file": facts["file"],
        **{key: value for key, value in sorted(facts["facts"].items()) if key not in _NOT_READ},
    }


def _print_facts(facts: dict[str, Any]) -> None:
    """`show` for people."""
    rows = _rows(facts)
    width = max(len(_plain(key)) for key in rows)
    for key, value in rows.items():
        typer.echo(f"{_plain(key):<{width}}  {_plain(value)}")
    common.print_quality(facts["quality"])
    if facts["nearest_words"] is None:
        typer.echo(f"\nnearest words: not known here; {_plain(facts['nearest_words_missing'])}")
        return
    typer.echo("\nnearest words")
    for number, row in enumerate(facts["nearest_words"]):
        typer.echo(f"  [{number}]  " + "  ".join(f"{near['word']} {near['cosine']:.2f}" for near in row))


def _plain(text: str) -> str:
    """Text of a file without what would steer the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
