"""Every constant that the papers give, and where it stands here: (paper and place, what, the paper's value, ours).

What stands in no name of its own, as a rate that depends on the classes, is worked out by hand below the table.
Constants that the papers leave open are no part of it: the candidate weights of Algorithm 1, the noise of GAIR's
images, MC-TI's loss weights (we have its abstract alone).
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gair_search.benchmarks.datasets.attributes import AttributeSet
from gair_search.benchmarks.datasets.base import Picture
from gair_search.benchmarks.datasets.combinations import CUB_PHRASES, celeba_combinations, cub_combinations
from gair_search.benchmarks.datasets.pervl import PARENT
from gair_search.benchmarks.harness import classifiers, combination_rankings
from gair_search.benchmarks.harness.learned_tokens import TrialsConfig
from gair_search.benchmarks.methods import concepts, fewshot, polar
from gair_search.benchmarks.tables.fewshot import FewShotConfig
from gair_search.benchmarks.tables.generation import PHOTO_CONTEXTS, GenerationConfig
from gair_search.benchmarks.tables.preference import ZERO_SHOT_AUC
from gair_search.benchmarks.tables.recognition import LOSS_WEIGHTS
from gair_search.benchmarks.tables.retrieval import PERVL_ATTRIBUTES, RetrievalConfig
from gair_search.cli.pages import concept as concept_page
from gair_search.encoder import reweighting
from gair_search.encoder.clip import Encoder
from gair_search.gair import algorithm
from gair_search.gair import options as gair_options
from gair_search.learning import config, stori, templates

TOKENS = "Perera et al., "
REWEIGHTING = "Kim et al. 2024, "
SETTINGS = REWEIGHTING + "appendix A.1"
ATTRIBUTES = REWEIGHTING + "appendix A.2"
TASKRES = "TaskRes (Yu et al. 2023), the authors' code"
PALAVRA = "PALAVRA (Cohen et al. 2022), the authors' code"
POLAR = "POLAR (Ryan et al. 2025), the authors' code"
SIX = ("red", "old", "worn", "bright", "dark", "pink")
FIRST = templates.PARAPHRASES[0]

CONSTANTS: list[tuple[str, str, Any, Any]] = [
    (TOKENS + "section 4.2", "prompt of l_CE, with * and without", "image of a {}", templates.CLASSIFICATION),
    (TOKENS + "section 4.2", "the first paraphrase of it", "image of a {}", FIRST),
    (TOKENS + "section 4.4", "largest weight: the query as it is", 1.0, max(gair_options.COARSE)),
    (
        TOKENS + "section 4.4",
        "the plain loop tries both ends",
        (0.0, 1.0),
        algorithm.TENTHS[:: len(algorithm.TENTHS) - 1],
    ),
    (TOKENS + "section 5", "trainable vectors", 10, config.PAPER.n_vectors),
    (TOKENS + "section 5", "lambda_SD", 1.0, config.PAPER.lambda_sd),
    (TOKENS + "section 5", "lambda_CE", 1e-5, config.PAPER.lambda_ce),
    (TOKENS + "section 5", "learning rate", 5e-4, config.PAPER.learning_rate),
    (TOKENS + "section 5", "batch size", 4, config.PAPER.batch_size),
    (TOKENS + "section 5", "steps", 20_000, config.PAPER.steps),
    (TOKENS + "section 5", "attributes that span the subspace", 100, config.PAPER.n_attributes),
    (TOKENS + "section 4.3", "the projection is on", True, config.PAPER.projection),
    (TOKENS + "section 4.3", "on all directions of the attributes", None, config.PAPER.rank),
    (TOKENS + "section 5", "A for DeepFashion2", SIX, PERVL_ATTRIBUTES),
    (TOKENS + "section 5", "super-class of DeepFashion2", "dress", PARENT),
    (
        TOKENS + "section 5",
        "training images of DeepFashion2",
        "all",
        RetrievalConfig.SHOTS["pervl-deepfashion2"],
    ),
    (TOKENS + "section 5", "photos a concept, Textual Inversion", 3, TrialsConfig.SHOTS["textual-inversion"]),
    (TOKENS + "section 5", "contexts of table 2", 10, len(PHOTO_CONTEXTS)),
    (TOKENS + "section 5", "images a context", 8, GenerationConfig.images),
    (TOKENS + "table 2", "concepts: a random object accuracy of 1/6", 6, GenerationConfig.limit),
    (TOKENS + "table 1", "loss weights", ((0, 1), (1, 0.1), (1, 0.001), (1, 0)), LOSS_WEIGHTS),
    (TOKENS + "figure 4", "the darkest cosine", 0.4, concept_page._DARKEST),
    (REWEIGHTING + "section 4.1", "blocks left alone: from the 7th on", 6, reweighting.start_block(12)),
    (REWEIGHTING + "section 4.1", "their share", 0.5, reweighting.PAPER_START_FRACTION),
    (REWEIGHTING + "section 4.1.1", "shots", (1, 2, 4, 8, 16), FewShotConfig.shots),
    (REWEIGHTING + "section 4.1.1", "most shots with 100 epochs", 4, stori.FEW_SHOTS),
    (REWEIGHTING + "section 4.1.2", "rare tokens", ("sks", "pll", "ucd"), fewshot.RARE_TOKENS),
    (REWEIGHTING + "section 4.1.2", "how many are added", 5, fewshot.NONSENSE),
    (REWEIGHTING + "tables 2 and 8", "runs", 3, len(FewShotConfig.seeds)),
    (SETTINGS, "learning rate of Adam", 0.05, stori.PAPER.learning_rate),
    (SETTINGS, "epochs: by the number of images", None, stori.PAPER.epochs),
    (SETTINGS, "batch size", 256, stori.PAPER.batch_size),
    (SETTINGS, "a weight of its own for each piece", False, stori.PAPER.whole_words),
    (SETTINGS, "TaskRes's rate and weight decay", (2e-4, 0.005), classifiers.RATES[classifiers.TASKRES]),
    (SETTINGS, "TaskRes's alpha", 0.5, fewshot.ALPHA),
    (TASKRES, "rate and weight decay", (2e-3, 5e-4), classifiers.RATES[classifiers.TASKRES_OWN]),
    (TASKRES, "rate of the first epoch", 1e-5, fewshot.WARM_UP_RATE),
    (REWEIGHTING + "table 3", "weight of an emphasised attribute", 1.5, combination_rankings.UP),
    (REWEIGHTING + "table 3", "weight of a de-emphasised one", 0.5, combination_rankings.DOWN),
    (REWEIGHTING + "table 4", "the larger of two weights", 2.0, combination_rankings.MORE),
    (ATTRIBUTES, "ROC AUC from which an attribute is taken", 0.75, ZERO_SHOT_AUC),
    (ATTRIBUTES, "attributes of CUB, table 10", 15, len(CUB_PHRASES)),
    (PALAVRA, "steps", 10, concepts.PALAVRA_STEPS),
    (PALAVRA, "rate", 0.01, concepts.PALAVRA_RATE),
    (PALAVRA, "temperature", 0.25, concepts.PALAVRA_TEMPERATURE),
    (POLAR, "rank", 1, polar.PAPER.rank),
    (POLAR, "steps", 500, polar.PAPER.steps),
    (POLAR, "learning rate", 1e-3, polar.PAPER.learning_rate),
    (POLAR, "regularisation", 0.1, polar.PAPER.regularisation),
    (POLAR, "the word for the concept", "sks", polar.IDENTIFIER),
]


@pytest.mark.parametrize(
    ("where", "what", "paper", "ours"), CONSTANTS, ids=[f"{where}: {what}" for where, what, *_ in CONSTANTS]
)
def test_constants_are_the_papers(where: str, what: str, paper: Any, ours: Any) -> None:
    assert ours == paper, f"{where}: {what}"


def prompts_of(n_classes: int) -> stori.ClassPrompts:
    """Class prompts of which nothing but their number counts."""
    nothing = torch.zeros(0)
    return stori.ClassPrompts((("x",),) * n_classes, (), nothing, nothing, nothing, nothing, nothing)


@pytest.mark.parametrize(("n_classes", "rate"), [(47, 0.05), (102, 0.05), (397, 0.01), (1000, 0.01)])
def test_storis_rate_is_a_fifth_for_hundreds_of_classes(
    n_classes: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DTD and Flowers102 learn at 0.05, SUN397 and ImageNet at 0.01 (appendix A.1)."""
    given: list[stori.TokenWeightsConfig] = []

    def learn(
        prompts: stori.ClassPrompts, features: Any, labels: Any, tower: Any, preset: Any, seed: int
    ) -> tuple[torch.Tensor, list[float]]:
        given.append(preset)
        return torch.zeros(0), []

    monkeypatch.setattr(stori, "learn_token_weights", learn)
    monkeypatch.setattr(stori, "text_classifier", lambda *_: torch.zeros(0))
    shots = fewshot.Shots(torch.zeros(0), torch.zeros(0), 100)
    fewshot.stori(prompts_of(n_classes), None, shots)  # type: ignore[arg-type]
    assert [(one.learning_rate, one.epochs, one.batch_size) for one in given] == [(rate, 100, 256)]


