"""`gair bench`: the papers' tables, one command each."""

import typer

from gair_search.cli.commands.bench import (
    fewshot,
    generation,
    preference,
    recognition,
    reproduce,
    retrieval,
    speed,
)
from gair_search.cli.output import if_interrupted

app = typer.Typer(
    help="Measure as the papers do, and print their numbers beside ours.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for _table in (
    preference.preference,
    retrieval.retrieval,
    recognition.recognition,
    generation.generation,
    fewshot.fewshot,
    reproduce.reproduce,
):
    app.command()(if_interrupted("finished parts are kept, and the same command goes on from there")(_table))
app.command()(speed.speed)
