"""`gair index`: folders into a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gair_search.cli import common

if TYPE_CHECKING:
    from gair_search.indexer.index import IndexReport


def index(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders, or single images.")],
    prune: Annotated[bool, typer.Option("--prune", help="Drop images whose files are gone.")] = False,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, max=256, help="Decoding processes. [default: by cores]")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images embedded at once.")] = 32,
    shards: Annotated[int | None, typer.Option(min=1, help="New gallery: shards (server).")] = None,
    replication: Annotated[int | None, typer.Option(min=1, help="New gallery: replicas (server).")] = None,
    hnsw_m: Annotated[int | None, typer.Option(min=0, help="New gallery: degree of the HNSW graph.")] = None,
    hnsw_ef_construct: Annotated[
        int | None, typer.Option(min=4, help="New gallery: effort of building it.")
    ] = None,
    quantization: Annotated[
        Literal["scalar", "binary"] | None, typer.Option(help="New gallery: compressed first pass.")
    ] = None,
    on_disk: Annotated[
        bool | None, typer.Option("--on-disk", help="New gallery: vectors on disk (server).")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Bring a gallery up to date with folders of images.

    Only new and changed files are read; renamed and duplicate ones reuse their vectors. It can be stopped
    at any moment and goes on where it was.
    """
    from gair_search.gallery import GalleryConfig

    config = GalleryConfig(shards, replication, hnsw_m, hnsw_ef_construct, quantization, on_disk)
    with common.open_engine(model, gallery, db, url, device) as engine:
        with common.progress(as_json) as progress:
            task = progress.add_task("indexing", total=None, note="")

            def advance(done: int, total: int, note: str = "") -> None:
                speed = progress.tasks[0].speed
                progress.update(
                    task, completed=done, total=total, note=f"{speed:.1f} images/s" if speed else ""
                )

            report = engine.index(
                *folders,
                prune=prune,
                config=config,
                batch_size=batch_size,
                workers=workers,
                on_progress=advance,
            )
        name, device = engine.gallery.name, engine.device
    if as_json:
        common.print_json({"gallery": name, "model": engine.model, "device": device, **report.to_json()})
    else:
        _print_report(report, name, device)
    if report.skipped:
        raise typer.Exit(common.EXIT_SKIPPED)


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
    common.print_skipped(report.skipped)
    if report.gone:
        typer.echo(f"{report.gone} images in the gallery have no file any more; --prune drops them")
    typer.echo(f"the gallery at {gallery} holds {report.total} images")
