from pathlib import Path

import pytest

from gair_search.learning.attributes import vocabulary


def test_the_shipped_vocabulary_is_what_wordnet_says() -> None:
    from training.adjectives import adjectives
    from training.wordnet import ROOT

    if not (Path(ROOT) / "data.adj").exists():
        pytest.skip("WordNet is not installed: apt-get install wordnet-base")
    assert tuple(adjectives()) == vocabulary()
