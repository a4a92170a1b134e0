"""Table 4's methods by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gair_search.benchmarks.datasets.base import RetrievalQuery
from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.harness.negatives import count_mistakes
from gair_search.benchmarks.methods import concepts as concept_methods
from gair_search.benchmarks.methods.concepts import (
    OURS,
    PALAVRA_STEPS,
    PALAVRA_TEMPERATURE,
    Study,
    average_image,
    ideal_words,
    learn_token_by,
    palavra,
    palavra_loss,
    query_features,
    query_prompt,
    text_and_average_image,
    unit_rows,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import ConceptError
from gair_search.generation.generator import Generator
from gair_search.learning.config import PAPER
from gair_search.learning.joint import Objective
from gair_search.learning.negatives import unlike_concept
from gair_search.learning.preparation import view_features
from gair_search.learning.subspace import project
from gair_search.learning.templates import PARAPHRASES

WORLD = {"concepts": 2, "views": 2, "distractors": 10, "kinds": 2, "size": 64, "elsewhere": False}
QUICK = replace(PAPER, n_vectors=2, steps=3, learning_rate=0.01, lambda_ce=0.1)


@pytest.fixture(scope="module")
def study(model: Encoder) -> Study:
    """The first concept of a small fashion world."""
    data = fashion_world(0, shots=2, **WORLD)
    concept = data.concepts[0]

    def features(pictures: tuple) -> np.ndarray:
        return model.encode_images([p.image() for p in pictures])

    queries = tuple(query for query in data.queries if query.concept == concept.name)
    images, others = features(concept.images), features(data.gallery)
    words = ("red", "old", "striped")
    return Study(model, concept, queries, images, others, QUICK, words, 0, Generator.load(model))


def test_text_and_average_image_by_hand() -> None:
    texts = np.array([[1.0, 0, 0], [0, 0, 1]], np.float32)
    images = np.array([[0.6, 0.8, 0], [-0.6, 0.8, 0]], np.float32)  # their mean points to (0, 1, 0)
    assert average_image(texts, images).tolist() == [[0, 1, 0], [0, 1, 0]]
    half = math.sqrt(0.5)
    wanted = [[half, half, 0], [0, half, half]]
    assert np.allclose(text_and_average_image(texts, images), wanted, atol=1e-6)


def test_ideal_words_by_hand() -> None:
    texts = np.array([[1.0, 0, 0], [0, 1, 0]], np.float32)
    images = np.array([[0.6, 0.8, 0], [0.6, -0.8, 0]], np.float32)  # mean (0.6, 0, 0)
    parents = np.array([[0, 0, 1.0], [0, 0.6, 0.8]], np.float32)  # mean (0, 0.3, 0.9)
    found = ideal_words(texts, images, parents)
    assert np.allclose(found, unit_rows(np.array([[1.6, -0.3, -0.9], [0.6, 0.7, -0.9]])), atol=1e-6)
    # what looks like the parent's words adds nothing
    assert np.allclose(ideal_words(texts, parents, parents[::-1]), texts, atol=1e-6)


def test_ideal_words_find_what_is_a_sum_exactly() -> None:
    """Where features are sums of parts, the query with * is the composition of * and its context."""
    rng = np.random.default_rng(0)
    base, parent, concept = rng.normal(size=(3, 8)) * 0.1
    contexts = rng.normal(size=(4, 8)) * 0.1
    contexts -= contexts.mean(0)
    found = ideal_words(base + parent + contexts, base + concept + contexts, base + parent + contexts)
    assert np.allclose(found, unit_rows(base + concept + contexts), atol=1e-6)


def test_palavra_loss_is_the_symmetric_contrastive_loss_of_two_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    concept, image, parent = torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=1)
    t, first, second = 0.25, torch.stack([image, parent]), torch.stack([concept, parent])
    terms = []
    for a, b in ((first, second), (second, first)):
        for i in range(2):
            others = [a[1 - i], b[0], b[1]]
            below = sum(math.exp(float(a[i] @ other) / t) for other in others)
            terms.append(-math.log(math.exp(float(a[i] @ b[i]) / t) / below))
    assert palavra_loss(concept, image, parent, t).item() == pytest.approx(sum(terms) / 4, abs=1e-5)


def test_palavra_starts_at_the_parents_word_and_lowers_its_loss(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []

    def seen(*args: object) -> torch.Tensor:
        losses.append(palavra_loss(*args).item())
        return palavra_loss(*args)

    monkeypatch.setattr(concept_methods, "palavra_loss", seen)
    vector = palavra(study)
    assert len(losses) == PALAVRA_STEPS
    assert losses[-1] < losses[0]
    assert vector.shape == (1, study.encoder.text_tower.width)
    word = study.concept.parent.split()[-1]
    first, parent = study.encoder.encode_texts(
        [f"a photo of a {word}", f"a photo of a {study.concept.parent}"]
    )
    rows = (first, unit_rows(study.images.mean(0)), parent)
    wanted = palavra_loss(*map(torch.from_numpy, rows), PALAVRA_TEMPERATURE)
    assert losses[0] == pytest.approx(wanted.item(), abs=1e-5)


def test_a_query_with_words_for_a_token_is_the_plain_text(study: Study) -> None:
    """A token of the words' own embeddings before the parent, and in its place."""
    tower, parent = study.encoder.text_tower, study.concept.parent
    rows = tower.token_embeddings(torch.tensor(tower.token_ids("striped"))).detach().numpy()
    texts = study.encoder.encode_texts([query.text(f"striped {parent}") for query in study.queries])
    assert np.allclose(query_features(study, rows), texts, atol=1e-5)
    alone = study.encoder.encode_texts([query.text("striped") for query in study.queries])
    assert np.allclose(query_features(study, rows, with_parent=False), alone, atol=1e-5)