@pytest.mark.parametrize(("images", "epochs"), [(1, 100), (4, 100), (5, 200), (16, 200)])
def test_storis_epochs_adam_and_cosine_are_the_papers(
    images: int, epochs: int, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam at 0.05 without weight decay, down a cosine to 0 over 100 epochs, or 200 from 8 images a class on."""
    made: list[dict[str, Any]] = []

    class Adam(torch.optim.Adam):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self.param_groups[0])

        def step(self, closure: Any = None) -> None:
            made.append(dict(self.param_groups[0]))

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    monkeypatch.setattr(
        stori, "text_classifier", lambda log_weights, *_: log_weights.exp()[:, 1:2] + torch.eye(2)
    )
    prompts = stori.encode_class_prompts([["red"], ["blue"]], encoder.text_tower)
    features, labels = torch.eye(2).repeat(images, 1), torch.arange(2).repeat(images)
    stori.learn_token_weights(prompts, features, labels, encoder.text_tower)
    steps = made[1:]
    assert len(steps) == epochs
    assert {(one["weight_decay"], one["betas"]) for one in steps} == {(0, (0.9, 0.999))}
    rates = [0.05 * (1 + math.cos(math.pi * i / epochs)) / 2 for i in range(epochs)]
    assert [one["lr"] for one in steps] == pytest.approx(rates, abs=1e-9)


def test_token_weights_are_learned_as_their_logarithms() -> None:
    """Section 3.2: they begin at 1, where nothing is weighed, and stay positive."""
    nothing = torch.zeros(1, 3)
    prompts = stori.ClassPrompts((), (), nothing, nothing, nothing, nothing, torch.ones(1, 3).bool())
    weights = stori.token_weights(torch.tensor([[0.0, math.log(2), -math.log(2)]]), prompts)
    assert weights.tolist()[0] == pytest.approx([1, 2, 0.5])


@pytest.mark.parametrize(
    ("method", "n_classes", "rate", "decay"),
    [
        (classifiers.TASKRES, 3, 2e-4, 0.005),
        (classifiers.TASKRES, 1000, 2e-5, 0.005),
        (classifiers.TASKRES_OWN, 3, 2e-3, 5e-4),
        (classifiers.TASKRES_OWN, 1000, 2e-4, 5e-4),
    ],
)
def test_taskress_rate_is_a_tenth_for_imagenet(
    method: str, n_classes: int, rate: float, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appendix A.1: 2e-5 for ImageNet and 2e-4 for the others; the authors' own are ten times as large."""
    given: list[tuple[float, ...]] = []
    monkeypatch.setattr(fewshot, "raw_base", lambda prompts, tower: torch.zeros(1))
    monkeypatch.setattr(fewshot, "taskres", lambda base, shots, scale, *rest: given.append((scale, *rest)))

    class Data:
        classes = (None,) * n_classes

    class Study:
        encoder = type("", (), {"text_tower": type("", (), {"logit_scale": 100.0})})
        data = Data
        prompts = staticmethod(lambda text: None)
        shots = staticmethod(lambda k: None)

    classifiers.ClassifierStudy._taskres(Study, method, "base", 1)  # type: ignore[arg-type]
    assert given == [(100.0, pytest.approx(rate), decay)]


def attribute_set(labels: dict[str, list[bool]]) -> AttributeSet:
    """Pictures that are never looked at, with these attributes."""
    n = len(next(iter(labels.values())))
    pictures = tuple(Picture(str(i), lambda side: Image.new("RGB", (1, 1))) for i in range(n))
    return AttributeSet("made", pictures, {k: np.array(v) for k, v in labels.items()}, np.ones(n, bool))


def test_celebas_pools_have_100_pictures_in_each_of_eight_categories() -> None:
    """Section 4.2.1: 800 pictures, ranked for a woman with blonde hair, wearing eyeglasses; P at 400, half of them."""
    flags = [[bool(i & bit) for i in range(8) for _ in range(101)] for bit in (1, 2, 4)]
    data = attribute_set(dict(zip(("Male", "Blond_Hair", "Eyeglasses"), flags, strict=True)))
    female, male = celeba_combinations(data, ["Blond_Hair", "Eyeglasses"], 0)
    for one in (female, male):
        assert (len(one.pictures), len({p.id for p in one.pictures}), one.k) == (800, 800, 400)
        assert {key: int(there.sum()) for key, there in one.categories().items()} == dict.fromkeys(
            [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)], 100
        )
    assert female.prompt() == "a photo of a woman with blonde hair, wearing eyeglasses"
    assert (
        female.prompt({"Eyeglasses": 1.5}) == "a photo of a woman with blonde hair, (wearing eyeglasses:1.5)"
    )
    assert male.prompt({"male": 0.5}) == "a photo of a (man:0.5) with blonde hair, wearing eyeglasses"


