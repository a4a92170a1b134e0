"""The custom tokens of a user: a folder of safetensors files."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gair_search import paths
from gair_search.errors import ConceptError
from gair_search.tokens.custom_token import CustomToken, require_name


class TokenStore:
    """Custom tokens by name, under `GAIR_HOME/tokens` or a folder of your own.

    A token is known by its file's name, so that files may be copied in and renamed by hand.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or paths.home() / "tokens"

    def path(self, name: str) -> Path:
        """The file of a concept, there or not."""
        return self.folder / f"{name}.safetensors"

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
        self.require(name)
        return replace(CustomToken.load(self.path(name)), name=name)

    @property
    def chosen(self) -> str | None:
        """The concept that `use` chose, while it is there."""
        try:
            name = (self.folder / "active").read_text("utf-8").strip()
        except (OSError, ValueError):
            return None
        return name if name in self.names() else None

    @property
    def active_name(self) -> str | None:
        """Name of the concept that `*` stands for, None where nothing says which."""
        names = self.names()
        return self.chosen or (names[0] if len(names) == 1 else None)

    def active(self, chosen: str | None = None) -> CustomToken:
        """The concept that `*` stands for: `chosen`, else the one that `use` chose, else the only one.

        Raises:
            ConceptError: there is none, or there are several and none is chosen.
        """
        return self.get(self.require_active(chosen))

    def require_active(self, chosen: str | None = None) -> str:
        """Name of the concept that `*` stands for. Raises as `active`."""
        if (name := chosen or self.active_name) is not None:
            return name
        if names := self.names():
            raise ConceptError(
                f"* could be any of {', '.join(f'<{n}>' for n in names)}; choose with --concept NAME or "
                f"gair concepts use NAME, or write the name in the prompt"
            )
        raise ConceptError(
            "* stands for a custom token, and there is none yet: gair learn NAME PHOTO... --parent WORD learns one, "
            "gair concepts import FILE brings one in; write \\* for the character"
        )

    def use(self, name: str) -> None:
        """Make a concept the active one, which `*` stands for.

        Raises:
            ConceptError: unknown, damaged, or the choice can't be written.
        """
        self.get(name)
        try:
            paths.write_atomically(self.folder / "active", f"{name}\n".encode())
        except OSError as error:
            raise ConceptError(f"{self.folder} can't be written: {error.strerror or error}") from error

    def save(self, token: CustomToken, overwrite: bool = True) -> Path:
        """Store a token. Returns its file.

        Raises:
            ConceptError: there is one of this name and it is not to be overwritten; it can't be written.
        """
        if not overwrite:
            self.require_free(token.name)
        path = self.path(token.name)
        try:
            token.save(path)
        except OSError as error:
            raise ConceptError(f"{path} can't be written: {error.strerror or error}") from error
        return path

    def require_free(self, name: str) -> None:
        """Raise ConceptError where a concept of this name is stored."""
        if name in self.names():
            raise ConceptError(
                f"there is a concept <{name}>; choose another --name, or replace it with --force"
            )

    def require_storable(self, name: str, overwrite: bool) -> None:
        """Raise ConceptError where `save` would refuse a token of this name, or no token can have it."""
        require_name(name)
        if not overwrite:
            self.require_free(name)

    def remove(self, *names: str) -> None:
        """Forget concepts, damaged or not; none of them where one is unknown.

        Raises:
            ConceptError: unknown (with the nearest names), or its file can't be removed.
        """
        self.require(*names)
        chosen = self.chosen
        for name in names:
            try:
                self.path(name).unlink(missing_ok=True)
                if name == chosen:  # else a later concept of this name would be active unasked
                    (self.folder / "active").unlink(missing_ok=True)
            except OSError as error:
                raise ConceptError(f"<{name}> can't be removed: {error.strerror or error}") from error

    def require(self, *names: str) -> None:
        """Raise ConceptError, with the nearest names, where a concept is unknown."""
        known = self.names()
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
                hint = (
                    "there is none yet: gair learn NAME PHOTO... --parent WORD learns one, "
                    "gair concepts import FILE brings one in"
                )
                if near:
                    hint = f"did you mean {' or '.join(f'<{n}>' for n in near)}?"
                raise ConceptError(f"unknown concept <{name}>; {hint}")


@dataclass(frozen=True)
class TokenLookup:
    """The concepts of one query, by name, and `*` for the active one: a file is read once, however often it is named.

    Attributes:
        store: where the concepts are.
        chosen: the concept that `*` stands for, see `TokenStore.active`.
    """

    store: TokenStore
    chosen: str | None = None
    _found: dict[str, CustomToken] = field(default_factory=dict, repr=False)

    def __call__(self, name: str) -> CustomToken:
        """The token of a name, or of `*`. Raises ConceptError as `TokenStore.get` and `active`."""
        if name == "*":
            name = self.store.require_active(self.chosen)
        if name not in self._found:
            self._found[name] = self.store.get(name)
        return self._found[name]