def test_a_caption_is_taken_by_its_characters() -> None:
    query = RetrievalQuery("q", "a {subject} (old) [worn] * <on> sand", "c", frozenset())
    assert query_prompt(query, "dress") == r"a <concept> dress \(old\) \[worn\] \* \<on\> sand"
    assert query_prompt(query, "").startswith("a <concept> ")


def test_negatives_are_what_the_library_would_choose_of_a_gallery(study: Study) -> None:
    views = view_features(study.photos, study.encoder, QUICK.views, study.seed)
    (plain,) = study.encoder.encode_texts([f"image of a {study.concept.parent}"])
    nearest = np.argsort(-(study.others @ plain), kind="stable")
    wanted = nearest[unlike_concept(study.others[nearest], views)]
    assert study.negative_rows.tolist() == wanted.tolist()
    assert len(wanted) < len(nearest)
    assert np.array_equal(study.problem.negatives.numpy(), study.others[wanted])  # all are learned from
    assert (study.problem.choose, study.problem.report) == (None, None)
    drawn = replace(study, all_negative=True)
    assert drawn.negative_rows.tolist() == list(range(len(study.others)))
    with pytest.raises(ConceptError, match="negative images"):
        _ = replace(study, others=study.images).negative_rows
    # mistakes are counted from labels
    shows = np.zeros(len(study.others), bool)
    shows[wanted[:2]] = True
    shows[next(row for row in range(len(shows)) if row not in wanted)] = True
    counted = count_mistakes(
        [replace(study, shows_concept=shows), replace(study, shows_concept=~shows & False)]
    )
    assert counted == {
        "images": 2 * len(wanted), "showing the concept": 2, "concepts": 2, "concepts with any": 1
    }  # fmt: skip


def test_projection_and_its_absence(study: Study) -> None:
    ours, free = learn_token_by(study, OURS).vectors, learn_token_by(study, "joint").vectors
    subspace = study.problem.subspace
    assert torch.allclose(project(ours, subspace), ours, atol=1e-5)
    assert not torch.allclose(project(free, subspace), free, atol=1e-3)


def test_captions_reach_the_diffusion_loss_with_their_own_image(study: Study) -> None:
    assert study.captions == study.problem.captions == ()
    first, second = study.concept.images
    long = "a {subject} " + "on sand " * 77
    twice = "a {subject} beside a {subject}"
    told = {first.id: "a person in a {subject}", second.id: long}
    captioned = replace(study, concept=replace(study.concept, captions=told))
    assert captioned.captions == (("a person in a {}", 0),)
    other = replace(study, concept=replace(study.concept, captions={second.id: twice}))
    assert other.captions == ()
    problem = captioned.problem
    objective = Objective(problem, study.encoder.text_tower, QUICK)
    assert [image for _, image in objective.templates] == [None] * len(PARAPHRASES) + [0]
    latents = problem.denoiser.latents
    assert torch.equal(problem.denoiser.for_images([0]).latents, latents[[0, 2]])
    assert torch.equal(problem.denoiser.for_images([1]).latents, latents[[1, 3]])
    assert torch.allclose(latents[2], problem.denoiser.for_images([0]).latents[1])
