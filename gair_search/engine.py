"""`Engine`: the facade that search backends embed. It opens and delegates, prints nothing, and raises typed errors.

The facade stands above the rooms: it is the one module of `gair_search/` that may reach for the indexer
(when `index` or `explain` is called, and no sooner). Nothing is loaded before it is needed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from gair_search.gallery import Hit, PointId, SearchOptions, as_id, leave_out, prepare_search
from gair_search.images.fetching import AllowUrls, url_config
from gair_search.images.sources import ImageSource, read_source
from gair_search.parts import File, Parts
from gair_search.progress import Progress
from gair_search.query.language import parse
from gair_search.query.terms import ReadTerm, Term, add_terms, read_terms
from gair_search.tokens.store import TokenLookup

if TYPE_CHECKING:
    from gair_search.gair.options import GairConfig
    from gair_search.gair.result import GairResult
    from gair_search.indexer.explain import ExplainOptions, ExplainReport
    from gair_search.indexer.index import IndexOptions, IndexReport
    from gair_search.indexer.items import Item, ItemOptions, ItemsReport
    from gair_search.indexer.verify import Verification
    from gair_search.learning.from_files import LearnOptions, LearnTogetherOptions
    from gair_search.learning.lessons import Lesson
    from gair_search.learning.several import Lessons
    from gair_search.query.compiler import Query


class Engine(Parts):
    """One model and one gallery. Safe to share between threads for searching; close it when done.

    >>> with Engine.open(db="./my-gallery") as engine:
    ...     engine.index("./photos")
    ...     hits = engine.search("a photo of a (red:1.3) dress", k=5)

    Or on a collection that is already there, with `Engine.attach(client, "catalogue", model=...)`. A string is text
    or a name here and never opens a file; an image is a `pathlib.Path`, bytes, or another of `images.sources`' forms.
    """

    def index(self, *folders: File, **options: Unpack["IndexOptions"]) -> "IndexReport":
        """Bring the gallery up to date with folders of images; options and errors as of `index_folders`."""
        from gair_search.indexer.index import index_folders

        if self._device is not None:
            _ = self.encoder  # a device that isn't there is said before a gallery is made
        paths = [Path(folder) for folder in folders]
        return index_folders(
            paths, self.spec, lambda pixels: self.encoder.encode_pixels(pixels), self.gallery, **options
        )

    def index_images(self, items: "Iterable[Item]", **options: Unpack["ItemOptions"]) -> "ItemsReport":
        """Embed and store images with ids and payloads of your own, from a stream of `(id, image, payload)`.

        In an attached collection this writes points: the vector, and the payload's fields; what else a point that
        is there holds stays as it is. Options and errors as of `indexer.items.index_items`.
        """
        from gair_search.indexer.items import index_items

        return index_items(items, self.spec, lambda p: self.encoder.encode_pixels(p), self.gallery, **options)

    def delete(self, ids: Iterable[PointId]) -> None:
        """Drop points of the gallery, or of an attached collection; unknown ids are ignored. Raises GalleryError."""
        self.gallery.delete([as_id(i) for i in ids])

    def verify(
        self, images: Mapping[PointId, ImageSource], *, allow_urls: AllowUrls = False
    ) -> "Verification":
        """Embed images anew and compare them with what is stored under their ids: was it this model?

        See `indexer.verify.verify_images` for the answer and the errors.
        """
        from gair_search.indexer.verify import verify_images

        return verify_images(images, self.encoder, self.gallery, url_config(allow_urls))

    def explain(
        self,
        folder: File,
        prompts: Mapping[str, Sequence[str]] | None = None,
        **options: Unpack["ExplainOptions"],
    ) -> "ExplainReport":
        """Learn which words tell the images of each class from the others; see `indexer.explain.explain_folder`.

        How one prompt is read is in `compile(prompt).explanation()`. The gallery is not used.
        """
        from gair_search.indexer.explain import explain_folder

        return explain_folder(Path(folder), self.encoder, prompts, **options)

    def learn(
        self, name: str, *photos: ImageSource, parent: str, **options: Unpack["LearnOptions"]
    ) -> "Lesson":
        """Learn a concept from 3 to 5 photos of it, or from stored points (`points=[ids]`), and store its token.

        `parent` says what it is a kind of, as "dress". Options and errors as of `learning.from_files.learn_concept`.
        """
        from gair_search.learning.from_files import learn_concept

        return learn_concept(self, name, photos, parent, **options)

    def learn_together(self, folder: File, **options: Unpack["LearnTogetherOptions"]) -> "Lessons":
        """Learn the concepts of a folder together (MC-TI), one of its folders each, and store their tokens.

        The outcome's `classifier` tells them apart. Options and errors as of `learning.from_files.learn_folder`.
        """
        from gair_search.learning.from_files import learn_folder

        return learn_folder(self, folder, **options)

    def compile(
        self,
        prompt: str,
        *,
        plus: Sequence[str | Term] = (),
        minus: Sequence[str | Term] = (),
        concept: str | None = None,
        mixing_weight: float | None = None,
        attributes: Sequence[str] = (),
    ) -> "Query":
        """Compile a prompt into a query vector, with an explanation.

        Args:
            prompt: in the query language, see `query.language.parse`.
            plus, minus: whole queries that are added and subtracted: prompts, or `Text`, `Image` and `Vector` of
                `query.terms` with a factor each. A string is always text.
            concept: what `*` stands for.
            mixing_weight: GAIR's w in 0..1; None mixes nothing. No image is drawn.
            attributes: in the concept's place for the rest; by default the token's own.

        Raises:
            PromptError, ConceptError, ImageError, ModelError.
        """
        query, terms, lookup = self._compile(prompt, plus, minus, concept)
        if mixing_weight is not None:
            from gair_search.gair.mixing import mix_query

            query = mix_query(query, mixing_weight, self.encoder, attributes)
        return add_terms(query, terms, self.encoder, lookup) if terms else query

    def search(
        self,
        prompt: "str | Query",
        k: int = 10,
        *,
        plus: Sequence[str | Term] = (),
        minus: Sequence[str | Term] = (),
        concept: str | None = None,
        gair: bool | Literal["auto"] = False,
        config: "GairConfig | None" = None,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """The `k` images that fit a prompt best, best first.

        Args:
            prompt, plus, minus, concept: as for `compile`; or a compiled query, as `gair(...).query`.
            gair: whether GAIR selects the query's mixing weight, see `gair`. `"auto"` searches plainly, with a
                GairWarning, where it can't.
            config: of GAIR.
            options: filters, offset, groups, payload; see `SearchOptions`.

        Raises:
            as `compile`; FilterError; GalleryError; EmbedderMismatchError; with `gair`, as that.
        """
        self.check()
        request = prepare_search(self.gallery, k, **options)
        if isinstance(prompt, str):
            query, terms, lookup = self._compile(prompt, plus, minus, concept)
            if gair:
                from gair_search.gair.result import choose_query, run_gair

                plain = query
                query = choose_query(lambda: run_gair(plain, self, config), plain, auto=gair == "auto")
            prompt = add_terms(query, terms, self.encoder, lookup) if terms else query
        return self.gallery.answer(replace(request, vector=prompt.vector))

    def search_batch(
        self,
        prompts: "Iterable[str | Query]",
        k: int = 10,
        *,
        concept: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """The hits of several prompts, in their order: one request to the gallery. Arguments as for `search`."""
        self.check()
        request = prepare_search(self.gallery, k, **options)
        queries = [self.compile(p, concept=concept) if isinstance(p, str) else p for p in prompts]
        return self.gallery.answer_all([replace(request, vector=query.vector) for query in queries])

    def gair(
        self,
        prompt: str,
        config: "GairConfig | None" = None,
        *,
        plus: Sequence[str | Term] = (),
        minus: Sequence[str | Term] = (),
        concept: str | None = None,
        on_progress: Progress | None = None,
    ) -> "GairResult":
        """Select the mixing weight whose image fits best, and compile the query with it (Algorithm 1).

        Needs no gallery; `search(result.query)` does the search. The prompt holds one concept, `config` says how to
        draw. Arguments otherwise as for `compile`; `on_progress` and errors as of `gair.result.run_gair`.
        """
        from gair_search.gair.result import run_gair

        query, terms, lookup = self._compile(prompt, plus, minus, concept)
        result = run_gair(query, self, config, on_progress)
        return replace(result, query=add_terms(result.query, terms, self.encoder, lookup))

    def visualize(
        self,
        prompt: str,
        config: "GairConfig | None" = None,
        *,
        concept: str | None = None,
        on_progress: Progress | None = None,
    ) -> "GairResult":
        """Draw a prompt: GAIR's candidates, or the prompt as it is where there is nothing to mix.

        As `gair`, save that a prompt without a concept, or a concept without attributes or features, is drawn
        as it is, at w = 1 and without scores; `warnings` says why.
        """
        from gair_search.gair.result import draw_prompt

        query, _, _ = self._compile(prompt, (), (), concept)
        return draw_prompt(query, self, config, on_progress)

    def rerank(
        self,
        hits: Iterable[Hit],
        prompt: "str | GairResult",
        config: "GairConfig | None" = None,
        *,
        concept: str | None = None,
    ) -> list[Hit]:
        """Order given hits of this gallery by GAIR's two scores of the images themselves, without a second search.

        `prompt` holds one concept, and images at w = 0 alone are drawn; or it is what `gair` made of it, and nothing
        is drawn. The `score` of a hit is the worse of the two, and both are in its payload. Hits that are no longer
        in the gallery come last, as they were. Raises as `gair`; GalleryError.
        """
        from gair_search.gair import reranking, result

        given = list(hits)
        if isinstance(prompt, str):
            query, _, _ = self._compile(prompt, (), (), concept)
            both = result.draw_context(query, self, config)
        else:
            both = reranking.require_features(prompt)
        return reranking.rerank_hits(given, self.gallery.vectors([hit.id for hit in given]), *both)

    def similar(
        self,
        image: ImageSource,
        k: int = 10,
        *,
        allow_urls: AllowUrls = False,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """The `k` images most like an image, which is itself left out where it is a file of the gallery.

        Args:
            image: a path object, bytes, a file object, a PIL image, an array; a string is an http(s) address.
            allow_urls: whether an address is fetched, and within which bounds; see `images.sources`.
            options: see `SearchOptions`.

        Raises:
            ImageError: it can't be read; others as `search`.
        """
        self.check()
        request = prepare_search(self.gallery, k, **options)
        read = read_source(image, max(self.spec.preprocessing.size), url_config(allow_urls))
        vector = self.encoder.encode_images([read.image])[0]
        if not isinstance(image, os.PathLike):
            return self.gallery.answer(replace(request, vector=vector))
        path = os.path.abspath(image)  # noqa: PTH100 - links are kept, as the indexer keeps them
        found = self.gallery.answer(replace(request, vector=vector, k=k + 1))
        return leave_out(path, found)[:k]

    def _compile(
        self, prompt: str, plus: Sequence[str | Term], minus: Sequence[str | Term], concept: str | None
    ) -> "tuple[Query, tuple[ReadTerm, ...], TokenLookup]":
        """A prompt's own query, what is to be added to it, and where its concepts were looked up."""
        spans = parse(prompt)  # a slip of the pen is said before torch is imported
        terms = read_terms(plus, minus) if plus or minus else ()
        from gair_search.query.compiler import compile_query

        lookup = TokenLookup(self.tokens, concept)
        return compile_query(prompt, self.encoder, lookup, spans=spans), terms, lookup
