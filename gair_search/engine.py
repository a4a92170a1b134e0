"""`Engine`: the facade that search backends embed. It prints nothing and raises typed errors.

The facade stands above the rooms: it is the one module of `gair_search/` that may reach for the indexer
(when `index` is called, and no sooner).
"""

import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gair_search import models
from gair_search.errors import GairError, ModelError, PromptError
from gair_search.gallery import Gallery, GalleryOptions, Hit, Where, open_gallery, parse_where
from gair_search.image import SUFFIXES, load_pixels
from gair_search.models import EmbedderId, ModelSpec
from gair_search.prompt import parse
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.clip import Clip
    from gair_search.compiler import Query
    from gair_search.indexer.index import IndexReport


class Engine:
    """One model and one gallery. Safe to share between threads for searching; close it when done.

    >>> with Engine.open(db="./my-gallery") as engine:
    ...     engine.index("./photos")
    ...     hits = engine.search("a photo of a (red:1.3) dress", k=5)
    """

    def __init__(
        self,
        spec: ModelSpec,
        gallery: Gallery,
        tokens: TokenStore,
        device: str | None = None,
        start_fraction: float | None = None,
    ) -> None:
        """Put an engine together from its parts; `open` does so from names."""
        self.spec = spec
        self.gallery = gallery
        self.tokens = tokens
        self._device = device
        self._start_fraction = start_fraction
        self._clip: Clip | None = None
        self._checked = False
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        model: str | None = None,
        *,
        gallery: str | None = None,
        db: str | os.PathLike[str] | None = None,
        url: str | None = None,
        api_key: str | None = None,
        device: str | None = None,
        start_fraction: float | None = None,
    ) -> "Engine":
        """Open a gallery with a model that is on this machine. Nothing is downloaded.

        Args:
            model: see `models.resolve`. By default `GAIR_MODEL`, else the model that the gallery was made
                with, else the best one on this machine.
            gallery: the collection's name; `photos` unless given.
            db: folder of an embedded gallery. url, api_key: of a Qdrant server.
            device: `cpu`, `cuda`, `mps`; None takes the best there is.
            start_fraction: share of the text tower's blocks, in 0..1, that SToRI leaves alone; the paper's
                6 of 12 unless given.

        Raises:
            ModelError, GalleryError: what is missing, and how to get it.
        """
        opened = open_gallery(gallery, Path(db) if db else None, url, api_key)
        try:
            name = model or os.environ.get("GAIR_MODEL") or _model_of(opened) or models.default_model()
            return cls(models.resolve(name), opened, TokenStore(), device, start_fraction)
        except BaseException:
            opened.close()
            raise

    @property
    def model(self) -> str:
        """Name of the model in use."""
        return self.spec.name

    @property
    def clip(self) -> "Clip":
        """The model. torch is imported when this is first asked for: what needs no vector stays quick.

        Raises:
            ModelError: the device is not there.
        """
        with self._lock:
            if self._clip is None:
                from gair_search.clip import Clip

                self._clip = Clip(self.spec, self._device, self._start_fraction)
            return self._clip

    @property
    def device(self) -> str | None:
        """Where the model runs; None while nothing has needed it."""
        return str(self._clip.device) if self._clip else None

    def index(
        self,
        *folders: str | os.PathLike[str],
        prune: bool = False,
        options: GalleryOptions | None = None,
        batch_size: int = 32,
        workers: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "IndexReport":
        """Bring the gallery up to date with folders of images; see `indexer.index.index_folders`."""
        from gair_search.indexer.index import index_folders

        if self._device is not None:
            _ = self.clip  # a device that isn't there is told before a gallery is made
        paths = [Path(folder) for folder in folders]
        return index_folders(
            paths,
            self.spec,
            lambda pixels: self.clip.encode_images(pixels),
            self.gallery,
            prune=prune,
            options=options,
            batch_size=batch_size,
            workers=workers,
            on_progress=on_progress,
        )

    def compile(
        self,
        prompt: str,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
    ) -> "Query":
        """Compile a prompt into a query vector, with an explanation.

        Args:
            prompt: in the query language, see `prompt.parse`.
            plus, minus: whole queries that are added or subtracted: text, or the path of an image;
                `2.0:` in front gives a factor.
            concept: what `*` stands for.

        Raises:
            PromptError, ConceptError, ImageError, ModelError.
        """
        parse(prompt)  # a slip of the pen is told before torch is imported
        from gair_search.compiler import Query, combine, query_vector

        vector, tokens = query_vector(prompt, self.clip, self._lookup(concept))
        terms = [(1.0, prompt, vector)]
        for sign, others in ((1.0, plus), (-1.0, minus)):
            for other in others:
                factor, what = _factor(other)
                terms.append((sign * factor, what, self._features(what, concept)))
        mixed = (
            combine([(factor, features) for factor, _, features in terms], prompt)
            if len(terms) > 1
            else vector
        )
        return Query(prompt, mixed, tokens, tuple((factor, what) for factor, what, _ in terms))

    def search(
        self,
        prompt: "str | Query",
        k: int = 10,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """The `k` images that fit a prompt best, best first.

        Args:
            prompt, plus, minus, concept: as for `compile`; or a compiled query.
            where: filter on payload fields, see `gallery.where.parse_where`.
            min_score: lowest cosine similarity to return, in -1..1.

        Raises:
            as `compile`; FilterError; GalleryError; EmbedderMismatchError.
        """
        conditions = _conditions(k, where)
        self.check()
        query = (
            self.compile(prompt, plus=plus, minus=minus, concept=concept)
            if isinstance(prompt, str)
            else prompt
        )
        return self.gallery.search(query.vector, k, conditions, min_score)

    def similar(
        self,
        image: str | os.PathLike[str],
        k: int = 10,
        *,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """The `k` images most like an image file, which is itself left out. Raises ImageError, as `search`."""
        conditions = _conditions(k, where)
        self.check()
        path = Path(os.path.abspath(image))  # noqa: PTH100 - links are kept, as the indexer keeps them
        hits = self.gallery.search(self._image_features(path), k + 1, conditions, min_score)
        others = [hit for hit in hits if os.path.realpath(hit.path) != os.path.realpath(path)][:k]
        return [Hit(rank, h.score, h.path, h.id, h.payload) for rank, h in enumerate(others, start=1)]

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
        }

    def check(self) -> None:
        """Check that the gallery is there and of this model; asks once.

        Raises:
            GalleryError, EmbedderMismatchError: as `Gallery.require`.
        """
        if not self._checked:
            self.gallery.require(self.spec.embedder_id)
            self._checked = True

    def close(self) -> None:
        """Release the gallery."""
        self.gallery.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lookup(self, concept: str | None) -> Callable[[str], CustomToken]:
        return lambda name: self.tokens.active(concept) if name == "*" else self.tokens.get(name)

    def _features(self, what: str, concept: str | None) -> NDArray[np.float32]:
        """Features `[embed_dim]` of a text, or of an image where `what` is the path of one."""
        path = Path(what)
        if path.suffix.lower() in SUFFIXES:
            return self._image_features(path)
        from gair_search.compiler import query_vector

        return query_vector(what, self.clip, self._lookup(concept))[0]

    def _image_features(self, path: Path) -> NDArray[np.float32]:
        pixels = load_pixels(path, self.spec.preprocessing)
        features: NDArray[np.float32] = self.clip.encode_images(np.stack([pixels]))[0]
        return features


def _conditions(k: int, where: str | None) -> Where:
    """The filter of a search for `k` hits. Raises FilterError; GairError where `k` is no count."""
    if k < 1:
        raise GairError(f"k = {k}: expected a number of hits, 1 or more")
    return parse_where(where)


def _factor(term: str) -> tuple[float, str]:
    """`2.0:a beach` -> (2.0, "a beach"); 1.0 without a number. Raises PromptError on a negative one."""
    match = re.match(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*:\s*(?=\S)", term)
    if match is None:
        return 1.0, term
    if float(match[1]) < 0:
        raise PromptError(
            f"factor {match[1]}: factors are >= 0; use --minus to subtract", term, match.start(1)
        )
    return float(match[1]), term[match.end() :]


def _model_of(gallery: Gallery) -> str | None:
    """The model that the gallery was made with, where it is on this machine."""
    stored: EmbedderId | None = gallery.embedder
    if stored is None:
        return None
    try:
        models.resolve(stored.name)
    except ModelError:
        return None
    return stored.name
