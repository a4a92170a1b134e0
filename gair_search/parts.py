"""`Parts`: what an engine has open. Each part is loaded when it is first asked for."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gair_search.encoder import trust
from gair_search.encoder.identity import ModelSpec
from gair_search.gallery import Gallery, open_gallery
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.generation.generator import Generator

File = str | os.PathLike[str]
"""The path of a file or folder."""


class Parts:
    """A model, a gallery, the user's custom tokens, and what draws images.

    Attributes:
        spec: which model it is.
        gallery: the indexed images.
        tokens: the custom tokens.
        generator_source: folder or name of a generator that was chosen; None for the model's own.
    """

    def __init__(
        self,
        spec: ModelSpec,
        gallery: Gallery,
        tokens: TokenStore,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> None:
        """Put an engine together from its parts; `open` does so from names."""
        self.spec, self.gallery, self.tokens = spec, gallery, tokens
        self.generator_source = generator
        self._device, self._start_fraction = device, start_fraction
        self._encoder: Encoder | None = None
        self._generator: Generator | None = None
        self._checked = False
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        model: str | None = None,
        *,
        gallery: str | None = None,
        db: File | None = None,
        url: str | None = None,
        api_key: str | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> Self:
        """Open a gallery with a model that is on this machine. Nothing is downloaded.

        Args:
            model: see `models.resolve`; by default as `trust.choose_model` says.
            gallery: the collection's name; `photos` unless given.
            db: folder of an embedded gallery. url, api_key: of a Qdrant server.
            device: `cpu`, `cuda`, `mps`; None takes the best there is.
            start_fraction: the part of the text tower's blocks, in 0..1, that SToRI leaves alone; by default the
                paper's 6 of 12.
            generator: folder or name of a generator for the model's text tower, see `Generator.load`; by default
                the model's own.

        Raises:
            ModelError: as `trust.choose_model`. GalleryError: what is missing, and how to get it.
        """
        opened = open_gallery(gallery, Path(db) if db else None, url, api_key)
        try:
            spec = trust.choose_model(model, opened.embedder, f"the gallery at {opened.name}")
            return cls(spec, opened, TokenStore(), device, start_fraction, generator)
        except BaseException:
            opened.close()
            raise

    @property
    def model(self) -> str:
        """Name of the model in use."""
        return self.spec.name

    @property
    def encoder(self) -> "Encoder":
        """The frozen CLIP. torch is imported when this is first asked for: what needs no vector stays quick.

        Raises:
            ModelError: the device is not there.
        """
        with self._lock:
            if self._encoder is None:
                from gair_search.encoder.clip import Encoder

                self._encoder = Encoder(self.spec, self._device, self._start_fraction)
            return self._encoder

    @property
    def device(self) -> str | None:
        """Where the model runs; None while nothing has needed it."""
        return str(self._encoder.device) if self._encoder else None

    @property
    def generator(self) -> "Generator":
        """What draws the images.

        Raises:
            GeneratorError, ModelError: as `Generator.load`.
        """
        encoder, source = self.encoder, self.generator_source
        with self._lock:
            if self._generator is None:
                from gair_search.generation.generator import Generator

                self._generator = Generator.load(encoder, None if source is None else os.fspath(source))
            return self._generator

    def status(self) -> dict[str, Any]:
        """Model, gallery, embedder and counts, as JSON values; loads no tower."""
        stored = self.gallery.embedder
        return {
            "model": self.model,
            "gallery": self.gallery.name,
            "images": self.gallery.count(),
            "embedder": stored.to_metadata() if stored else None,
            "fits": stored.same_as(self.spec.embedder_id) if stored else None,
            "concepts": self.tokens.names(),
            "active": self.tokens.active_name,
        }

    def check(self) -> None:
        """Check once that the gallery is there and of this model. Raises as `Gallery.require`."""
        if not self._checked:
            self.gallery.require(self.spec.embedder_id)
            self._checked = True

    def close(self) -> None:
        """Release the gallery."""
        self.gallery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
