"""Table 4's methods (Perera et al., section 5): ways to ask for a concept in a context, a few lines each."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gair_search.benchmarks.datasets.base import SUBJECT, Concept, RetrievalQuery
from gair_search.benchmarks.methods import polar
from gair_search.encoder.clip import Encoder
from gair_search.gair.drawing import Visualizer
from gair_search.gair.mixing import Mixture, mix_prompt
from gair_search.gair.options import GairConfig
from gair_search.gair.selection import select_weight
from gair_search.learning import attributes, negatives
from gair_search.learning.config import LearningConfig, Method
from gair_search.learning.joint import Learned, Problem, learn_vectors
from gair_search.learning.preparation import prepare_problem, view_features
from gair_search.learning.templates import PARAPHRASES, Slot
from gair_search.query.compiler import compile_query, query_vector
from gair_search.query.language import escape
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator

Features = NDArray[np.float32]

TEXT_ONLY = "text only"
PALAVRA = "PALAVRA second stage"
POLAR = "POLAR"
PROMPT_TUNING = "prompt tuning"
OURS = "ours"

PALAVRA_STEPS, PALAVRA_RATE, PALAVRA_TEMPERATURE = 10, 0.01, 0.25
"""As the authors' code sets them."""

_NAME = "concept"
_SIDE = 512


@dataclass(frozen=True)
class Study:
    """A concept, its queries, and what its methods share; the dear parts are computed once, when asked for.

    Attributes:
        encoder: the model.
        concept: what to learn.
        queries: what is asked of it.
        images: features of the concept images, `[n, embed_dim]`.
        others: features of what negatives are taken from, without the concept images, `[N, embed_dim]`.
        learning: how tokens are learned.
        words: the attributes that span the subspace; those of the vocabulary that are nearest to the parent where
            empty.
        seed: of learning.
        generator: for the diffusion loss and for GAIR.
        all_negative: whether all `others` are negatives; else they are a gallery without labels.
        shows_concept: which of the others show the concept, bool `[N]`; no method reads it.
        mixed: the attributes A of Algorithm 1; those of the subspace where empty.
    """

    encoder: Encoder
    concept: Concept
    queries: tuple[RetrievalQuery, ...]
    images: Features
    others: Features
    learning: LearningConfig
    words: tuple[str, ...] = ()
    seed: int = 0
    generator: "Generator | None" = None
    all_negative: bool = False
    shows_concept: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    mixed: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """8 hex digits that tell studies of other pictures apart."""
        seen = hashlib.sha256(self.images.tobytes() + self.others.tobytes())
        seen.update("\n".join(self.concept.captions.values()).encode())
        return seen.hexdigest()[:8]

    @cached_property
    def attributes(self) -> list[str]:
        """The attributes that span the subspace (section 5: 100 of them)."""
        return list(self.words) or attributes.nearest(
            self.encoder.text_tower, self.concept.parent, self.learning.n_attributes
        )

    @property
    def mixed_attributes(self) -> list[str]:
        """A of Algorithm 1: what stands in the concept's place at w = 0."""
        return list(self.mixed) or self.attributes

    @cached_property
    def photos(self) -> list[Image.Image]:
        """The concept images."""
        return [picture.image(_SIDE) for picture in self.concept.images]

    @cached_property
    def negative_rows(self) -> NDArray[np.intp]:
        """Which of the others are negatives, as the library takes them from a gallery.

        Raises:
            ConceptError: too few of them are not the concept. ImageError.
        """
        if self.all_negative:
            return np.arange(len(self.others))
        views = view_features(self.photos, self.encoder, self.learning.views, self.seed)
        (plain,) = self.encoder.encode_texts([f"image of a {self.concept.parent}"])
        nearest = np.argsort(-(self.others @ plain), kind="stable")[: negatives.LOOK_AT]
        rows = nearest[negatives.unlike_concept(self.others[nearest], views)]
        negatives.require(self.others[rows], f"the gallery, for {self.concept.name},")
        return rows

    @cached_property
    def problem(self) -> Problem:
        """Everything frozen that tokens are learned from, with subspace and, with a generator, latents.

        All concept images are learned from, and the last step is taken, as in the paper: what a benchmark measures
        on is held out by itself. Raises as `negative_rows`.
        """
        learning = replace(self.learning, projection=True)
        parent, words, found = self.concept.parent, self.attributes, self.others[self.negative_rows]
        problem = prepare_problem(
            self.photos, parent, self.encoder, lambda *_: found, learning, words, self.generator, self.seed
        )
        return replace(problem, captions=self.captions)

    @property
    def captions(self) -> tuple[tuple[str, int], ...]:
        """(caption with `{}` for '* c', number of its image), of those that fit into the context.

        The paper learns from the benchmark's captions and does not say in which loss; here it is the diffusion
        loss, whose paraphrases they join.
        """
        tower, parent = self.encoder.text_tower, self.concept.parent
        captions = [
            (self.concept.captions[picture.id].replace(SUBJECT, "{}"), number)
            for number, picture in enumerate(self.concept.images)
            if picture.id in self.concept.captions
        ]
        return tuple(
            (text, number)
            for text, number in captions
            if text.count("{}") == 1
            and Slot.from_template(tower, text, parent).length(self.learning.n_vectors) <= tower.n_ctx
        )

    def texts(self) -> Features:
        """Text features of the queries with the parent for the concept, `[Q, embed_dim]`."""
        return self.encoder.encode_texts([query.text(self.concept.parent) for query in self.queries])


