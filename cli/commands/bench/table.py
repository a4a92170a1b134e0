"""What every table's command does: load a model, and print and write the report."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gair_search.cli import output
from gair_search.cli.options import ignore_warnings

if TYPE_CHECKING:
    from gair_search.benchmarks.harness.report import Report
    from gair_search.encoder.clip import Encoder


def load_encoder(model: str | None, device: str | None, start_fraction: float | None = None) -> "Encoder":
    """The model by its name, and no gallery: these tables make their own."""
    import os

    ignore_warnings()
    from gair_search.encoder.clip import Encoder
    from gair_search.encoder.models import default_model, resolve

    spec = resolve(model or os.environ.get("GAIR_MODEL") or default_model())
    typer.secho(f"model: {spec.name}", fg="bright_black", err=True)
    return Encoder(spec, device, start_fraction)


def print_report(report: "Report", out: Path | None, save_run: Path | None, as_json: bool) -> None:
    """Write what was asked for, then print tables for people or one JSON object."""
    files = (report.save(out) if out else []) + (report.save_runs(save_run) if save_run else [])
    if as_json:
        output.print_json(report.to_json() | {"files": [str(file) for file in files]})
        return
    typer.echo("\n".join(table.markdown() for table in report.tables))
    for file in files:
        typer.echo(f"written: {file}")
