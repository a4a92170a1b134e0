"""Which runs make the tables, and at what settings."""

from pathlib import Path

import pytest

from gair_search.benchmarks.datasets.coop import COOP_SETS
from gair_search.benchmarks.methods.concepts import OURS, PROMPT_TUNING
from gair_search.benchmarks.reproduction.beside import FIGURES
from gair_search.benchmarks.reproduction.plan import LISTS, RUNS, TABLES, choose_tables, runs_of
from gair_search.benchmarks.reproduction.requirements import REQUIREMENTS
from gair_search.benchmarks.reproduction.sources import DRAWN, PAPERS, RECOGNISED, TRIAL, Sources
from gair_search.benchmarks.tables.fewshot import FewShotConfig
from gair_search.benchmarks.tables.generation import GenerationConfig
from gair_search.benchmarks.tables.preference import PreferenceConfig
from gair_search.benchmarks.tables.recognition import LOSS_WEIGHTS, RecognitionConfig
from gair_search.benchmarks.tables.retrieval import RetrievalConfig
from gair_search.benchmarks.tables.speed import SpeedConfig
from gair_search.errors import GairError


def test_every_table_of_the_papers_is_here() -> None:
    """Perera et al. have tables 1 to 4, Kim et al. 1 to 10."""
    papers = {f"tokens-{i}" for i in range(1, 5)} | {f"stori-{i}" for i in range(1, 11)}
    assert set(TABLES) | set(LISTS) == papers
    assert not set(TABLES) & set(LISTS)


def test_names_lead_somewhere() -> None:
    assert {name for table in TABLES.values() for name in table.runs} == set(RUNS) == set(FIGURES)
    assert {key for run in RUNS.values() for key in run.needs} == set(REQUIREMENTS)
    assert all(name == run.name for name, run in RUNS.items())
    for run in RUNS.values():
        assert run.model in run.needs
        assert run.draws == ("generator" in run.needs)


def test_tables_by_name_or_by_paper() -> None:
    assert list(choose_tables([])) == list(TABLES)
    assert list(choose_tables(["stori-7", " Tokens-2 "])) == ["tokens-2", "stori-7"]
    assert list(choose_tables(["tokens"])) == ["tokens-1", "tokens-2", "tokens-3", "tokens-4"]
    with pytest.raises(GairError, match="no table tokens-9; there are: tokens-1, "):
        choose_tables(["tokens-9"])
    both = [run.name for run in runs_of(choose_tables(["tokens-1", "tokens-3"]).values())]
    assert both == ["recognition"]


def test_custom_tokens_are_run_as_section_5_has_it() -> None:
    sources = Sources(Path("data"))
    recognition = RUNS["recognition"].configure(sources, PAPERS)
    assert isinstance(recognition, RecognitionConfig)
    assert (recognition.dataset, recognition.shots or recognition.SHOTS[recognition.dataset]) == (
        "textual-inversion",
        3,
    )
    assert (recognition.loss_weights, recognition.parents, recognition.steps) == (
        LOSS_WEIGHTS,
        RECOGNISED,
        None,
    )
    assert set(recognition.rows) == {PROMPT_TUNING, "textual inversion", OURS}
    assert recognition.classes == Path("data/256_ObjectCategories")
    generation = RUNS["generation"].configure(sources, PAPERS)
    assert isinstance(generation, GenerationConfig)
    assert (len(generation.context_texts), generation.images, generation.limit) == (10, 8, 6)
    assert len(generation.parents) == len(DRAWN) == 6  # chance is 0.166 in table 2
    retrieval = RUNS["retrieval"].configure(sources, PAPERS)
    assert isinstance(retrieval, RetrievalConfig)
    assert (retrieval.shots, retrieval.redact_faces, retrieval.split) == ("all", True, "test")
    assert {f"{PROMPT_TUNING} + GAIR", f"{OURS} + GAIR"} < set(retrieval.rows)
    assert retrieval.rows.index("text only") == 0
    for config in (recognition, generation, retrieval):
        assert config.generator == "CompVis/stable-diffusion-v1-4"


def test_token_weights_are_run_as_section_4_has_it() -> None:
    sources = Sources(Path("data"))
    celeba, cub = (RUNS[f"preference-{name}"].configure(sources, PAPERS) for name in ("celeba", "cub"))
    assert isinstance(celeba, PreferenceConfig)
    assert isinstance(cub, PreferenceConfig)
    assert (celeba.limit, celeba.per_category, cub.limit) == (20, 100, 58)
    assert RUNS["preference-celeba-metaclip"].configure(sources, PAPERS) == celeba
    assert RUNS["preference-celeba-metaclip"].model == "metaclip"
    speed = RUNS["speed"].configure(sources, PAPERS)
    assert isinstance(speed, SpeedConfig)
    assert (speed.parts, speed.rounds) == (("text",), 28_000)


def test_rates_are_those_of_appendix_a() -> None:
    shots = (1, 2, 4, 8, 16)
    for name, early, late, metaclip in (
        ("imagenet", 0.01, 0.01, 0.01),
        ("dtd", 0.05, 0.1, 0.05),
        ("flowers102", 0.05, 0.1, 0.1),
        ("sun397", 0.01, 0.01, 0.01),
        ("caltech101", 0.05, 0.05, 0.05),
        ("food101", 0.1, 0.1, 0.05),
    ):
        own = COOP_SETS[name]
        assert [own.learning_rate(k, metaclip=False) for k in shots] == [early] * 3 + [late] * 2
        assert {own.learning_rate(k, metaclip=True) for k in shots} == {metaclip}


def test_few_shot_runs_learn_with_names_alone(made: Sources) -> None:
    run = RUNS["fewshot-dtd"].configure(made, PAPERS)
    assert isinstance(run, FewShotConfig)
    learned = (run.shots, run.token_shots, len(run.seeds), run.epochs, run.rate)
    assert learned == ((1, 2, 4, 8, 16), (), 3, None, None)
    assert run.descriptions == made.data / "cupl/dtd.json"
    assert RUNS["fewshot-dtd-metaclip"].configure(made, PAPERS) == run
    assert RUNS["fewshot-dtd-metaclip"].model == "metaclip"


def test_a_trial_is_small_everywhere(made: Sources) -> None:
    for run in RUNS.values():
        papers, trial = (run.configure(made, scale) for scale in (PAPERS, TRIAL))
        assert len(trial.seeds) == 1 <= len(papers.seeds)
        assert trial != papers
