"""The custom tokens of a user: a folder of safetensors files."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from gair_search import paths
from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken


class TokenStore:
    """Custom tokens by name, under `GAIR_HOME/tokens` or a folder of your own."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or paths.home() / "tokens"

    def names(self) -> list[str]:
        """The names of all stored concepts, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.safetensors"))

    def __iter__(self) -> Iterator[CustomToken]:
        return (self.get(name) for name in self.names())

    def get(self, name: str) -> CustomToken:
        """The token of a concept.

        Raises:
            ConceptError: unknown (with the nearest names), or its file is damaged.
        """
        names = self.names()
        if name in names:
            return CustomToken.load(self.folder / f"{name}.safetensors")
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:5]
        hint = f"did you mean {' or '.join(f'<{n}>' for n in near)}?" if near else "none is learned yet"
        raise ConceptError(f"unknown concept <{name}>; {hint}")

    def active(self, chosen: str | None = None) -> CustomToken:
        """The concept that `*` stands for: the chosen one, else the only one there is.

        Raises:
            ConceptError: none learned, or several and none chosen.
        """
        if chosen is not None:
            return self.get(chosen)
        names = self.names()
        if len(names) == 1:
            return self.get(names[0])
        if names:
            raise ConceptError(
                f"* could be any of {', '.join(f'<{n}>' for n in names)}; choose with --concept NAME, "
                f"or write the name in the prompt"
            )
        raise ConceptError(
            "* stands for a learned concept, and none is learned yet; write \\* for the character"
        )

    def save(self, token: CustomToken) -> Path:
        """Store a token, replacing one of the same name. Returns its file."""
        path = self.folder / f"{token.name}.safetensors"
        token.save(path)
        return path

    def remove(self, name: str) -> None:
        """Forget a concept, damaged or not. Raises ConceptError where it is unknown."""
        if name not in self.names():
            self.get(name)
        (self.folder / f"{name}.safetensors").unlink()
