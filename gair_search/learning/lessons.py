"""One concept learned from its photos: a custom token with its facts (Perera et al., section 4)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gair_search.encoder.clip import Encoder
from gair_search.images.folders import Skipped
from gair_search.learning import attributes
from gair_search.learning.config import LearningConfig, Method, config_for
from gair_search.learning.joint import Learned, Losses, learn_vectors
from gair_search.learning.preparation import check_learnable, check_length, prepare_problem
from gair_search.learning.report import quality
from gair_search.tokens import facts
from gair_search.tokens.custom_token import CustomToken

if TYPE_CHECKING:
    from gair_search.generation.generator import Generator


@dataclass(frozen=True)
class Lesson:
    """What came of learning a concept.

    Attributes:
        token: fit to be stored; its facts tell how it was learned and how good it is.
        learned: the run.
        skipped: images that could not be read, and why.
    """

    token: CustomToken
    learned: Learned
    skipped: tuple[Skipped, ...] = ()


def learn_token(
    name: str,
    images: Sequence[Image.Image] | NDArray[np.float32],
    parent: str,
    encoder: Encoder,
    find_negatives: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    *,
    config: LearningConfig | None = None,
    method: Method = "joint",
    adjectives: Sequence[str] = (),
    generator: "Generator | None" = None,
    seed: int = 0,
    hold_out: bool = True,
    on_look: Callable[[Losses], None] | None = None,
) -> Lesson:
    """Learn a concept from its photos. Long, since it has many arguments.

    Args:
        name: of the concept.
        images: 3 to 5 photos of it, RGB; or their features alone, `[n, embed_dim]`, normalised, from which prompt
            tuning learns.
        parent: what it is a kind of, "dress".
        encoder: the model; the token belongs to its text tower.
        find_negatives: (text features of 'image of a c' `[embed_dim]`, features of the concept images, each
            followed by its views, `[n, 1 + views, embed_dim]`) -> features of negative images `[K, embed_dim]`.
        config: of the model unless given; `method` sets the loss weights.
        adjectives: the attributes; else those of the vocabulary that are nearest to the parent.
        generator: for the diffusion loss; the joint method needs it, and prompt tuning doesn't.
        seed: the same gives the same token.
        hold_out: whether photos are left out of learning, to choose the step and to report on, see `split_photos`;
            else all are learned from, the last step is taken, and nothing is reported.
        on_look: see `learn_vectors`.

    Raises:
        ConceptError: no images, no parent, too few negatives; the method needs a generator.
        PromptError, ModelError.
    """
    config = (config or config_for(encoder.spec)).with_method(method)
    check_learnable(name, images, parent, config, generator)
    tower = encoder.text_tower
    check_length(tower, parent, config)
    words = list(adjectives) or attributes.nearest(tower, parent, config.n_attributes)
    problem = prepare_problem(
        images, parent, encoder, find_negatives, config, words, generator, seed, hold_out
    )
    learned = learn_vectors(problem, tower, config, seed, on_look)
    vectors = learned.vectors.float().cpu().numpy()
    assert problem.photos is not None
    found = {
        facts.METHOD: method,
        facts.ATTRIBUTES: ", ".join(words),
        facts.CONCEPT_FEATURES: facts.pack(problem.photos.mean(0).cpu().numpy()),
        "settings": json.dumps(asdict(config)),
        "seed": str(seed),
        "step": str(learned.step),
        facts.HELD_OUT: facts.pack_losses(
            (look.step, look.held_out) for look in learned.losses if look.held_out is not None
        ),
        "n_images": str(len(images)),
        "learned_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quality": json.dumps(quality(learned.vectors, problem, tower, words)),
    }
    return Lesson(
        CustomToken(name, vectors, tower.table_hash, str(encoder.embedder_id), parent, found), learned
    )
