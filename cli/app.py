"""The commands of `gair`, and what becomes of errors."""

import json
import sys
from typing import Annotated, Any

import typer

from gair_search import __version__
from gair_search.cli.commands import (
    bench,
    concepts,
    explain,
    index,
    learn,
    models,
    query,
    similar,
    status,
    visualize,
)
from gair_search.cli.output import StoppedError
from gair_search.errors import GairError

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="gair",
    help="Search your own images by words. Exit codes: 0 done, 1 error, 2 usage, 3 some files were skipped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its import would double the time of `gair --help`
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(index.index)
app.command()(learn.learn)
app.command()(query.query)
app.command()(similar.similar)
app.command()(visualize.visualize)
app.command()(explain.explain)
app.command()(status.status)
app.add_typer(models.app, name="models")
app.add_typer(concepts.app, name="concepts")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gair-search {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run `gair`; every error becomes one message and an exit code."""
    as_json = "--json" in sys.argv[1:]
    try:
        code = app(_arguments(), standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
    except GairError as error:
        _report(type(error).__name__, str(error), as_json)
        code = EXIT_ERROR
    except StoppedError as outcome:
        _report("Interrupted", f"stopped; {outcome}", as_json)
        code = EXIT_INTERRUPTED
    except (typer.Abort, KeyboardInterrupt):
        _report("Interrupted", "stopped", as_json)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as in `gair query ... | head`
        code = EXIT_ERROR
    except Exception as error:
        usage: Any = error  # typer's usage errors, whose class is not public
        if not hasattr(usage, "format_message"):
            raise
        if as_json:
            _report("UsageError", usage.format_message(), as_json)
        else:
            usage.show()
        code = EXIT_USAGE
    sys.exit(code if isinstance(code, int) else 0)


def _arguments() -> list[str]:
    """The arguments as typed, the `--gair` of `gair query` spelled out: typer knows no option of optional value."""
    typed = sys.argv[1:]
    if "query" not in typed[:1]:
        return typed
    options = typed.index("--") if "--" in typed else len(typed)
    return ["--gair=yes" if word == "--gair" else word for word in typed[:options]] + typed[options:]


def _report(kind: str, message: str, as_json: bool) -> None:
    """An error for a program on standard output, or for a person on standard error."""
    if as_json:
        typer.echo(json.dumps({"error": {"type": kind, "message": message}}, ensure_ascii=False))
    else:
        typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(message, err=True)


if __name__ == "__main__":
    main()
