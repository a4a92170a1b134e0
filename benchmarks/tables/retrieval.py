"""`gair bench retrieval`: text-to-image retrieval of concepts (Perera et al., section 5, table 4).

Every concept is learned from its own few images, and each query names it in a context. A query is answered by
cosine similarity over the whole gallery. Negative images come from the gallery, without labels.
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
from gair_search.benchmarks.harness.cells import Work, digest
from gair_search.benchmarks.harness.concept_runs import ConceptRunConfig
from gair_search.benchmarks.harness.measures import (
    ranking,
    recall_at,
    reciprocal_rank,
    summary,
)
from gair_search.benchmarks.harness.report import Report
from gair_search.benchmarks.harness.run import (
    ProgressCounter,
    known_rows,
    load_own_generator,
    without_generator,
)
from gair_search.benchmarks.harness.sheets import SHOWN
from gair_search.benchmarks.harness.summaries import means_by, paired_comparison, seeds_summary
from gair_search.benchmarks.harness.token_cells import TokenCells
from gair_search.benchmarks.methods.concepts import (
    GAIR,
    LEARNED,
    NEEDS_GENERATOR,
    OURS,
    PALAVRA,
    POLAR,
    PROMPT_TUNING,
    UNLEARNED,
    Features,
    Study,
)
from gair_search.benchmarks.presentation.retrieval import (
    HITS,
    hits_figure,
    mrr_figure,
    retrieval_table,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import GairError
from gair_search.generation.generator import Generator
from gair_search.progress import Progress

CUTS = (1, 5, 10)
MEASURES = ("MRR", *(f"Recall@{k}" for k in CUTS))

PERVL_ATTRIBUTES = ("red", "old", "worn", "bright", "dark", "pink")
"""The paper's for DeepFashion2."""

Source = Literal["fashion", "dreambooth", "pervl-deepfashion2"]


@dataclass(frozen=True)
class RetrievalConfig(ConceptRunConfig):
    """What a run is made of. PerVL's attributes are the paper's unless given; PerVL alone can take all photos.

    Attributes:
        gair: whether GAIR is run with those methods that the paper runs it with.
        split, captions: of PerVL.
        redact_faces: whether faces in concept images are blacked out first (`datasets.faces`).
    """

    dataset: Source = "fashion"
    gair: bool = False
    split: Split = "test"
    captions: Captions = "detailed"
    redact_faces: bool = False

    METHODS: ClassVar[tuple[str, ...]] = (*UNLEARNED, PALAVRA, POLAR, *LEARNED)
    SHOTS: ClassVar[Mapping[str, int]] = {"fashion": 5, "dreambooth": 3, "pervl-deepfashion2": 5}

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
        every = (*self.METHODS, *GAIR)
        wanted = known_rows(self.methods, every) if self.methods else self.METHODS
        return tuple(name for name in every if name in wanted or (self.gair and GAIR.get(name) in wanted))

    @property
    def subspace_attributes(self) -> tuple[str, ...]:
        """The attributes; empty where the parent says them."""
        return self.attributes or (PERVL_ATTRIBUTES if self.dataset == "pervl-deepfashion2" else ())

    def load(self, seed: int) -> RetrievalSet:
        """The data set of a seed. Raises DatasetError."""
        shots = self.shots if isinstance(self.shots, int) else self.SHOTS[self.dataset]
        if self.dataset == "fashion":
            return fashion_world(seed, shots=shots, **self.world).limited(self.limit)
        if self.dataset == "dreambooth":
            return dreambooth(self.folder, shots, seed).limited(self.limit)
        photos = None if self.shots == "all" else shots
        return deepfashion2(self.folder, self.split, self.captions, photos, seed).limited(self.limit)

    def token_key(self, encoder: Encoder) -> dict[str, Any]:
        """All that a token depends on, save weights and generator."""
        key = super().token_key(encoder)
        if self.dataset == "fashion":
            return key
        return key | {"split": self.split, "captions": self.captions, "redact_faces": self.redact_faces}


@dataclass(frozen=True)
class Answer:
    """What a method found for one query.

    Attributes:
        query: `seed{s}/{id}`.
        concept: `seed{s}/{name}`.
        values: measure -> value.
        hits: ids of the first `HITS`.
    """

    query: str
    concept: str
    values: dict[str, float]
    hits: tuple[str, ...] = ()


