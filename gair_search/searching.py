"""`Searching`: the searches of an engine, and what they ask of the gallery. Imports no torch before it is needed."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from gair_search.errors import GairError
from gair_search.gallery import Gallery, Hit, SearchOptions, SearchRequest, leave_out
from gair_search.images.fetching import AllowUrls, url_config
from gair_search.images.sources import ImageSource, read_source
from gair_search.parts import Parts
from gair_search.query.language import parse
from gair_search.query.terms import ReadTerm, Term, add_terms, read_terms
from gair_search.tokens.store import TokenLookup

if TYPE_CHECKING:
    from gair_search.gair.options import GairConfig
    from gair_search.query.compiler import Query


class Searching(Parts):
    """The searches of an engine. What they ask of the gallery can be had apart, to be asked otherwise."""

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
        request = self.search_request(
            prompt, k, plus=plus, minus=minus, concept=concept, gair=gair, config=config, **options
        )
        return self.gallery.answer(request)

    def search_request(
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
    ) -> SearchRequest:
        """What `search` asks of the gallery, with its arguments: all that is to be computed is."""
        self.check()
        request = prepare_search(self.gallery, k, **options)
        if isinstance(prompt, str):
            query, terms, lookup = self._compile(prompt, plus, minus, concept)
            if gair:
                from gair_search.gair.result import choose_query, run_gair

                plain = query
                query = choose_query(lambda: run_gair(plain, self, config), plain, auto=gair == "auto")
            prompt = add_terms(query, terms, self.encoder, lookup) if terms else query
        return replace(request, vector=prompt.vector)

    def search_batch(
        self,
        prompts: "Iterable[str | Query]",
        k: int = 10,
        *,
        concept: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """The hits of several prompts, in their order: one request to the gallery. Arguments as for `search`."""
        return self.gallery.answer_all(self.batch_requests(prompts, k, concept=concept, **options))

    def batch_requests(
        self,
        prompts: "Iterable[str | Query]",
        k: int = 10,
        *,
        concept: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[SearchRequest]:
        """What `search_batch` asks of the gallery, with its arguments."""
        self.check()
        request = prepare_search(self.gallery, k, **options)
        queries = [self.compile(p, concept=concept) if isinstance(p, str) else p for p in prompts]
        return [replace(request, vector=query.vector) for query in queries]

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
        return without_itself(
            image, self.gallery.answer(self.similar_request(image, k, allow_urls=allow_urls, **options)), k
        )

    def similar_request(
        self,
        image: ImageSource,
        k: int = 10,
        *,
        allow_urls: AllowUrls = False,
        **options: Unpack[SearchOptions],
    ) -> SearchRequest:
        """What `similar` asks of the gallery, with its arguments; one hit more, where the image is a file."""
        self.check()
        request = prepare_search(self.gallery, k, **options)
        # read before the model is loaded: a slip of the pen is said at once
        read = read_source(image, self.spec.preprocessing.decoded_side, url_config(allow_urls))
        vector = self.encoder.encode_images([read.image])[0]
        return replace(request, vector=vector, k=k + 1 if isinstance(image, os.PathLike) else k)

    def _compile(
        self, prompt: str, plus: Sequence[str | Term], minus: Sequence[str | Term], concept: str | None
    ) -> "tuple[Query, tuple[ReadTerm, ...], TokenLookup]":
        """A prompt's own query, what is to be added to it, and where its concepts were looked up."""
        spans = parse(prompt)  # a slip of the pen is said before torch is imported
        terms = read_terms(plus, minus) if plus or minus else ()
        from gair_search.query.compiler import compile_query

        lookup = TokenLookup(self.tokens, concept)
        return compile_query(prompt, self.encoder, lookup, spans=spans), terms, lookup


def without_itself(image: ImageSource, hits: list[Hit], k: int) -> list[Hit]:
    """The `k` best hits of `similar_request` that are not the image's own file."""
    return leave_out(os.fspath(image), hits)[:k] if isinstance(image, os.PathLike) else hits


def prepare_search(gallery: Gallery, k: int, **options: Unpack[SearchOptions]) -> SearchRequest:
    """A search that lacks its vector alone, so that a slip in its options is said before anything is computed.

    Raises:
        FilterError: as `Gallery.read_where`. GairError: `k`, the offset or a field is none, or does not go with
        another option.
    """
    offset, group_by = options.get("offset", 0), options.get("group_by")
    with_payload = options.get("with_payload", True)
    if k < 1:
        raise GairError(f"k = {k}: expected a number of hits, 1 or more")
    if offset < 0:
        raise GairError(f"offset {offset}: expected a number of hits to pass over, 0 or more")
    if group_by is not None and (offset or not group_by.strip()):
        raise GairError(f'group_by="{group_by}": expected the name of a payload field, without an offset')
    if isinstance(with_payload, str):
        raise GairError(f'with_payload="{with_payload}": expected True, False or a list of fields')
    return SearchRequest(
        np.empty(0, np.float32),
        k,
        gallery.read_where(where) if (where := options.get("where")) else (),
        options.get("filter"),
        options.get("min_score"),
        offset=offset,
        group_by=group_by,
        with_payload=with_payload,
    )
