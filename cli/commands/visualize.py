"""`gair visualize`: what a prompt looks like."""

from pathlib import Path
from typing import Annotated

import typer

from gair_search.cli import options
from gair_search.cli.output import print_candidates, print_json
from gair_search.cli.progress import progress_bar


def visualize(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT", help="The prompt, quoted, as for `gair query`; @FILE and - read it."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Where to write the grid: .png, .jpg or .webp."),
    ] = Path("grid.png"),
    mixing_weight: options.MixingWeight = None,
    candidates: options.Candidates = None,
    concept: options.Concept = None,
    attributes: options.Attributes = None,
    concept_images: options.ConceptImages = None,
    seeds: options.Seeds = None,
    scheduler: options.Scheduler = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    generator: options.Generator = None,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Draw a prompt, at several mixing weights of its concept.

    Each column is a mixing weight: 1 is the prompt as it is, at 0 attributes stand in the concept's place. The
    marked one does best in the worse of its two scores, and is what `gair query --gair` searches with.
    """
    from gair_search.cli.pages.grid import picture_format, write_grid

    picture_format(output)  # said before anything is drawn
    text = options.read_prompt(prompt)
    config = options.gair_config(
        mixing_weight, candidates, seeds, scheduler, steps, guidance, attributes, concept_images
    )
    with (
        options.open_engine(model, gallery, db, url, device, generator) as engine,
        progress_bar("drawing", keep=False) as on_progress,
    ):
        result = engine.visualize(text, config, concept=concept, on_progress=on_progress)
    write_grid(output.expanduser(), result)
    if as_json:
        print_json({"prompt": text, "model": engine.model, "grid": str(output), **result.to_json()})
        return
    print_candidates(result)
    typer.echo(f"grid: {output}")