def retrieval(
    encoder: Encoder,
    config: RetrievalConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all methods, a unit of progress for each seed, concept and method; arguments as in `harness.run`.

    Learned tokens, GAIR's queries and image features are taken from the work folder.

    Raises:
        DatasetError, ModelError: as in `harness.run`. GairError: an unknown method; ConceptError: the gallery has
            too few negative images.
    """
    _ = encoder.text_tower
    needed = bool(NEEDS_GENERATOR & set(config.rows))
    generator, why = load_own_generator(encoder, config.generator) if needed else (None, "")
    rows, skipped = without_generator(config.rows, NEEDS_GENERATOR, generator, why)
    identity = generator.identity if generator else None
    report = Report("retrieval", config.to_json(encoder) | {"generator": identity})
    cells = TokenCells(encoder, config.token_key(encoder), identity, work)
    records = {name: MethodRecord() for name in rows}
    shown = next((name for name in (f"{OURS} + GAIR", OURS) if name in rows), next(reversed(rows), ""))
    faces_of: dict[str, int] = {}
    counter, gallery_size = ProgressCounter(on_progress), 0
    for seed in config.seeds:
        data = config.load(seed)
        if config.redact_faces:
            data = _redact_concept_images(data, work, faces_of)
        gallery, gallery_size = cells.work.features(encoder, data.gallery), len(data.gallery)
        counter.total = len(data.concepts) * len(rows) * len(config.seeds)
        for study in retrieval_studies(encoder, data, gallery, cells.work, config, generator, seed):
            for name in rows:
                vectors, cell = cells.query_vectors(study, name)
                own = [
                    rank_gallery(data, gallery, query, vector, seed, name, report if save_run else None)
                    for query, vector in zip(study.queries, vectors, strict=True)
                ]
                records[name].add(own, cell)
                if name == shown and seed == config.seeds[0] and len(report.pictures) < SHOWN:
                    best = [(answer.values["MRR"], answer.hits) for answer in own]
                    draw = partial(hits_figure, cells, study, name, best, data, cell.get("weights"))
                    report.pictures[f"retrieval-{study.concept.name}"] = draw
                counter.advance()
        if seed == config.seeds[0] and data.problems:
            report.values["problems"] = list(data.problems)
    others = records.get(PROMPT_TUNING)
    report.values["methods"] = {name: record.values(others) for name, record in records.items()}
    if config.redact_faces:
        report.values["redacted"] = _face_counts(list(faces_of.values()))
    report.values["skipped"] = skipped
    report.tables.append(retrieval_table(report, MEASURES, gallery_size))
    report.figures["retrieval-mrr"] = partial(mrr_figure, report.values["methods"])
    return report


class MethodRecord:
    """A method's answers over all seeds and concepts, its seconds and its mixing weights."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seconds: list[float] = []
        self.weights: list[float] = []

    def add(self, answers: Sequence[Answer], cell: Mapping[str, Any]) -> None:
        """A concept's answers, and the cell of what they were found with."""
        self.answers += answers
        self.seconds.append(cell["seconds"])
        self.weights += cell.get("weights", [])

    def values(self, others: "MethodRecord | None") -> dict[str, Any]:
        """The figures: mean and deviation over the seeds' means, and the difference to the `others`."""
        found: dict[str, Any] = {
            "n": len(self.answers),
            "seconds a concept": float(np.mean(self.seconds)),
        }
        for measure in MEASURES:
            found[measure] = seeds_summary({one.query: one.values[measure] for one in self.answers})
        if self.weights:
            found["mixing weight"] = asdict(summary(self.weights))
        if others is not None and others is not self:
            found["against prompt tuning"] = paired_comparison(self.by_concept(), others.by_concept())
        return found

    def by_concept(self) -> dict[str, float]:
        """Concept -> MRR of its queries."""
        concepts = {one.query: one.concept for one in self.answers}
        return means_by({one.query: one.values["MRR"] for one in self.answers}, concepts.__getitem__)


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
) -> Iterator[Study]:
    """One concept after the other."""
    learning = config.learning(encoder)
    for concept in data.concepts:
        own = {picture.id for picture in concept.images}
        yield Study(
            encoder,
            concept,
            tuple(query for query in data.queries if query.concept == concept.name),
            work.features(encoder, concept.images),
            gallery[[picture.id not in own for picture in data.gallery]],
            learning,
            config.subspace_attributes,
            seed,
            generator,
        )


def rank_gallery(
    data: RetrievalSet,
    gallery: Features,
    query: RetrievalQuery,
    vector: Features,
    seed: int,
    name: str,
    report: Report | None,
) -> Answer:
    """Rank the gallery for a query; the ranking goes into the report where there is one."""
    rows = [i for i, picture in enumerate(data.gallery) if picture.id not in query.excluded]
    ids = [data.gallery[i].id for i in rows]
    scores = gallery[rows] @ vector
    order = ranking(scores, ids)
    relevant = np.array([ids[i] in query.relevant for i in order])
    label = f"seed{seed}/{query.id}"
    if report is not None:
        report.keep_ranking(name, label, dict(zip(ids, scores, strict=True)), sorted(query.relevant))
    values = {"MRR": reciprocal_rank(relevant)} | {f"Recall@{k}": recall_at(relevant, k) for k in CUTS}
    return Answer(label, f"seed{seed}/{query.concept}", values, tuple(ids[i] for i in order[:HITS]))
