"""`gair status`: what there is."""

import typer

from gair_search.cli import options, output


def status(
    model: options.Model = None,
    gallery: options.GalleryName = None,
    db: options.Db = None,
    url: options.Url = None,
    collection: options.Collection = None,
    vector: options.VectorName = None,
    as_json: options.Json = False,
) -> None:
    """Show the model, the gallery and the custom tokens; * in a prompt stands for the active one."""
    with options.open_engine(model, gallery, db, url, None, collection=collection, vector=vector) as engine:
        facts = engine.status()
    if as_json:
        output.print_json(facts)
        return
    embedder, layout = facts["embedder"], facts.get("collection")
    typer.echo(f"gallery   {facts['gallery']}: {facts['images']} {'points' if layout else 'images'}")
    if layout:
        named = f"vector {layout['vector']}" if layout["vector"] else "its only vector"
        typer.echo(f"          attached; {named}, {layout['dim']} dimensions, {layout['distance']}")
    elif embedder is None:
        typer.echo("          not made yet; make it with: gair index FOLDER")
    else:
        typer.echo(f"          made with {embedder['name']}, {embedder['dim']} dimensions")
    typer.echo(f"model     {facts['model']}")
    if facts["fits"] is False:
        typer.secho(f"          does not fit the gallery; use --model {embedder['name']}", fg="yellow")
    concepts = [f"<{name}>{' (active)' if name == facts['active'] else ''}" for name in facts["concepts"]]
    typer.echo(f"concepts  {', '.join(concepts) or 'none learned'}")