def unit_rows(rows: NDArray[np.floating]) -> Features:
    """Rows of length 1."""
    unit: Features = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def average_image(texts: Features, images: Features) -> Features:
    """The mean concept image alone, for every query: `[Q, embed_dim]`."""
    return np.repeat(unit_rows(images.mean(0, keepdims=True)), len(texts), axis=0)


def text_and_average_image(texts: Features, images: Features) -> Features:
    """Text and mean concept image, each of length 1, added and normalised (as Cohen et al. 2022 compare with)."""
    return unit_rows(texts + average_image(texts, images))


def ideal_words(texts: Features, images: Features, parents: Features) -> Features:
    """Ideal words (Trager et al. 2023), with the concept's word found from its images.

    There, a composition of factors is near a sum, g(c, k) ~ u_0 + u_c + u_k, and an ideal word u_c is the mean of
    c's compositions over all k, less u_0. Here k is the context, c the parent and * the concept. The concept
    images are compositions of * with several contexts, so their mean estimates u_0 + u_*; the mean of the
    parent's texts estimates u_0 + u_c. A query's text with the parent has its c exchanged for *:

        q = g(c, k) + (mean_i f(x_i) - mean_j g(t_j c)), normalised.

    How Perera et al. apply ideal words to images is not published. No mean is normalised, as in Trager et al.

    Args:
        texts: of the queries with the parent, `[Q, embed_dim]`.
        images: of the concept images, `[n, embed_dim]`, normalised.
        parents: of 'image of a c' and its paraphrases, `[m, embed_dim]`, normalised.

    Returns:
        `[Q, embed_dim]`, normalised.
    """
    return unit_rows(texts + (images.mean(0) - parents.mean(0)))


UNLEARNED: dict[str, Callable[[Study], Features]] = {
    TEXT_ONLY: lambda study: study.texts(),
    "average image": lambda study: average_image(study.texts(), study.images),
    "text + average image": lambda study: text_and_average_image(study.texts(), study.images),
    "ideal words": lambda study: ideal_words(
        study.texts(),
        study.images,
        study.encoder.encode_texts([text.format(study.concept.parent) for text in PARAPHRASES]),
    ),
}
"""Methods that learn nothing."""

LEARNED: dict[str, tuple[Method, bool]] = {
    "textual inversion": ("textual inversion", False),
    "textual inversion + projection": ("textual inversion", True),
    PROMPT_TUNING: ("prompt tuning", False),
    "prompt tuning + projection": ("prompt tuning", True),
    "joint": ("joint", False),
    OURS: ("joint", True),
}
"""Name -> the losses, and whether the vectors are held in the attributes' subspace."""

GAIR = {f"{name} + GAIR": name for name in (PROMPT_TUNING, OURS)}
"""Name -> the method whose token is mixed."""

CONSTANT, RANDOM = "constant w", "random w"
"""The controls of GAIR, which draw nothing: a weight that validation seeds chose, and one drawn for each query."""

CONTROLS = {f"{name}, {control}": name for name in (PROMPT_TUNING, OURS) for control in (CONSTANT, RANDOM)}
"""Name -> the method whose token is mixed at such a weight."""

MIXED = GAIR | CONTROLS
"""Name -> the method whose token is mixed."""

NEEDS_NEGATIVES = {*LEARNED, *MIXED}
"""Methods whose tokens are learned from negatives."""

NEEDS_GENERATOR = frozenset(
    name for name in NEEDS_NEGATIVES if LEARNED[MIXED.get(name, name)][0] != "prompt tuning" or name in GAIR
)
"""Methods that a model without a generator can't run."""


def row_label(name: str) -> str:
    """A method's name in a table's first column."""
    return f"{name} (joint + projection)" if name == OURS else name


def learn_token_by(study: Study, name: str) -> Learned:
    """Learn a token by one of `LEARNED`.

    Raises:
        KeyboardInterrupt: at once; a token that was cut short is no result.
    """
    method, projection = LEARNED[name]
    return learn_token(study, replace(study.learning, projection=projection).with_method(method))


def learn_token(study: Study, learning: LearningConfig) -> Learned:
    """Learn a token by a configuration of its own, from the study's problem. Raises as `learn_token_by`."""
    problem = study.problem if learning.projection else replace(study.problem, subspace=None)
    learned = learn_vectors(problem, study.encoder.text_tower, learning, study.seed)
    if learned.stopped:
        raise KeyboardInterrupt
    return learned


