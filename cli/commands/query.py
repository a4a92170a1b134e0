"""`gair query`: words into hits."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gair_search.cli import common
from gair_search.errors import GairError

if TYPE_CHECKING:
    from gair_search.gair.drawing import GairResult


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
    concept: common.Concept = None,
    where: common.Where = None,
    min_score: common.MinScore = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how the prompt was read: tokens and their weights.")
    ] = False,
    gair: Annotated[
        str | None,
        typer.Option(
            "--gair",
            metavar="[=auto]",
            help="Select the concept's mixing weight by what is drawn; with =auto search plainly where that can't be.",
        ),
    ] = None,
    w: common.MixingWeight = None,
    candidates: common.Candidates = None,
    attributes: common.Attributes = None,
    concept_images: common.ConceptImages = None,
    seeds: common.Seeds = None,
    scheduler: common.Scheduler = None,
    steps: common.Steps = None,
    guidance: common.Guidance = None,
    generator: common.Generator = None,
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
    if gair not in (None, "yes", "auto"):
        raise typer.BadParameter(f"--gair={gair}: expected --gair or --gair=auto")
    only = {
        "--candidates": candidates,
        "--concept-image": concept_images,
        "--seeds": seeds,
        "--scheduler": scheduler,
        "--steps": steps,
        "--guidance": guidance,
    }
    if gair is None and (idle := [name for name, value in only.items() if value not in (None, [])]):
        raise typer.BadParameter(f"{idle[0]} says how images are drawn, and without --gair there are none")
    text = common.read_prompt(prompt)
    terms: dict[str, Any] = {"plus": plus or (), "minus": minus or (), "concept": concept}
    seen: GairResult | None = None
    failed: str | None = None
    with common.open_engine(model, gallery, db, url, device, generator) as engine:
        engine.check()
        if gair:
            from gair_search.gallery import parse_where

            parse_where(where)  # a slip there is told before anything is drawn
            options = common.gair_options(
                w, candidates, seeds, scheduler, steps, guidance, attributes, concept_images
            )
            try:
                with common.counting("drawing", transient=True) as progress:
                    seen = engine.gair(text, options, **terms, on_progress=progress)
            except GairError as error:
                if gair != "auto":
                    raise
                failed = f"searched without GAIR: {error}"
        if seen:
            compiled = seen.query
        else:
            by_hand: dict[str, Any] = {} if failed else {"w": w, "attributes": common.words(attributes)}
            compiled = engine.compile(text, **terms, **by_hand)
        hits = engine.search(compiled, k, where=where, min_score=min_score)
        name = engine.gallery.name
    if html:
        from gair_search.cli.pages.page import write_page

        write_page(html, hits, engine.model, name, query=compiled, seen=seen, note=failed)
    if as_json:
        explanation = {"explanation": compiled.explanation()} if explain else {}
        mixed: dict[str, Any] = {} if w is None else {"selected_weight": w}
        if failed:
            mixed = {"selected_weight": None, "warnings": [failed]}
        elif seen:
            mixed = seen.to_json()
        common.print_json(
            {
                "prompt": text,
                "model": engine.model,
                "gallery": name,
                "hits": [hit.to_json() for hit in hits],
                **mixed,
                **explanation,
            }
        )
        return
    if seen:
        common.print_candidates(seen)
    if failed:
        common.note(failed)
    if explain:
        common.print_explanation(compiled)
    common.print_hits(hits)
    if html:
        typer.echo(f"page: {html}")
