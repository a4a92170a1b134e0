"""`gair index`: folders into a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gair_search.cli import options, output
from gair_search.cli.progress import progress_bar

if TYPE_CHECKING:
    from gair_search.indexer.index import IndexReport


@output.if_interrupted("what was stored is kept, and the same command goes on from there")
def index(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Folders of images, or single images.")
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop images from the gallery whose files are gone.")
    ] = False,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    device: options.Device = None,
    workers: options.Workers = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, metavar="N", help="Number of images embedded at once.")
    ] = 32,
    shards: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards of a new gallery on a server.")
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of replicas of a new gallery on a server.")
    ] = None,
    hnsw_m: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Degree of a new gallery's HNSW graph.")
    ] = None,
    hnsw_ef_construct: Annotated[
        int | None, typer.Option(min=4, metavar="N", help="Effort of building a new gallery's HNSW graph.")
    ] = None,
    quantization: Annotated[
        Literal["scalar", "binary"] | None,
        typer.Option(help="Search a new gallery's compressed vectors first, and how they are compressed."),
    ] = None,
    on_disk: Annotated[
        bool | None, typer.Option("--on-disk", help="Keep a new gallery's vectors on the server's disk.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Bring a gallery up to date with folders of images.

    Only new and changed files are read; renamed and duplicate ones reuse their vectors. It can be stopped
    at any moment and goes on where it was.
    """
    from gair_search.gallery import GalleryConfig

    config = GalleryConfig(shards, replication, hnsw_m, hnsw_ef_construct, quantization, on_disk)
    with options.open_engine(model, gallery, db, url, device) as engine:
        with progress_bar("indexing", quiet=as_json, unit="images") as on_progress:
            report = engine.index(
                *folders,
                prune=prune,
                config=config,
                batch_size=batch_size,
                workers=workers,
                on_progress=on_progress,
            )
        name, device = engine.gallery.name, engine.device
    if as_json:
        output.print_json({"gallery": name, "model": engine.model, "device": device, **report.to_json()})
    else:
        _print_report(report, name, device)
    if report.skipped:
        raise typer.Exit(output.EXIT_SKIPPED)


def _print_report(report: "IndexReport", gallery: str, device: str | None) -> None:
    """The report for people: what was done, then every file that was skipped, with its reason."""
    counts = {
        "embedded": report.embedded,
        "reused": report.reused,
        "unchanged": report.unchanged,
        "moved": report.moved,
        "pruned": report.pruned,
        "skipped": len(report.skipped),
    }
    done = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing to do"
    where = f" on {device}" if device else ""
    typer.echo(f"{report.found} images found: {done} ({report.seconds:.1f} s{where})")
    output.print_skipped(report.skipped)
    if report.gone:
        typer.echo(f"{report.gone} images in the gallery have no file any more; --prune drops them")
    typer.echo(f"the gallery at {gallery} holds {report.total} images")