def palavra(study: Study) -> Tensor:
    """PALAVRA's second stage (Cohen et al. 2022): one vector `[1, text_width]` in the parent's place.

    Their first stage, a network that inverts images to a first vector, and the map of text to image features that
    is trained with it, are not public. So the vector begins at the parent's last word, as their code can
    (`use_base_code`), and no map is applied. Adam then lowers `palavra_loss` of 'a photo of a *' against 'a photo
    of a c', with their rate, temperature and number of steps.
    """
    tower, parent = study.encoder.text_tower, study.concept.parent
    slot = Slot.around(tower, "a photo of a", "")
    word = attributes.average_embeddings(tower, [parent.split()[-1]])
    (coarse,) = torch.from_numpy(study.encoder.encode_texts([f"a photo of a {parent}"]))
    image = torch.from_numpy(unit_rows(study.images.mean(0))).to(coarse)
    vector = word.clone().requires_grad_(True)
    optim = torch.optim.Adam([vector], lr=PALAVRA_RATE)
    for _ in range(PALAVRA_STEPS):
        (concept,) = slot.encode(tower, vector).features
        optim.zero_grad()
        palavra_loss(concept, image, coarse, PALAVRA_TEMPERATURE).backward()  # type: ignore[no-untyped-call]
        optim.step()
    return vector.detach()


def palavra_loss(concept: Tensor, image: Tensor, parent: Tensor, temperature: float) -> Tensor:
    """Contrastive loss of the pairs (mean image, concept's text) and (parent's text, itself), both ways.

    Args:
        concept, image, parent: `[embed_dim]` each, normalised.
        temperature: that similarities are divided by.
    """
    rows = torch.stack([image, parent, concept, parent])
    logits = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    return nn.functional.cross_entropy(logits, torch.tensor([2, 3, 0, 1], device=rows.device))


def learn_polar_update(study: Study) -> Tensor:
    """POLAR's update for a concept: factors `[2, rank, text_width]` (see `polar.py`)."""
    draws = np.random.default_rng(study.seed)
    templates = np.resize(draws.permutation(len(PARAPHRASES)), len(study.images))
    texts = [PARAPHRASES[i].format(f"{polar.IDENTIFIER} {study.concept.parent}") for i in templates]
    config = polar.read_polar_config(study.encoder.spec)
    return polar.learn_update(
        study.encoder.text_tower, texts, torch.from_numpy(study.images), config, study.seed
    )


def query_features_with_update(study: Study, factors: Features) -> Features:
    """Text features of the queries with POLAR's update, its identifier before the parent: `[Q, embed_dim]`."""
    texts = [query.text(f"{polar.IDENTIFIER} {study.concept.parent}") for query in study.queries]
    found = polar.text_features_with_update(study.encoder.text_tower, texts, torch.from_numpy(factors))
    features: Features = found.cpu().numpy()
    return features


def query_prompt(query: RetrievalQuery, parent: str) -> str:
    """A query's text in the query language, the custom token before the parent; without one where it is ""."""
    subject = f"<{_NAME}> {parent}".rstrip()
    return replace(query, template=escape(query.template)).text(subject)


def query_features(study: Study, vectors: Features, with_parent: bool = True) -> Features:
    """Text features of the queries with a token `[n_vectors, text_width]`, before the parent or in its place."""
    parent = study.concept.parent if with_parent else ""
    prompts = [query_prompt(query, parent) for query in study.queries]
    token = _custom_token(study.encoder, vectors)
    return np.stack([query_vector(prompt, study.encoder, lambda _: token)[0] for prompt in prompts])


def gair_queries(study: Study, vectors: Features, options: GairConfig) -> list[tuple[float, Features]]:
    """(selected weight, query vector `[embed_dim]`) of every query (Algorithm 1).

    Raises:
        GeneratorError: all that is drawn is blank.
    """
    assert study.generator is not None
    visualizer, mean = Visualizer(study.encoder, study.generator), study.images.mean(0)
    found = []
    for query in study.queries:
        mixed_query = query_mixture(study, query, vectors)
        w = select_weight(mixed_query, mean, visualizer, options).mixing_weight
        found.append((w, mixed_query.query_vector(w)))
    return found


def query_mixture(study: Study, query: RetrievalQuery, vectors: Features) -> Mixture:
    """A query with a token `[n_vectors, text_width]`, and with the attributes in its place."""
    token, prompt = _custom_token(study.encoder, vectors), query_prompt(query, study.concept.parent)
    return mix_prompt(
        compile_query(prompt, study.encoder, lambda _: token), study.encoder, study.mixed_attributes
    )


def _custom_token(encoder: Encoder, vectors: Features) -> CustomToken:
    return CustomToken(_NAME, vectors, encoder.text_tower.table_hash)
