"""`gair visualize`: what a prompt looks like."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import common


def visualize(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="As for `gair query`; @FILE or - reads it.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write the pictures, as one.")
    ] = Path("grid.png"),
    w: common.MixingWeight = None,
    candidates: common.Candidates = None,
    concept: common.Concept = None,
    attributes: common.Attributes = None,
    concept_images: common.ConceptImages = None,
    seeds: common.Seeds = None,
    scheduler: common.Scheduler = None,
    steps: common.Steps = None,
    guidance: common.Guidance = None,
    generator: common.Generator = None,
    model: common.Model = None,
    gallery: common.GalleryName = None,
    db: common.Db = None,
    url: common.Url = None,
    device: common.Device = None,
    as_json: common.Json = False,
) -> None:
    """Draw a prompt, at several shares of its concept.

    Each column is a mixing weight: 1 is the prompt as it is, at 0 attributes stand in the concept's place. The
    marked one does best in the worse of its two scores, and is what `gair query --gair` searches with.
    """
    from gair_search.cli.pages.grid import picture_format, write_grid

    picture_format(output)  # told before anything is drawn
    text = common.read_prompt(prompt)
    options = common.gair_options(
        w, candidates, seeds, scheduler, steps, guidance, attributes, concept_images
    )
    with (
        common.open_engine(model, gallery, db, url, device, generator) as engine,
        common.counting("drawing", transient=True) as progress,
    ):
        seen = engine.visualize(text, options, concept=concept, on_progress=progress)
    write_grid(output.expanduser(), seen)
    if as_json:
        common.print_json({"prompt": text, "model": engine.model, "grid": str(output), **seen.to_json()})
        return
    common.print_candidates(seen)
    typer.echo(f"grid: {output}")
