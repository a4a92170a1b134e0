"""`Engine`: the facade that search backends embed. It prints nothing and raises typed errors.

The facade stands above the rooms: it is the one module of `gair_search/` that may reach for the indexer
(when `index` or `explain` is called, and no sooner).
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from gair_search.encoder import models, trust
from gair_search.encoder.identity import EmbedderId, ModelSpec
from gair_search.errors import ConceptError, GairError, ModelError
from gair_search.gallery import (
    Gallery,
    GalleryConfig,
    Hit,
    Where,
    open_gallery,
    parse_where,
)
from gair_search.images.reading import load_pixels
from gair_search.progress import Progress
from gair_search.query.language import parse
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.encoder.clip import Encoder
    from gair_search.gair.options import GairConfig
    from gair_search.gair.result import GairResult
    from gair_search.generation.generator import Generator
    from gair_search.indexer.explain import ExplainReport
    from gair_search.indexer.index import IndexReport
    from gair_search.learning.joint import Losses, Method
    from gair_search.learning.lessons import Lesson, Lessons
    from gair_search.learning.token_weights import Preset
    from gair_search.query.compiler import Query


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
        generator: str | os.PathLike[str] | None = None,
    ) -> None:
        """Put an engine together from its parts; `open` does so from names."""
        self.spec = spec
        self.gallery = gallery
        self.tokens = tokens
        self._device = device
        self._start_fraction = start_fraction
        self._generator_source = generator
        self._clip: Encoder | None = None
        self._generator: Generator | None = None
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
        generator: str | os.PathLike[str] | None = None,
    ) -> "Engine":
        """Open a gallery with a model that is on this machine. Nothing is downloaded.

        Args:
            model: see `models.resolve`. By default `GAIR_MODEL`, else the model that the gallery was made
                with, else the best one on this machine. A gallery may name any model: one with files of its
                own is only taken where it was named here or by `GAIR_MODEL` before, see `trust.require_chosen`.
            gallery: the collection's name; `photos` unless given.
            db: folder of an embedded gallery. url, api_key: of a Qdrant server.
            device: `cpu`, `cuda`, `mps`; None takes the best there is.
            start_fraction: share of the text tower's blocks, in 0..1, that SToRI leaves alone; the paper's
                6 of 12 unless given.
            generator: folder or name of a generator for the model's text tower, see `Generator.load`; its own
                unless given. Read when the first image is drawn.

        Raises:
            ModelError: the model is missing, and how to get it; it would have its own code run; the gallery names
                one that was never chosen.
            GalleryError: what is missing, and how to get it.
        """
        opened = open_gallery(gallery, Path(db) if db else None, url, api_key)
        try:
            chosen = model or os.environ.get("GAIR_MODEL")
            spec = models.resolve(chosen or _model_of(opened) or models.default_model())
            if chosen:
                trust.remember(spec)
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
        """The model. torch is imported when this is first asked for: what needs no vector stays quick.

        Raises:
            ModelError: the device is not there.
        """
        with self._lock:
            if self._clip is None:
                from gair_search.encoder.clip import Encoder

                self._clip = Encoder(self.spec, self._device, self._start_fraction)
            return self._clip

    @property
    def device(self) -> str | None:
        """Where the model runs; None while nothing has needed it."""
        return str(self._clip.device) if self._clip else None

    @property
    def generator(self) -> "Generator":
        """What draws the images, loaded when this is first asked for.

        Raises:
            GeneratorError, ModelError: as `Generator.load`.
        """
        encoder = self.encoder
        with self._lock:
            if self._generator is None:
                from gair_search.generation.generator import Generator

                source = self._generator_source
                self._generator = Generator.load(encoder, None if source is None else os.fspath(source))
            return self._generator

    def index(
        self,
        *folders: str | os.PathLike[str],
        prune: bool = False,
        config: GalleryConfig | None = None,
        batch_size: int = 32,
        workers: int | None = None,
        on_progress: Progress | None = None,
    ) -> "IndexReport":
        """Bring the gallery up to date with folders of images; see `indexer.index.index_folders`."""
        from gair_search.indexer.index import index_folders

        if self._device is not None:
            _ = self.encoder  # a device that isn't there is told before a gallery is made
        paths = [Path(folder) for folder in folders]
        return index_folders(
            paths,
            self.spec,
            lambda pixels: self.encoder.encode_pixels(pixels),
            self.gallery,
            prune=prune,
            config=config,
            batch_size=batch_size,
            workers=workers,
            on_progress=on_progress,
        )

    def learn(
        self,
        name: str,
        *photos: str | os.PathLike[str],
        parent: str,
        attributes: str | None = None,
        negatives: str | os.PathLike[str] | None = None,
        method: "Method | None" = None,
        paper: bool = False,
        changes: Mapping[str, Any] | None = None,
        seed: int = 0,
        overwrite: bool = False,
        on_look: "Callable[[Losses], None] | None" = None,
    ) -> "Lesson":
        """Learn a concept from photos of it, and store its token.

        Args:
            name: of the concept.
            photos: 3 to 5 images, or a folder of them.
            parent: what it is a kind of, "dress".
            attributes: adjectives with commas between them; the vocabulary's nearest to the parent unless given.
            negatives: `gallery`, `generated`, or a folder of images of the parent that are not the concept;
                the gallery's unless it has too few, then generated.
            method: joint where there is a generator, else prompt tuning.
            paper: take the paper's settings for Stable Diffusion, not the model's own.
            changes: fields of `tokens.learn.Settings` that are to be otherwise.
            seed: the same gives the same token.
            overwrite: whether to replace a concept of the same name.
            on_look: told of the losses now and then.

        Raises:
            ConceptError: as `tokens.lessons.learn_token`; the name is taken or can't be one.
            GeneratorError, ModelError, GalleryError, EmbedderMismatchError.
        """
        from gair_search.images.folders import find_photos
        from gair_search.images.reading import read_images
        from gair_search.learning import attributes as adjectives
        from gair_search.learning import lessons
        from gair_search.learning.negatives import find_negatives

        self.tokens.require_storable(name, overwrite)  # before anything is computed
        words = adjectives.parse(attributes) if attributes else []
        settings = lessons.settings_for(self.spec, paper, changes)
        files, skipped = find_photos([Path(photo) for photo in photos])
        images, unreadable = read_images(files)
        method, generator = self._learn_by(method)
        lesson = lessons.learn_token(
            name,
            images,
            parent,
            self.encoder,
            lambda plain, concept: find_negatives(
                negatives,
                parent,
                plain,
                concept,
                encoder=self.encoder,
                gallery=self.gallery,
                generator=self.generator if negatives == "generated" else generator,
                without=files,
            ),
            settings=settings,
            method=method,
            adjectives=words,
            generator=generator,
            seed=seed,
            on_look=on_look,
        )
        self.tokens.save(lesson.token, overwrite)
        return replace(lesson, skipped=(*skipped, *unreadable))

    def learn_together(
        self,
        folder: str | os.PathLike[str],
        *,
        method: "Method | None" = None,
        paper: bool = False,
        changes: Mapping[str, Any] | None = None,
        seed: int = 0,
        overwrite: bool = False,
        on_step: Callable[[int, float], None] | None = None,
    ) -> "Lessons":
        """Learn the concepts of a folder together, one of its folders each, and store their tokens (MC-TI).

        The outcome's `classifier` tells them apart: `classifier.classify(features)`.

        Args:
            folder: holds one folder of photos a concept, which is called as the folder.
            others: as for `learn`.

        Raises:
            ConceptError: as `tokens.lessons.learn_together`; a name is taken or can't be one.
            GeneratorError, ModelError.
        """
        from gair_search.images.folders import class_folders
        from gair_search.images.reading import read_folders
        from gair_search.learning import lessons

        files, skipped = class_folders(Path(folder))
        for name in files:
            self.tokens.require_storable(name, overwrite)
        concepts, unreadable = read_folders(files)
        method, generator = self._learn_by(method)
        learned = lessons.learn_together(
            concepts,
            self.encoder,
            settings=lessons.settings_for(self.spec, paper, changes),
            method=method,
            generator=generator,
            seed=seed,
            on_step=on_step,
        )
        for token in learned.tokens:
            self.tokens.save(token, overwrite)
        return replace(learned, skipped=(*skipped, *unreadable))

    def compile(
        self,
        prompt: str,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
        mixing_weight: float | None = None,
        attributes: Sequence[str] = (),
    ) -> "Query":
        """Compile a prompt into a query vector, with an explanation.

        Args:
            prompt: in the query language, see `prompt.parse`.
            plus, minus: whole queries that are added or subtracted: text, or the path of an image;
                `2.0:` in front gives a factor.
            concept: what `*` stands for.
            mixing_weight: w in 0..1, GAIR's share of the concept; None mixes nothing. No image is drawn.
            attributes: in the concept's place for the rest; the token's own unless given.

        Raises:
            PromptError, ConceptError, ImageError, ModelError.
        """
        parse(prompt)  # a slip of the pen is told before torch is imported
        from gair_search.query.compiler import plain_query, summed

        lookup = self.tokens.lookup(concept)
        if mixing_weight is None:
            query = plain_query(prompt, self.encoder, lookup)
        else:
            from gair_search.gair.options import GairConfig
            from gair_search.gair.selection import mixed_query

            options = GairConfig(mixing_weight=mixing_weight, attributes=tuple(attributes))
            query = mixed_query(prompt, mixing_weight, self.encoder, lookup, options)
        return summed(query, plus, minus, self.encoder, lookup)

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
        gair: bool | Literal["auto"] = False,
        options: "GairConfig | None" = None,
    ) -> list[Hit]:
        """The `k` images that fit a prompt best, best first.

        Args:
            prompt, plus, minus, concept: as for `compile`; or a compiled query, as `gair(...).query`.
            where: filter on payload fields, see `gallery.where.parse_where`.
            min_score: lowest cosine similarity to return, in -1..1.
            gair: whether GAIR selects the query's mixing weight, see `gair`. `"auto"` searches plainly, with a
                GairWarning, where it can't.
            options: of GAIR.

        Raises:
            as `compile`; FilterError; GalleryError; EmbedderMismatchError; with `gair`, as that.
        """
        conditions = _conditions(k, where)
        self.check()
        if not isinstance(prompt, str):
            query = prompt
        elif gair:
            from gair_search.gair.selection import query_or_plain

            query = query_or_plain(
                lambda: self.gair(prompt, options, plus=plus, minus=minus, concept=concept),
                lambda: self.compile(prompt, plus=plus, minus=minus, concept=concept),
                auto=gair == "auto",
            )
        else:
            query = self.compile(prompt, plus=plus, minus=minus, concept=concept)
        return self.gallery.search(query.vector, k, conditions, min_score)

    def gair(
        self,
        prompt: str,
        options: "GairConfig | None" = None,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
        on_progress: Progress | None = None,
    ) -> "GairResult":
        """Select the mixing weight whose image fits best, and compile the query with it (Algorithm 1).

        Needs no gallery; `search(result.query)` does the search.

        Args:
            prompt, plus, minus, concept: as for `compile`; the prompt holds one concept.
            options: candidates, seeds, how to draw.
            on_progress: told the steps of single images that are done, and how many so far are known.

        Raises:
            ConceptError: no concept in the prompt, or two; no attributes; no features of its images.
            GeneratorError, ModelError: there is no generator, or all that it draws is blank.
            others as `compile`.
        """
        from gair_search.gair import selection
        from gair_search.gair.options import GairConfig
        from gair_search.query.compiler import summed

        options, lookup = options or GairConfig(), self.tokens.lookup(concept)
        subject = selection.Subject.of(prompt, self.encoder, lookup, options)
        visualizer = selection.visualizer_for(self.encoder, self.generator, options, on_progress)
        seen = selection.run(subject, visualizer, lookup, options)
        return replace(seen, query=summed(seen.query, plus, minus, self.encoder, lookup))

    def visualize(
        self,
        prompt: str,
        options: "GairConfig | None" = None,
        *,
        concept: str | None = None,
        on_progress: Progress | None = None,
    ) -> "GairResult":
        """Draw a prompt: GAIR's candidates, or the prompt as it is where there is nothing to mix.

        Args, Raises:
            as `gair`, save that a prompt without a concept, or a concept without attributes or features, is drawn
            as it is, at w = 1 and without scores; `warnings` says why.
        """
        from gair_search.gair import selection
        from gair_search.gair.options import GairConfig

        options = options or GairConfig()
        try:
            return self.gair(prompt, options, concept=concept, on_progress=on_progress)
        except ConceptError as error:
            reason = str(error)
        visualizer = selection.visualizer_for(self.encoder, self.generator, options, on_progress)
        return selection.drawn_as_it_is(prompt, reason, visualizer, self.tokens.lookup(concept), options)

    def rerank(
        self,
        hits: Iterable[Hit],
        prompt: "str | GairResult",
        options: "GairConfig | None" = None,
        *,
        concept: str | None = None,
    ) -> list[Hit]:
        """Order given hits by GAIR's two scores of the images themselves, without a second search.

        Args:
            hits: of this gallery, from any search.
            prompt: with one concept; or what `gair` made of it, and then nothing is drawn.
            options, concept: as for `gair`; only images at w = 0 are drawn.

        Returns:
            the hits, best first: `score` is the worse of the two, `object_score` and `context_score` are in the
            payload. Hits that are no longer in the gallery come last, as they were.

        Raises:
            as `gair`; GalleryError.
        """
        from gair_search.gair import selection
        from gair_search.gair.options import GairConfig

        given = list(hits)
        if isinstance(prompt, str):
            options, lookup = options or GairConfig(), self.tokens.lookup(concept)
            subject = selection.Subject.of(prompt, self.encoder, lookup, options)
            visualizer = selection.visualizer_for(self.encoder, self.generator, options)
            context = visualizer.context(subject.mixture(self.encoder, lookup), options)
            both = subject.concept_features, context
        else:
            both = selection.both_features(prompt)
        return selection.reranked(given, self.gallery.vectors([hit.id for hit in given]), *both)

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
        pixels = load_pixels(path, self.spec.preprocessing)  # told before torch is imported
        features = self.encoder.encode_pixels([pixels])[0]
        hits = self.gallery.search(features, k + 1, conditions, min_score)
        others = [hit for hit in hits if os.path.realpath(hit.path) != os.path.realpath(path)][:k]
        return [Hit(rank, h.score, h.path, h.id, h.payload) for rank, h in enumerate(others, start=1)]

    def explain(
        self,
        folder: str | os.PathLike[str],
        prompts: Mapping[str, Sequence[str]] | None = None,
        *,
        templates: Sequence[str] = (),
        preset: "Preset | None" = None,
        seed: int = 0,
        batch_size: int = 32,
        workers: int | None = None,
        on_progress: Progress | None = None,
        on_epoch: Progress | None = None,
    ) -> "ExplainReport":
        """Learn which words tell the images of each class from the others; see `indexer.explain.explain_folder`.

        How one prompt is read is in `compile(prompt).explanation()`. The gallery is not used.

        Args:
            folder: holds one folder of images a class.
            prompts: plain texts by class; templates: with `{}` for the name of a class that has none there,
                `a photo of a {}` unless given.
            preset: the paper's unless given.
        """
        from gair_search.indexer.explain import TEMPLATE, explain_folder
        from gair_search.learning.token_weights import PAPER

        return explain_folder(
            Path(folder),
            self.encoder,
            prompts,
            templates=templates or (TEMPLATE,),
            preset=preset or PAPER,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            on_progress=on_progress,
            on_epoch=on_epoch,
        )

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

    def _learn_by(self, method: "Method | None") -> "tuple[Method, Generator | None]":
        from gair_search.learning.lessons import choose_method

        return choose_method(method, lambda: self.generator, self._generator_source is not None)


def _conditions(k: int, where: str | None) -> Where:
    """The filter of a search for `k` hits. Raises FilterError; GairError where `k` is no count."""
    if k < 1:
        raise GairError(f"k = {k}: expected a number of hits, 1 or more")
    return parse_where(where)


def _model_of(gallery: Gallery) -> str | None:
    """The model that the gallery was made with, where it is on this machine. Raises ModelError unless chosen."""
    stored: EmbedderId | None = gallery.embedder
    if stored is None:
        return None
    trust.require_chosen(stored.name, f"the gallery at {gallery.name}")
    try:
        models.resolve(stored.name)
    except ModelError:
        return None
    return stored.name
