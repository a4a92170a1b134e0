"""`gair bench retrieval`: text-to-image retrieval of concepts (Perera et al., section 5, table 4).

Every concept is learned from its own few images, and each query names it in a context. A query is answered by
cosine similarity over a whole gallery; where a data set has two, both are searched. Negative images are drawn, as in
the paper, unless the run takes them from what is searched, which is transductive: `benchmarks/PROTOCOL.md`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from gair_search.benchmarks.datasets import faces
from gair_search.benchmarks.datasets.base import Picture, RetrievalQuery, RetrievalSet
from gair_search.benchmarks.datasets.dreambooth import dreambooth
from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.datasets.pervl import Captions, Split, deepfashion2
from gair_search.benchmarks.harness.answers import CUTS, MEASURES, Answer, MethodRecord
from gair_search.benchmarks.harness.cells import Work, digest
from gair_search.benchmarks.harness.concept_runs import ConceptRunConfig
from gair_search.benchmarks.harness.measures import (
    ranking,
    recall_at,
    reciprocal_rank,
)
from gair_search.benchmarks.harness.negatives import (
    DRAWN,
    GALLERY,
    NegativeImages,
    NegativePool,
    count_mistakes,
)
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import (
    ProgressCounter,
    known_rows,
    load_own_generator,
    without_generator,
)
from gair_search.benchmarks.harness.sheets import SHOWN
from gair_search.benchmarks.harness.summaries import compare_rows
from gair_search.benchmarks.harness.token_cells import CONSTANT_WEIGHT, TokenCells
from gair_search.benchmarks.methods.concepts import (
    CONSTANT,
    CONTROLS,
    GAIR,
    LEARNED,
    MIXED,
    NEEDS_GENERATOR,
    NEEDS_NEGATIVES,
    OURS,
    PALAVRA,
    POLAR,
    PROMPT_TUNING,
    RANDOM,
    UNLEARNED,
    Features,
    Study,
)
from gair_search.benchmarks.presentation.retrieval import (
    HITS,
    hits_figure,
    mrr_figure,
    retrieval_tables,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.generation.generator import Generator
from gair_search.progress import Progress

PERVL_ATTRIBUTES = ("red", "old", "worn", "bright", "dark", "pink")
"""A of Algorithm 1, the paper's for DeepFashion2 (section 5). The subspace is that of the 100 nearest attributes."""

_PROJECTED, _INVERSION = f"{PROMPT_TUNING} + projection", "textual inversion"

LADDER = (
    (PROMPT_TUNING, _INVERSION), (_PROJECTED, PROMPT_TUNING), (OURS, _INVERSION), (OURS, PROMPT_TUNING),
    (OURS, _PROJECTED), (OURS, POLAR), (OURS, "ideal words"), (f"{OURS} + GAIR", OURS),
)  # fmt: skip
"""Rows that are compared with each other: the paper's order, and the simple ways to ask."""

MIXINGS = tuple(
    (f"{name} + GAIR", other)
    for name in (PROMPT_TUNING, OURS)
    for other in (name, f"{name}, {CONSTANT}", f"{name}, {RANDOM}")
)
"""GAIR against what could refute it: the plain query, a constant weight, a random one."""

Source = Literal["fashion", "dreambooth", "pervl-deepfashion2"]


