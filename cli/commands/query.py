"""`gair query`: words into hits."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gair_search.cli import options, output
from gair_search.cli.progress import progress_bar
from gair_search.errors import GairError

if TYPE_CHECKING:
    from gair_search.gair.result import GairResult
    from gair_search.gallery import SearchOptions

_DRAWING_OPTIONS = ("--candidates", "--concept-image", "--seeds", "--scheduler", "--steps", "--guidance")


def query(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT", help="The query, quoted; @FILE reads it from a file, - from standard input."
        ),
    ],
    k: options.K = 10,
    plus: Annotated[
        list[str] | None,
        typer.Option(
            "--plus",
            metavar="TEXT|IMAGE",
            help="Add a whole query, a text or an image; '2.0:a beach' gives it a factor. May be repeated.",
        ),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option("--minus", metavar="TEXT|IMAGE", help="Subtract a whole query, as --plus adds one."),
    ] = None,
    concept: options.Concept = None,
    where: options.Where = None,
    min_score: options.MinScore = None,
    offset: options.Offset = 0,
    group_by: options.GroupBy = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how the prompt was read: tokens and their weights.")
    ] = False,
    gair: Annotated[
        str | None,
        typer.Option(
            "--gair",
            metavar="[=auto]",
            help="Draw the prompt to select the concept's mixing weight; with =auto "
            "search plainly where that can't be.",
        ),
    ] = None,
    mixing_weight: options.MixingWeight = None,
    candidates: options.Candidates = None,
    attributes: options.Attributes = None,
    concept_images: options.ConceptImages = None,
    seeds: options.Seeds = None,
    scheduler: options.Scheduler = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    generator: options.Generator = None,
    html: options.Html = None,
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    collection: options.Collection = None,
    vector: options.VectorName = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Find the images that fit a prompt.

    (word:1.5) weighs words up, [word] down, <name> or * is a custom token:

    gair query 'a * dress on a (brick wall:1.5)'
    """
    if gair not in (None, "yes", "auto"):
        raise typer.BadParameter(f"--gair={gair}: expected --gair or --gair=auto")
    if gair is None:
        drawing = (candidates, concept_images, seeds, scheduler, steps, guidance)
        _refuse_drawing_options(dict(zip(_DRAWING_OPTIONS, drawing, strict=True)))
    text = options.read_prompt(prompt)
    terms: dict[str, Any] = {**options.read_terms(plus, minus), "concept": concept}
    result: GairResult | None = None
    note: str | None = None
    by_hand: dict[str, Any] = {"mixing_weight": mixing_weight, "attributes": options.split_list(attributes)}
    with options.open_engine(model, gallery, db, url, device, generator, collection, vector) as engine:
        engine.check()
        if gair:
            engine.gallery.read_where(where)  # a slip there is said before anything is drawn
            config = options.gair_config(
                mixing_weight, candidates, seeds, scheduler, steps, guidance, attributes, concept_images
            )
            try:
                with progress_bar("drawing", keep=False) as on_progress:
                    result = engine.gair(text, config, **terms, on_progress=on_progress)
            except GairError as error:
                if gair != "auto":
                    raise
                note, by_hand = f"searched without GAIR: {error}", {}
        compiled = result.query if result else None
        if compiled is None and (explain or html or by_hand.get("mixing_weight") is not None):
            compiled = engine.compile(text, **terms, **by_hand)
        found: SearchOptions = {
            "where": where,
            "min_score": min_score,
            "offset": offset,
            "group_by": group_by,
        }
        hits = engine.search(compiled or text, k, **found, **terms)
        name = engine.gallery.name
    if html:
        from gair_search.cli.pages.hits import write_hits

        write_hits(html, hits, engine.model, name, query=compiled, result=result, note=note)
    if as_json:
        answer = {"prompt": text, "model": engine.model, "gallery": name}
        listed = {"hits": [hit.to_json() for hit in hits]}
        explanation = {"explanation": compiled.explanation()} if explain and compiled else {}
        output.print_json({**answer, **listed, **_mixing(mixing_weight, result, note), **explanation})
        return
    if result:
        output.print_candidates(result)
    if note:
        output.print_note(note)
    if explain and compiled:
        output.print_explanation(compiled)
    output.print_hits(hits)
    if html:
        typer.echo(f"page: {html}")


def _refuse_drawing_options(typed: dict[str, object]) -> None:
    """Raises typer.BadParameter where an option of drawing was typed, and nothing is drawn."""
    idle = [name for name, value in typed.items() if value not in (None, [])]
    if idle:
        raise typer.BadParameter(f"{idle[0]} says how images are drawn, and without --gair there are none")


def _mixing(mixing_weight: float | None, result: "GairResult | None", note: str | None) -> dict[str, Any]:
    """What --json says of the mixing weight: GAIR's, the one by hand, or why there is none."""
    if result:
        return result.to_json()
    if note:
        return {"selected_weight": None, "warnings": [note]}
    return {} if mixing_weight is None else {"selected_weight": mixing_weight}