def test_cubs_prompt_is_the_papers() -> None:
    """Appendix A.2: three of 15 attributes, no two of one colour, over all pictures."""
    found = list(cub_combinations(attribute_set({name: [True, False] for name in CUB_PHRASES}), 0))
    assert len(found) == 57  # the paper counts 58
    assert all(len(one.pictures) == 2 and one.k is None for one in found)
    assert found[0].prompt() == (
        "a photo of a bird, which has hooked seabird bill, has duck-like shape, and has blue crown"
    )


def test_opposite_weights_go_to_0_and_2_and_are_plain_in_the_middle() -> None:
    """Figure 5's w and, since the paper shows weights up to 2 and calls 1 plain, 2 - w."""
    weights = combination_rankings.OPPOSITE
    assert (weights[0], weights[5], weights[-1]) == (0.0, 1.0, 2.0)
    assert np.diff(weights) == pytest.approx([0.2] * 10)


def test_every_attribute_is_weighed_alone_and_in_pairs() -> None:
    """Table 3 weighs one of three attributes at 1.5 and 0.5, table 4 one at 2.0 beside another at 1.5."""
    weightings = combination_rankings._weightings(("a", "b", "c"))
    assert weightings[:7] == [{}, {"a": 1.5}, {"a": 0.5}, {"b": 1.5}, {"b": 0.5}, {"c": 1.5}, {"c": 0.5}]
    pairs = [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    assert weightings[7:13] == [{more: 2.0, up: 1.5} for more, up in pairs]
    assert len(combination_rankings._weightings("abcde")) == 1 + 5 * 2
