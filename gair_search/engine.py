"""`Engine`: the facade that search backends embed. It opens and delegates, prints nothing, and raises typed errors.

The facade stands above the rooms: it is the one module of `gair_search/` that may reach for the indexer
(when `index` or `explain` is called, and no sooner). Nothing is loaded before it is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from gair_search.gallery import Hit, PointId, as_id
from gair_search.images.fetching import AllowUrls, url_config
from gair_search.images.sources import ImageSource
from gair_search.parts import File
from gair_search.progress import Progress
from gair_search.query.terms import Term, add_terms
from gair_search.searching import Searching

if TYPE_CHECKING:
    from gair_search.gair.options import GairConfig
    from gair_search.gair.result import GairResult
    from gair_search.indexer.ahead import Item
    from gair_search.indexer.explain import ExplainOptions, ExplainReport
    from gair_search.indexer.index import IndexOptions, IndexReport
    from gair_search.indexer.items import ItemsReport
    from gair_search.indexer.verify import Verification
    from gair_search.learning.from_files import LearnOptions, LearnTogetherOptions
    from gair_search.learning.lessons import Lesson
    from gair_search.learning.several import Lessons


class Engine(Searching):
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

    def index_images(
        self,
        items: "Iterable[Item]",
        *,
        allow_urls: AllowUrls = False,
        batch_size: int = 32,
        threads: int | None = None,
        on_progress: Progress | None = None,
    ) -> "ItemsReport":
        """Embed images and store them with ids and payloads of your own, from a stream of `(id, image, payload)`.

        An image is a path object, bytes, a file object, a PIL image, an array, or with `allow_urls` an http(s)
        address. A gallery of our own is made where there is none, and gets `content_hash`, `width`, `height`, `format`
        and `taken_at` beside your payload, by which the next run knows what is unchanged. In an attached collection
        this writes the vector and your payload's fields, and what else a point that is there holds stays.

        Arguments otherwise and errors as of `indexer.items.index_items`; EmbedderMismatchError.
        """
        from gair_search.indexer.items import index_items

        own = not self.gallery.is_foreign
        if own:
            self.gallery.ensure(self.spec.embedder_id)
        self.check()
        return index_items(
            items,
            self.spec.preprocessing,
            lambda pixels: self.encoder.encode_pixels(pixels),
            self.gallery,
            allow_urls=allow_urls,
            batch_size=batch_size,
            threads=threads,
            stored=self.gallery.payloads if own else None,
            facts=own,
            on_progress=on_progress,
        )

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
