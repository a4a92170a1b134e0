"""`gair models`: which models there are, getting more of them, and handing them on."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import options, output

app = typer.Typer(
    help="List models, pull better ones, export their generators.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def models(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="List all of open_clip's pretrained models.")] = False,
    as_json: options.Json = False,
) -> None:
    """List the models on this machine and those that can be pulled."""
    if context.invoked_subcommand:
        return
    from gair_search.encoder.models import list_models

    rows = list(list_models(every))
    if as_json:
        output.print_json({"models": [vars(row) for row in rows]})
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        typer.echo(f"{row.name:<{width}}  {row.state}{'  <- default' if row.default else ''}")
    typer.echo(
        "\nget one with: gair models pull NAME; any other open_clip checkpoint: --model ARCHITECTURE:FILE"
    )


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `gair models` lists.")],
    as_json: options.Json = False,
) -> None:
    """Download a model's weights."""
    from gair_search.encoder import trust
    from gair_search.encoder.download import pull as pull_model
    from gair_search.encoder.models import resolve

    weights = pull_model(name)
    if name.startswith("hf-hub:"):
        trust.remember(resolve(name))
    if as_json:
        output.print_json({"model": name, "weights": str(weights)})
    else:
        typer.echo(f"{name} is on this machine: {weights}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model with a generator, as gair-mini.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write: a new folder, or an empty one.")
    ],
    as_json: options.Json = False,
) -> None:
    """Write a model's generator as a Stable Diffusion folder, for diffusers."""
    from gair_search.encoder.models import resolve
    from gair_search.generation.export import export as export_pipeline

    written = export_pipeline(resolve(name), folder.expanduser().absolute())
    if as_json:
        output.print_json({"model": name, "folder": str(written)})
    else:
        typer.echo(f"the generator of {name} is at {written}")
        typer.echo(f"load it with: diffusers.StableDiffusionPipeline.from_pretrained({str(written)!r})")
