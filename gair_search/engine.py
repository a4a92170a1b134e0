"""`Engine`: the facade that search backends embed. It prints nothing and raises typed errors.

The facade stands above the rooms: it is the one module of `gair_search/` that may reach for the indexer
(when `index` or `explain` is called, and no sooner).
"""

import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gair_search import models
from gair_search.errors import ConceptError, GairError, GairWarning, ModelError, PromptError
from gair_search.gallery import Gallery, GalleryOptions, Hit, Where, open_gallery, parse_where
from gair_search.image import SUFFIXES, load_pixels
from gair_search.models import EmbedderId, ModelSpec
from gair_search.prompt import parse
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken, require_name
from gair_search.tokens.store import TokenStore

if TYPE_CHECKING:
    from gair_search.clip import Clip
    from gair_search.compiler import Query, Token
    from gair_search.gair import GairOptions
    from gair_search.generator import Generator
    from gair_search.indexer.explain import ExplainReport
    from gair_search.indexer.index import IndexReport
    from gair_search.token_weights import Preset
    from gair_search.tokens.learn import Losses, Method
    from gair_search.tokens.lessons import Lesson, Lessons
    from gair_search.visualize import GairResult, Visualizer


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
        self._clip: Clip | None = None
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
                with, else the best one on this machine.
            gallery: the collection's name; `photos` unless given.
            db: folder of an embedded gallery. url, api_key: of a Qdrant server.
            device: `cpu`, `cuda`, `mps`; None takes the best there is.
            start_fraction: share of the text tower's blocks, in 0..1, that SToRI leaves alone; the paper's
                6 of 12 unless given.
            generator: folder or name of a generator for the model's text tower, see `Generator.load`; its own
                unless given. Read when the first image is drawn.

        Raises:
            ModelError, GalleryError: what is missing, and how to get it.
        """
        opened = open_gallery(gallery, Path(db) if db else None, url, api_key)
        try:
            name = model or os.environ.get("GAIR_MODEL") or _model_of(opened) or models.default_model()
            return cls(models.resolve(name), opened, TokenStore(), device, start_fraction, generator)
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

    @property
    def generator(self) -> "Generator":
        """What draws the images, loaded when this is first asked for.

        Raises:
            GeneratorError, ModelError: as `Generator.load`.
        """
        clip = self.clip
        with self._lock:
            if self._generator is None:
                from gair_search.generator import Generator

                source = self._generator_source
                self._generator = Generator.load(clip, None if source is None else os.fspath(source))
            return self._generator

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
        from gair_search.tokens import attributes as adjectives
        from gair_search.tokens import lessons
        from gair_search.tokens.learn import PAPER

        require_name(name)  # before anything is computed
        if not overwrite:
            self.tokens.require_free(name)
        words = adjectives.parse(attributes) if attributes else []
        settings = PAPER if paper else lessons.settings_for(self.spec)
        files = lessons.image_files([Path(photo) for photo in photos])
        images, skipped = lessons.load_images(files)
        generator = self._learning_generator(method)
        lesson = lessons.learn_token(
            name,
            images,
            parent,
            self.clip,
            lambda plain, concept: self._negatives(negatives, parent, plain, concept, files, generator),
            settings=replace(settings, **(changes or {})),
            method=method or ("joint" if generator else "prompt tuning"),
            adjectives=words,
            generator=generator,
            seed=seed,
            on_look=on_look,
        )
        self.tokens.save(lesson.token, overwrite)
        return replace(lesson, skipped=tuple(skipped))

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
        from gair_search.tokens import lessons
        from gair_search.tokens.learn import PAPER

        inside = sorted(p for p in Path(folder).iterdir() if p.is_dir()) if Path(folder).is_dir() else []
        concepts, skipped = {}, []
        for own in inside:
            require_name(own.name)
            if not overwrite:
                self.tokens.require_free(own.name)
            concepts[own.name], left = lessons.load_images(lessons.image_files([own]))
            skipped += left
        generator = self._learning_generator(method)
        settings = PAPER if paper else lessons.settings_for(self.spec)
        learned = lessons.learn_together(
            concepts,
            self.clip,
            settings=replace(settings, **(changes or {})),
            method=method or ("joint" if generator else "prompt tuning"),
            generator=generator,
            seed=seed,
            on_step=on_step,
        )
        for token in learned.tokens:
            self.tokens.save(token, overwrite)
        return replace(learned, skipped=tuple(skipped))

    def compile(
        self,
        prompt: str,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
        w: float | None = None,
        attributes: Sequence[str] = (),
    ) -> "Query":
        """Compile a prompt into a query vector, with an explanation.

        Args:
            prompt: in the query language, see `prompt.parse`.
            plus, minus: whole queries that are added or subtracted: text, or the path of an image;
                `2.0:` in front gives a factor.
            concept: what `*` stands for.
            w: mixing weight in 0..1, GAIR's share of the concept; None mixes nothing. No image is drawn.
            attributes: in the concept's place for the rest; the token's own unless given.

        Raises:
            PromptError, ConceptError, ImageError, ModelError.
        """
        parse(prompt)  # a slip of the pen is told before torch is imported
        if w is not None:
            from gair_search.gair import GairOptions, mixture

            options = GairOptions(w=w, attributes=tuple(attributes))
            token = self._mixed_concept(prompt, concept)
            told = mixture(prompt, self.clip, self._lookup(concept), _attributes(token, options))
            return self._summed(prompt, told.query_vector(w), told.tokens, plus, minus, concept, w)
        from gair_search.compiler import query_vector

        vector, tokens = query_vector(prompt, self.clip, self._lookup(concept))
        return self._summed(prompt, vector, tokens, plus, minus, concept)

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
        options: "GairOptions | None" = None,
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
            query = self._gair_or_plain(prompt, gair == "auto", options, plus, minus, concept)
        else:
            query = self.compile(prompt, plus=plus, minus=minus, concept=concept)
        return self.gallery.search(query.vector, k, conditions, min_score)

    def gair(
        self,
        prompt: str,
        options: "GairOptions | None" = None,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        concept: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
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
        from gair_search.gair import GairOptions, mixture
        from gair_search.visualize import GairResult, best

        options = options or GairOptions()
        token = self._mixed_concept(prompt, concept)
        attributes = _attributes(token, options)
        concept_features = self._concept_features(token, options)
        visualizer = self._visualizer(options, on_progress)
        told = mixture(prompt, self.clip, self._lookup(concept), attributes)
        candidates, context_features = visualizer.explore(told, concept_features, options)
        w = best(candidates) if options.w is None else options.w
        if token.facts.get(facts.METHOD) == facts.PROMPT_TUNING:
            visualizer.warnings.append(
                f"<{token.name}> was learned by prompt tuning, for telling images apart: images drawn of it may "
                f"not mean anything, nor then the weight that they select"
            )
        return GairResult(
            selected_weight=w,
            by_hand=options.w is not None,
            candidates=tuple(candidates.values()),
            query=self._summed(prompt, told.query_vector(w), told.tokens, plus, minus, concept, w),
            concept=token.name,
            attributes=tuple(attributes),
            concept_features=concept_features,
            context_features=context_features,
            sampling=self.generator.settled(options.sampling),
            seeds=options.seeds,
            denoiser_rows=visualizer.denoiser_rows,
            cached=visualizer.cached,
            warnings=tuple(visualizer.warnings),
        )

    def visualize(
        self,
        prompt: str,
        options: "GairOptions | None" = None,
        *,
        concept: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "GairResult":
        """Draw a prompt: GAIR's candidates, or the prompt as it is where there is nothing to mix.

        Args, Raises:
            as `gair`, save that a prompt without a concept, or a concept without attributes or features, is drawn
            as it is, at w = 1 and without scores; `warnings` says why.
        """
        from gair_search.gair import GairOptions, prompt_conditioning
        from gair_search.visualize import GairResult

        options = options or GairOptions()
        try:
            return self.gair(prompt, options, concept=concept, on_progress=on_progress)
        except ConceptError as error:
            reason = str(error)
        visualizer = self._visualizer(options, on_progress)
        told = prompt_conditioning(prompt, self.clip, self._lookup(concept))
        shown = visualizer.show(told, options)
        return GairResult(
            selected_weight=1.0,
            by_hand=False,
            candidates=(shown,),
            query=self.compile(prompt, concept=concept),
            concept=None,
            attributes=(),
            concept_features=None,
            context_features=None,
            sampling=self.generator.settled(options.sampling),
            seeds=options.seeds,
            denoiser_rows=visualizer.denoiser_rows,
            cached=visualizer.cached,
            warnings=(f"drawn as it is, without scores: {reason}", *visualizer.warnings),
        )

    def rerank(
        self,
        hits: Iterable[Hit],
        prompt: "str | GairResult",
        options: "GairOptions | None" = None,
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
        given = list(hits)
        if isinstance(prompt, str):
            like_concept, like_context = self._both_features(prompt, options, concept)
        elif prompt.concept_features is None or prompt.context_features is None:
            raise ConceptError(
                "these images were drawn of a prompt without a concept, so they have no scores"
            )
        else:
            like_concept, like_context = prompt.concept_features, prompt.context_features
        vectors = self.gallery.vectors([hit.id for hit in given])
        scored: list[Hit] = []
        for hit in given:
            if hit.id in vectors:
                both = float(vectors[hit.id] @ like_concept), float(vectors[hit.id] @ like_context)
                payload = {**hit.payload, "object_score": both[0], "context_score": both[1]}
                scored.append(replace(hit, score=min(both), payload=payload))
        scored.sort(key=lambda hit: -hit.score)
        gone = [hit for hit in given if hit.id not in vectors]
        return [replace(hit, rank=rank) for rank, hit in enumerate([*scored, *gone], start=1)]

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
        on_progress: Callable[[int, int], None] | None = None,
        on_epoch: Callable[[int, int, float], None] | None = None,
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
        from gair_search.token_weights import PAPER

        return explain_folder(
            Path(folder),
            self.clip,
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

    def _lookup(self, concept: str | None) -> Callable[[str], CustomToken]:
        return lambda name: self.tokens.active(concept) if name == "*" else self.tokens.get(name)

    def _summed(
        self,
        prompt: str,
        vector: NDArray[np.float32],
        tokens: "tuple[Token, ...]",
        plus: Sequence[str],
        minus: Sequence[str],
        concept: str | None,
        w: float | None = None,
    ) -> "Query":
        """A prompt's own vector, and whole queries added to it."""
        from gair_search.compiler import Query, combine

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
        return Query(prompt, mixed, tokens, tuple((factor, what) for factor, what, _ in terms), w)

    def _gair_or_plain(
        self,
        prompt: str,
        auto: bool,
        options: "GairOptions | None",
        plus: Sequence[str],
        minus: Sequence[str],
        concept: str | None,
    ) -> "Query":
        """GAIR's query; or the plain one, with a warning, where there can be none and `auto` allows it."""
        try:
            seen = self.gair(prompt, options, plus=plus, minus=minus, concept=concept)
        except GairError as error:
            if not auto:
                raise
            warnings.warn(f"searched without GAIR: {error}", GairWarning, stacklevel=3)
            return self.compile(prompt, plus=plus, minus=minus, concept=concept)
        for warning in seen.warnings:
            warnings.warn(warning, GairWarning, stacklevel=3)
        return seen.query

    def _learning_generator(self, method: "Method | None") -> "Generator | None":
        """The generator, where a method asks for one. Raises GeneratorError, ModelError where it must be there."""
        if method == "prompt tuning":
            return None
        try:
            return self.generator
        except ModelError:
            if method is None and self._generator_source is None:
                return None
            raise

    def _negatives(
        self,
        source: str | os.PathLike[str] | None,
        parent: str,
        plain: NDArray[np.float32],
        concept: NDArray[np.float32],
        files: Sequence[Path],
        generator: "Generator | None",
    ) -> NDArray[np.float32]:
        """Features `[K, embed_dim]` of negative images from where the user says, else from where they are."""
        from gair_search.tokens import lessons, negatives

        found = np.empty((0, self.spec.embed_dim), np.float32)
        if source in (None, "gallery"):
            if source or self.gallery.embedder:
                self.check()
                found = negatives.from_gallery(self.gallery, plain, concept, without=files)
            if source or generator is None or len(found) >= negatives.MIN_NEGATIVES:
                return negatives.require(found, f"the gallery at {self.gallery.name}")
        if source in (None, "generated"):
            drawn = lessons.parent_images(parent, self.clip, generator or self.generator)
            return negatives.require(negatives.from_pixels(drawn, self.clip), "the generator")
        images, _ = lessons.load_images(lessons.image_files([Path(source)]))
        pixels = [self.spec.preprocessing.pixels(image) for image in images]
        return negatives.require(negatives.from_pixels(pixels, self.clip), str(source))

    def _mixed_concept(self, prompt: str, concept: str | None) -> CustomToken:
        """The one concept of a prompt. Raises ConceptError where there is none, or more."""
        names = dict.fromkeys(span.concept for span in parse(prompt) if span.concept)
        tokens = {token.name: token for token in map(self._lookup(concept), names)}
        if not tokens:
            raise ConceptError(
                "GAIR mixes a concept with its attributes, and the prompt has none; write <name> or *"
            )
        if len(tokens) > 1:
            found = " and ".join(f"<{name}>" for name in tokens)
            raise ConceptError(
                f"GAIR mixes one concept, and the prompt has {found}; write it with one of them"
            )
        return next(iter(tokens.values()))

    def _concept_features(self, token: CustomToken, options: "GairOptions") -> NDArray[np.float32]:
        """Mean features `[embed_dim]` of a concept's images. Raises ConceptError, ImageError."""
        if options.concept_images:
            pixels = [load_pixels(Path(path), self.spec.preprocessing) for path in options.concept_images]
            mean: NDArray[np.float32] = self.clip.encode_images(np.stack(pixels)).mean(axis=0)
            return mean
        stored = facts.concept_features(token)
        if stored is None:
            raise ConceptError(
                f"the file of <{token.name}> holds no features of its concept images, which GAIR compares with; "
                f"name some of them, or learn it again"
            )
        its, ours = facts.learned_with(token), str(self.spec.embedder_id)
        if len(stored) != self.spec.embed_dim or (
            its and its.rpartition(" (")[2] != ours.rpartition(" (")[2]
        ):
            raise ConceptError(
                f"the features of the concept images in the file of <{token.name}> are those of {its or 'another'}"
                f", and this is {ours}; name some of the images, or learn it again with this model"
            )
        return stored

    def _both_features(
        self, prompt: str, options: "GairOptions | None", concept: str | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean features `[embed_dim]` of the concept images and of the context images. Raises as `gair`."""
        from gair_search.gair import GairOptions, mixture

        options = options or GairOptions()
        token = self._mixed_concept(prompt, concept)
        attributes, features = _attributes(token, options), self._concept_features(token, options)
        visualizer = self._visualizer(options)
        told = mixture(prompt, self.clip, self._lookup(concept), attributes)
        return features, visualizer.context(told, options)

    def _visualizer(
        self, options: "GairOptions", on_progress: Callable[[int, int], None] | None = None
    ) -> "Visualizer":
        from gair_search.image_cache import ImageCache
        from gair_search.visualize import Visualizer

        cache = ImageCache() if options.cache else None
        return Visualizer(self.clip, self.generator, cache, on_progress)

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


def _attributes(token: CustomToken, options: "GairOptions") -> list[str]:
    """What stands in a concept's place at w = 0. Raises ConceptError where nothing says it."""
    if found := list(options.attributes) or facts.attributes(token):
        return found
    raise ConceptError(
        f"the file of <{token.name}> names no attributes to mix with; name some that suit it, as red, old, striped"
    )


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
