"""`gair query`: words into hits."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from gair_search.cli import common

from gair_search.errors import PromptError

if TYPE_CHECKING:
    from gair_search.compiler import Query


def query(
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="The query, quoted; @FILE or - read it from a file or stdin."),
    ],
    k: common.K = 10,
    plus: Annotated[
        list[str] | None,
        typer.Option("--plus", metavar="TEXT|IMAGE", help="Add a whole query; '2.0:a beach' for a factor."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", metavar="TEXT|IMAGE", help="Subtract a whole query.")
    ] = None,
    concept: Annotated[
        str | None, typer.Option("--concept", metavar="NAME", help="The custom token that * stands for.")
    ] = None,
    where: common.Where = None,
    min_score: common.MinScore = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how the prompt was read: tokens and their weights.")
    ] = False,
    html: common.Html = None,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    as_json: common.Json = False,
) -> None:
    """Find the images that fit a prompt.

    (word:1.5) weighs words up, [word] down, <name> or * is a custom token:

    gair query 'a * dress on a (brick wall:1.5)'
    """
    text = _read(prompt)
    with common.open_engine(model, gallery, db, url, device) as engine:
        engine.check()
        compiled = engine.compile(text, plus=plus or (), minus=minus or (), concept=concept)
        hits = engine.search(compiled, k, where=where, min_score=min_score)
        name = engine.gallery.name
    if html:
        from gair_search.cli.page import write_page

        write_page(html, hits, engine.model, name, query=compiled)
    if as_json:
        explanation = {"explanation": compiled.explanation()} if explain else {}
        common.print_json(
            {
                "prompt": text,
                "model": engine.model,
                "gallery": name,
                "hits": [hit.to_json() for hit in hits],
                **explanation,
            }
        )
        return
    if explain:
        _explain(compiled)
    common.print_hits(hits)
    if html:
        typer.echo(f"page: {html}")


def _read(prompt: str) -> str:
    """The prompt itself, or what `@FILE` and `-` point to. Raises PromptError where that can't be read."""
    try:
        if prompt == "-":
            return sys.stdin.read().strip()
        if prompt.startswith("@"):
            return Path(prompt[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the prompt can't be read from {prompt}: {error}", prompt) from error
    return prompt


def _explain(compiled: "Query") -> None:
    """Each token, its weight and its piece of the prompt."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("token", "weight", "from"):
        table.add_column(column, justify="right" if column == "weight" else "left")
    for token in compiled.tokens:
        piece = compiled.prompt[token.start : token.end].strip()
        style = "bold" if token.weight > 1 else "dim" if token.weight < 1 else ""
        table.add_row(token.text, f"{token.weight:.2f}", piece, style=style)
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    for factor, what in compiled.terms[1:]:
        console.print(f"{factor:+.2f} x {what}")
    console.print()
