"""`Parts`: what an engine has open. Each part is loaded when it is first asked for."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from gair_search.encoder import trust
from gair_search.encoder.identity import ModelSpec
from gair_search.errors import GalleryError, ModelError
from gair_search.gallery import Gallery, connect_collection, open_gallery
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.gallery.attached import AttachedGallery
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
        encoder: "Encoder | None" = None,
    ) -> None:
        """Put an engine together from its parts; `open` and `attach` do so from names."""
        self.spec, self.gallery, self.tokens = spec, gallery, tokens
        self.generator_source = generator
        self._device, self._start_fraction = device, start_fraction
        self._encoder = encoder
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
        collection: str | None = None,
        vector: str | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> Self:
        """Open a gallery with a model that is on this machine. Nothing is downloaded.

        Args:
            model: see `models.resolve`; by default as `trust.choose_model` says.
            gallery: the collection's name; `photos` unless given.
            db: folder of an embedded gallery. url, api_key: of a Qdrant server.
            collection, vector: a collection of the server that gair-search did not make, and its vector; see
                `attach`.
            device: `cpu`, `cuda`, `mps`; None takes the best there is.
            start_fraction: the part of the text tower's blocks, in 0..1, that SToRI leaves alone; by default the
                paper's 6 of 12.
            generator: folder or name of a generator for the model's text tower, see `Generator.load`; by default
                the model's own.

        Raises:
            ModelError: as `trust.choose_model`. GalleryError: what is missing, and how to get it.
        """
        if collection is not None:
            attached = connect_collection(collection, vector, url, api_key, gallery or db)
            return cls.attach_gallery(attached, model, None, device, start_fraction, generator)
        if vector is not None:
            raise GalleryError(
                f'vector "{vector}": galleries of our own have one vector; it goes with a collection'
            )
        opened = open_gallery(gallery, Path(db) if db else None, url, api_key)
        try:
            spec = trust.choose_model(model, opened.embedder, f"the gallery at {opened.name}")
            return cls(spec, opened, TokenStore(), device, start_fraction, generator)
        except BaseException:
            opened.close()
            raise

    @classmethod
    def attach(
        cls,
        client: Any,
        collection: str,
        model: "str | Encoder | None" = None,
        *,
        vector: str | None = None,
        tokens: TokenStore | File | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> Self:
        """Search a Qdrant collection that is already there, as it is.

        Nothing is written into it, save by `index_images` and `delete`. The client stays yours to close.

        >>> engine = Engine.attach(QdrantClient("http://localhost:6333"), "catalogue", model="ViT-B-32/openai")
        >>> hits = engine.search("a (red:1.3) dress", filter=models.Filter(...), group_by="product_id")

        Args:
            client: a `qdrant_client.QdrantClient`: of a server, a cluster, `:memory:` or a local path.
            collection: its name. Distance Cosine or Dot, any ids, any payload.
            model: which CLIP model made the vectors: a name as for `models.resolve`, or an `Encoder`. None where
                gair-search made the collection, or `GAIR_MODEL` says so.
            vector: name of the vector to search; None for the only one.
            tokens: a store of custom tokens, or its folder; by default the one under `GAIR_HOME`.
            device, start_fraction, generator: as for `open`.

        Raises:
            GalleryError: no such collection or vector, or another distance. EmbedderMismatchError: the model makes
                vectors of another length, or gair-search made the collection with another model.
            ModelError: no model is given, or it is not on this machine.
        """
        from gair_search.gallery.attached import AttachedGallery

        gallery = AttachedGallery(client, collection, vector)
        return cls.attach_gallery(gallery, model, tokens, device, start_fraction, generator)

    @classmethod
    def attach_gallery(
        cls,
        gallery: "AttachedGallery",
        model: "str | Encoder | None",
        tokens: TokenStore | File | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
        generator: File | None = None,
    ) -> Self:
        """`attach` to a gallery that is open; arguments and errors as there."""
        encoder = None if model is None or isinstance(model, str) else model
        if encoder is not None:
            if not hasattr(encoder, "spec"):
                raise ModelError(
                    f"model: expected a name or an Encoder, not {type(encoder).__name__}; Encoder.from_open_clip makes "
                    f"one of what open_clip gives"
                )
            spec = encoder.spec
        elif model is None and gallery.embedder is None and not os.environ.get("GAIR_MODEL"):
            raise ModelError(
                f"{gallery.name} does not say which model made its vectors: name the model, or set GAIR_MODEL"
            )
        else:
            spec = trust.choose_model(cast("str | None", model), gallery.embedder, gallery.name)
        gallery.require_dim(spec.name, spec.embed_dim)
        store = (
            tokens if isinstance(tokens, TokenStore) else TokenStore(None if tokens is None else Path(tokens))
        )
        engine = cls(spec, gallery, store, device, start_fraction, generator, encoder)
        engine._checked = gallery.embedder is None  # then there is nothing to compare but the length
        return engine

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
            **self.gallery.facts(),
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
