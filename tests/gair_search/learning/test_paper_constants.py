"""Every constant that the papers give, and where it stands here: (paper and place, what, the paper's value, ours)."""

from typing import Any

import pytest

from gair_search.encoder import reweighting
from gair_search.gair import options as gair_options
from gair_search.learning import config, stori, templates

CUSTOM_TOKENS = "Perera et al., section 5"
SETTINGS = "Kim et al. 2024, appendix A.1"

CONSTANTS: list[tuple[str, str, Any, Any]] = [
    (CUSTOM_TOKENS, "trainable vectors", 10, config.PAPER.n_vectors),
    (CUSTOM_TOKENS, "lambda_SD", 1.0, config.PAPER.lambda_sd),
    (CUSTOM_TOKENS, "lambda_CE", 1e-5, config.PAPER.lambda_ce),
    (CUSTOM_TOKENS, "learning rate of AdamW", 5e-4, config.PAPER.learning_rate),
    (CUSTOM_TOKENS, "batch size", 4, config.PAPER.batch_size),
    (CUSTOM_TOKENS, "steps", 20_000, config.PAPER.steps),
    (CUSTOM_TOKENS, "attributes that span the subspace", 100, config.PAPER.n_attributes),
    (CUSTOM_TOKENS, "the projection is on", True, config.PAPER.projection),
    ("Perera et al., section 4.2", "prompt of l_CE", "image of a {}", templates.CLASSIFICATION),
    ("Perera et al., section 4.4", "mixing weight of the concept alone", 1.0, max(gair_options.COARSE)),
    ("Kim et al. 2024, section 3.1", "blocks left alone", 6, reweighting.start_block(12)),
    ("Kim et al. 2024, section 3.1", "their share", 0.5, reweighting.PAPER_START_FRACTION),
    (SETTINGS, "learning rate of Adam", 0.05, stori.PAPER.learning_rate),
    (SETTINGS, "epochs: by the number of images", None, stori.PAPER.epochs),
    (SETTINGS, "most images a class with 100 epochs", 4, stori.FEW_SHOTS),
    (SETTINGS, "batch size", 256, stori.PAPER.batch_size),
    (SETTINGS, "a weight of its own for each piece", False, stori.PAPER.whole_words),
]


@pytest.mark.parametrize(("where", "what", "paper", "ours"), CONSTANTS, ids=[row[1] for row in CONSTANTS])
def test_constants_are_the_papers(where: str, what: str, paper: Any, ours: Any) -> None:
    assert ours == paper, f"{where}: {what}"
