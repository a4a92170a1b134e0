"""The page of prompts shaded by token weight, by class."""

from collections.abc import Sequence
from pathlib import Path

from gair_search.cli.pages.html import photo_urls, write_page
from gair_search.cli.pages.shading import ShadedGroup

_SIDE = 168
_PICTURES = 4


def write_explanation(file: Path, title: str, lines: Sequence[str], groups: Sequence[ShadedGroup]) -> None:
    """Write the page.

    Args:
        lines: what stands below the title.
        groups: classes with their prompts; the first pictures of each are shown.

    Raises:
        GairError: the file can't be written.
    """
    articles = [
        {
            "name": group.name,
            "images": len(group.images),
            "prompts": group.prompts,
            "pictures": photo_urls(group.images[:_PICTURES], _SIDE),
        }
        for group in groups
    ]
    write_page(file, "explanation.html.j2", title=title, lines=lines, groups=articles)
