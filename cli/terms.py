"""`--plus` and `--minus` as they are typed: the one place where a string may name a file."""

import re
from collections.abc import Sequence
from pathlib import Path

from gair_search.cli.output import print_note, printable
from gair_search.errors import PromptError
from gair_search.images.folders import has_image_suffix
from gair_search.query.terms import Image, Term, Text

_FACTOR = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*:\s*(?=\S)")
_PATH_BEGINNINGS = ("./", "../", "/", "~/")


def typed_terms(typed: Sequence[str] | None, option: str) -> list[Term]:
    """Terms from the command line; what is taken for an image is said on standard error.

    A text is an image's path where it begins as one (`./photo`), ends as one (`photo.jpg`) or names a file.

    Args:
        typed: each `[FACTOR:]TEXT` or `[FACTOR:]IMAGE`.
        option: `--plus` or `--minus`, for messages.

    Raises:
        PromptError: a negative factor.
    """
    terms: list[Term] = []
    for one in typed or ():
        factor, text = split_factor(one)
        if _names_image(text):
            print_note(f"{option} {printable(text)} is read as an image")
            terms.append(Image(Path(text).expanduser(), factor))
        else:
            terms.append(Text(text, factor))
    return terms


def _names_image(text: str) -> bool:
    """Whether a text is taken for the path of an image."""
    if text.startswith(_PATH_BEGINNINGS) or has_image_suffix(text):
        return True
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or a zero byte
        return False


def split_factor(term: str) -> tuple[float, str]:
    """`2.0:a beach` -> (2.0, "a beach"); 1.0 without a number. Raises PromptError on a negative one."""
    match = _FACTOR.match(term)
    if match is None:
        return 1.0, term
    if float(match[1]) < 0:
        raise PromptError(
            f"factor {match[1]}: factors are >= 0; use --minus to subtract", term, match.start(1)
        )
    return float(match[1]), term[match.end() :]
