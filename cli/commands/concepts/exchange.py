"""`gair concepts import` and `export`: custom tokens from files of other programs, and to them."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import options, output
from gair_search.cli.commands.concepts.listing import Name


class Format(StrEnum):
    """Whose file `export` writes."""

    diffusers = "diffusers"
    webui = "webui"


def import_concept(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .safetensors, .pt or .bin of diffusers, a web UI or gair."),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What to call the concept. [default: as the file says]"),
    ] = None,
    parent: options.Parent = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model that it is for, as `gair query --model` takes it. "
            "[default: GAIR_MODEL, else the best on this machine]",
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Bring in a custom token from a file. Nothing in the file is ever run."""
    options.ignore_warnings()
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
        output.print_json({**facts, "file": str(written), "text_tower_stated": stated, "note": note})
        return
    typer.echo(f"<{token.name}> is here: {count} vector{'s' * (count != 1)}, for {spec.name}")
    if note:
        output.print_note(note)
    typer.echo(f"search with it: gair query 'a photo of a <{token.name}>'")


def export(
    name: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write: .safetensors, for webui also .pt.")
    ],
    layout: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Which program's format to write. [default: webui for a .pt, else diffusers]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write a custom token as a file for diffusers or a Stable Diffusion web UI."""
    from gair_search.tokens.formats import write_token
    from gair_search.tokens.store import TokenStore

    token = TokenStore().get(name)
    target = file.expanduser().absolute()
    written = write_token(token, target, layout.value if layout else None, overwrite=force)
    if as_json:
        output.print_json({"concept": name, "file": str(target), "format": written})
        return
    typer.echo(f"<{name}> is at {target}")
    if written == "diffusers":
        typer.echo(
            f"load it with: pipe.load_textual_inversion({str(target)!r}), and write <{name}> in prompts"
        )
    else:
        typer.echo(f"put it in the web UI's folder embeddings, and write {target.stem} in prompts")
