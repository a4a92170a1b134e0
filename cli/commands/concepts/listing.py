"""`gair concepts list`, `use` and `rm`: which custom tokens there are."""

import sys
from typing import Annotated, Any

import typer

from gair_search.cli import options, output

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that `gair concepts list` shows.")]


def list_concepts(as_json: options.Json = False) -> None:
    """List the custom tokens; * marks the active one, which * in a prompt stands for."""
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    active = store.active_name
    rows = [{**_list_facts(store, name), "active": name == active} for name in store.names()]
    if as_json:
        output.print_json({"active": active, "concepts": rows})
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
    for line in output.align([tuple(map(output.printable, cells)) for cells in table]):
        typer.echo(line)


def use(name: Name, as_json: options.Json = False) -> None:
    """Choose the custom token that * in a prompt stands for."""
    from gair_search.tokens.store import TokenStore

    TokenStore().use(name)
    if as_json:
        output.print_json({"active": name})
    else:
        typer.echo(f"* now stands for <{name}>")


def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The concepts to remove.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove them without asking.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove custom tokens from this machine."""
    from gair_search.errors import ConceptError
    from gair_search.tokens.store import TokenStore

    store = TokenStore()
    names = list(dict.fromkeys(names))
    store.require(*names)
    names_shown = ", ".join(f"<{name}>" for name in names)
    if not yes and (as_json or not sys.stdin.isatty()):
        raise ConceptError(f"{names_shown} would be gone for good; nobody is here to be asked, so say --yes")
    if not yes and not typer.confirm(f"remove {names_shown} for good?", err=True):
        typer.echo("nothing removed", err=True)
        raise typer.Exit(1)
    store.remove(*names)
    if as_json:
        output.print_json({"removed": names})
    else:
        typer.echo(f"removed {names_shown}")


def _list_facts(store: Any, name: str) -> dict[str, Any]:
    """What `list` says of a concept; of a damaged one, its error."""
    from gair_search.errors import ConceptError
    from gair_search.learning.report import describe

    try:
        facts = describe(store.get(name))
    except ConceptError as error:
        return {"name": name, "error": str(error)}
    return {key: facts[key] for key in ("name", "n_vectors", "parent", "model", "text_tower", "made_at")}