@dataclass(frozen=True)
class RetrievalConfig(ConceptRunConfig):
    """What a run is made of. PerVL's attributes are the paper's unless given; PerVL alone can take all photos.

    Attributes:
        gair: whether GAIR is run with those methods that the paper runs it with, and its controls.
        mixed: the attributes A of Algorithm 1; those of the subspace where empty, the paper's for PerVL.
        constant_weight: of the control with a constant mixing weight.
        split, captions: of PerVL.
        redact_faces: whether faces in concept images are blacked out first (`datasets.faces`).
    """

    dataset: Source = "fashion"
    gair: bool = False
    mixed: tuple[str, ...] = ()
    constant_weight: float = CONSTANT_WEIGHT
    split: Split = "test"
    captions: Captions = "detailed"
    redact_faces: bool = False

    METHODS: ClassVar[tuple[str, ...]] = (*UNLEARNED, PALAVRA, POLAR, *LEARNED)
    SHOTS: ClassVar[Mapping[str, int | str]] = {"fashion": 5, "dreambooth": 3, "pervl-deepfashion2": "all"}

    def __post_init__(self) -> None:
        """Raise GairError where a run can't be made of this."""
        if self.shots == "all" and self.dataset != "pervl-deepfashion2":
            why = (
                "its views are drawn, without end"
                if self.dataset == "fashion"
                else "none would be left to find"
            )
            raise GairError(
                f"{self.dataset}: all photos can't be learned from, {why}; say how many with --shots N"
            )
        if self.redact_faces and self.dataset == "fashion":
            raise GairError("fashion: there are no faces to redact; leave --redact-faces out")

    @property
    def rows(self) -> tuple[str, ...]:
        """The methods to run. Raises GairError on an unknown one."""
        every = (*self.METHODS, *CONTROLS, *GAIR)
        wanted = known_rows(self.methods, every) if self.methods else self.METHODS
        return tuple(name for name in every if name in wanted or (self.gair and MIXED.get(name) in wanted))

    @property
    def mixed_attributes(self) -> tuple[str, ...]:
        """A of Algorithm 1; empty where it is the attributes of the subspace."""
        return self.mixed or (PERVL_ATTRIBUTES if self.dataset == "pervl-deepfashion2" else ())

    def load(self, seed: int) -> RetrievalSet:
        """The data set of a seed. Raises DatasetError."""
        shots = self.shots or self.SHOTS[self.dataset]
        photos = None if shots == "all" else int(shots)
        if self.dataset == "pervl-deepfashion2":
            return deepfashion2(self.folder, self.split, self.captions, photos, seed).limited(self.limit)
        assert photos is not None  # see __post_init__
        if self.dataset == "fashion":
            return fashion_world(seed, shots=photos, **self.world).limited(self.limit)
        return dreambooth(self.folder, photos, seed).limited(self.limit)

    def token_key(self, encoder: Encoder) -> dict[str, Any]:
        """All that a token depends on, save weights and generator."""
        key = super().token_key(encoder)
        if self.dataset == "fashion":
            return key
        return key | {"split": self.split, "captions": self.captions, "redact_faces": self.redact_faces}


