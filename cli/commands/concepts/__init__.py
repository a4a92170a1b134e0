"""`gair concepts`: the custom tokens of this machine, and their files."""

import typer

from gair_search.cli import options
from gair_search.cli.commands.concepts import exchange, listing, show

app = typer.Typer(
    help="List custom tokens, choose one, bring them in from files and hand them on.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def concepts(context: typer.Context, as_json: options.Json = False) -> None:
    """List the custom tokens; * marks the active one, which * in a prompt stands for."""
    if not context.invoked_subcommand:
        listing.list_concepts(as_json)


app.command("list")(listing.list_concepts)
app.command()(show.show)
app.command()(listing.use)
app.command()(listing.rm)
app.command("import")(exchange.import_concept)
app.command()(exchange.export)