def retrieval(
    encoder: Encoder,
    config: RetrievalConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all methods, a unit of progress for each seed, concept and method; arguments as in `harness.run`.

    Learned tokens, GAIR's queries and image features are taken from the work folder. Long, since it is the whole run.

    Raises:
        DatasetError, ModelError: as in `harness.run`. GairError: an unknown method; ConceptError: the gallery has
            too few negative images.
    """
    _ = encoder.text_tower
    drawn = config.negatives == DRAWN and bool(NEEDS_NEGATIVES & set(config.rows))
    needed = drawn or bool(NEEDS_GENERATOR & set(config.rows))
    generator, why = load_own_generator(encoder, config.generator) if needed else (None, "")
    rows, skipped = without_generator(config.rows, NEEDS_GENERATOR, generator, why)
    identity = generator.identity if generator else None
    report = Report("retrieval", config.to_json(encoder) | {"generator": identity})
    cells = TokenCells(encoder, config.token_key(encoder), identity, work, config.constant_weight)
    sources = None
    if NEEDS_NEGATIVES & set(rows):
        sources = NegativeImages(config.negatives, encoder, generator, cells.work_with_generator, why)
    records = {name: MethodRecord(config.unit) for name in rows}
    shown = next((name for name in (f"{OURS} + GAIR", OURS) if name in rows), next(reversed(rows), ""))
    faces_of: dict[str, int] = {}
    counter, studies = ProgressCounter(on_progress), list[Study]()
    for seed in config.seeds:
        data = config.load(seed)
        if config.redact_faces:
            data = _redact_concept_images(data, work, faces_of)
        gallery = cells.work.features(encoder, data.gallery)
        report.values["galleries"] = {name: len(ids) for name, ids in searched_galleries(data).items()}
        counter.total = len(data.concepts) * len(rows) * len(config.seeds)
        for study in retrieval_studies(encoder, data, gallery, cells.work, config, generator, seed, sources):
            if config.negatives == GALLERY and sources:
                studies.append(study)
            for name in rows:
                vectors, cell = cells.query_vectors(study, name)
                own = rank_galleries(data, gallery, study, vectors, name, report if save_run else None)
                records[name].add(own, cell)
                if name == shown and seed == config.seeds[0] and len(report.pictures) < SHOWN:
                    first = [one for one in own if one.gallery == own[0].gallery]
                    best = [(answer.values["MRR"], answer.hits) for answer in first]
                    draw = partial(hits_figure, cells, study, name, best, data, cell.get("weights"))
                    report.pictures[f"retrieval-{study.concept.name}"] = draw
                counter.advance()
        if seed == config.seeds[0] and data.problems:
            report.values["problems"] = list(data.problems)
    report.values |= {
        "methods": {name: record.values() for name, record in records.items()},
        "skipped": skipped,
    }
    report.values["comparisons"] = compare_records(records, tuple(report.values["galleries"]))
    if studies:
        report.values["negatives"] = count_mistakes(studies)
    if config.redact_faces:
        report.values["redacted"] = _face_counts(list(faces_of.values()))
    report.tables += retrieval_tables(report, MEASURES)
    report.figures["retrieval-mrr"] = partial(mrr_figure, report.values["methods"])
    return report


def searched_galleries(data: RetrievalSet) -> dict[str, frozenset[str]]:
    """Name -> ids of the pictures that are searched; one without a name where the data set has no more."""
    return dict(data.galleries) or {"": frozenset(picture.id for picture in data.gallery)}


def compare_records(
    records: Mapping[str, MethodRecord], galleries: Sequence[str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Gallery -> family of comparisons -> `compare_rows`: all rows to prompt tuning, the ladder, GAIR's controls."""
    families = {
        "prompt tuning": [(name, PROMPT_TUNING) for name in records if name != PROMPT_TUNING],
        "ladder": list(LADDER),
        "GAIR": list(MIXINGS),
    }
    found = {}
    for gallery in galleries:
        rows = {name: record.by_unit(gallery) for name, record in records.items()}
        found[gallery] = {family: compare_rows(rows, pairs) for family, pairs in families.items()}
    return found


def _redact_concept_images(data: RetrievalSet, work: Path | None, faces_of: dict[str, int]) -> RetrievalSet:
    """The data set with faces in concept images blacked out, and these alone.

    Args:
        data: of a seed.
        work: where boxes are kept, by the picture, for all runs.
        faces_of: takes how many faces each concept image has.
    """
    search = faces.FaceSearchConfig()
    kept = Work("faces", asdict(search), work)

    def redact(picture: Picture) -> Picture:
        boxes = kept.cell(digest(picture.content_key), lambda: faces.find_faces(picture.image(), search))
        faces_of[picture.id] = len(boxes)
        return faces.redact_picture(picture, boxes)

    concepts = (replace(one, images=tuple(map(redact, one.images))) for one in data.concepts)
    return replace(data, concepts=tuple(concepts))


def _face_counts(counts: Sequence[int]) -> dict[str, int]:
    """Faces in all, photos that have one, and photos in all."""
    return {"faces": sum(counts), "photos": sum(n > 0 for n in counts), "of photos": len(counts)}


def retrieval_studies(
    encoder: Encoder,
    data: RetrievalSet,
    gallery: Features,
    work: Work,
    config: RetrievalConfig,
    generator: Generator | None,
    seed: int,
    sources: NegativeImages | None,
) -> Iterator[Study]:
    """One concept after the other; without `sources` nothing can be learned."""
    learning = config.learning(encoder)
    for concept in data.concepts:
        own = {picture.id for picture in concept.images}
        kept = np.array([picture.id not in own for picture in data.gallery])
        showing = data.showing(concept.name)
        shows = np.array([picture.id in showing for picture in data.gallery])
        pool = NegativePool(gallery[kept])
        if sources is not None:
            pool = sources.pool(concept.parent, partial(gallery.__getitem__, kept))
        yield Study(
            encoder,
            concept,
            tuple(query for query in data.queries if query.concept == concept.name),
            work.features(encoder, concept.images),
            pool.features,
            learning,
            config.attributes,
            seed,
            generator,
            pool.as_they_are,
            np.zeros(len(pool.features), bool) if pool.as_they_are else shows[kept],
            config.mixed_attributes,
        )


def rank_galleries(
    data: RetrievalSet,
    gallery: Features,
    study: Study,
    vectors: Features,
    name: str,
    report: Report | None = None,
) -> list[Answer]:
    """Rank each gallery for each query of a study; the rankings go into the report where there is one."""
    return [
        rank_gallery(data, gallery, ids, where, query, vector, study.seed, name, report)
        for where, ids in searched_galleries(data).items()
        for query, vector in zip(study.queries, vectors, strict=True)
    ]


def rank_gallery(
    data: RetrievalSet,
    gallery: Features,
    searched: frozenset[str],
    where: str,
    query: RetrievalQuery,
    vector: Features,
    seed: int,
    name: str,
    report: Report | None,
) -> Answer:
    """Rank what is `searched`, a gallery of the name `where`, for a query."""
    rows = [
        i
        for i, picture in enumerate(data.gallery)
        if picture.id in searched and picture.id not in query.excluded
    ]
    ids = [data.gallery[i].id for i in rows]
    scores = gallery[rows] @ vector
    order = ranking(scores, ids)
    relevant = np.array([ids[i] in query.relevant for i in order])
    label = f"seed{seed}/{query.id}"
    if report is not None:
        run = name if where == next(iter(searched_galleries(data))) else f"{name}, {where}"
        report.keep_ranking(run, label, dict(zip(ids, scores, strict=True)), sorted(query.relevant))
    values = {"MRR": reciprocal_rank(relevant)} | {f"Recall@{k}": recall_at(relevant, k) for k in CUTS}
    return Answer(label, f"seed{seed}/{query.concept}", values, tuple(ids[i] for i in order[:HITS]), where)
