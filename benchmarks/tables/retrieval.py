"""`gair bench retrieval`: text-to-image retrieval of concepts (Perera et al., section 5, table 4).

Every concept is learned from its own few images, and each query names it in a context. A query is answered by
cosine similarity over the whole gallery. Negative images come from the gallery, without labels.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image

from gair_search.benchmarks.datasets import faces
from gair_search.benchmarks.datasets.base import Picture, RetrievalQuery, RetrievalSet
from gair_search.benchmarks.datasets.dreambooth import dreambooth
from gair_search.benchmarks.datasets.fashion import fashion_world
from gair_search.benchmarks.datasets.pervl import Captions, Split, deepfashion2
from gair_search.benchmarks.harness.cells import (
    Progress,
    Report,
    Table,
    Work,
    digest,
    new_figure,
)
from gair_search.benchmarks.harness.measures import (
    Comparison,
    Summary,
    paired_bootstrap,
    ranked,
    recall_at,
    reciprocal_rank,
    summary,
)
from gair_search.benchmarks.harness.sheets import (
    SHOWN,
    Cell,
    grid,
    sheet,
    tiles,
)
from gair_search.benchmarks.methods import polar
from gair_search.benchmarks.methods.concepts import (
    GAIR,
    LEARNED,
    OURS,
    PALAVRA,
    PLAIN,
    POLAR,
    PROMPT_TUNING,
    TEXT_ONLY,
    Features,
    Study,
    asked_with,
    asked_with_update,
    learned_by,
    learned_update,
    learned_with,
    mixed,
    palavra,
    with_gair,
)
from gair_search.encoder.clip import Encoder
from gair_search.errors import DatasetError, GairError, ModelError
from gair_search.gair.options import GairConfig
from gair_search.generation.generator import Generator
from gair_search.learning.joint import Settings as Learning
from gair_search.learning.lessons import settings_for
from gair_search.tokens import facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = (*PLAIN, PALAVRA, POLAR, *LEARNED)
"""All rows without GAIR."""

NEEDS_GENERATOR = frozenset(name for name, (way, _) in LEARNED.items() if way != "prompt tuning") | set(GAIR)

CUTS = (1, 5, 10)

PAPER = {
    TEXT_ONLY: "17.6 ± 0.0",
    "text + average image": "21.7 ± 2.4",
    PALAVRA: "28.4 ± 0.7",
    "ideal words": "37.0 ± 1.1",
    PROMPT_TUNING: "51.4 ± 2.1",
    f"{PROMPT_TUNING} + GAIR": "45.2 ± 0.8",
    OURS: "56.6 ± 2.3",
    f"{OURS} + GAIR": "58.8 ± 2.3",
}
"""Table 4: MRR on DeepFashion2, in percent; PALAVRA there with both stages."""

PERVL_ATTRIBUTES = ("red", "old", "worn", "bright", "dark", "pink")
"""The paper's for DeepFashion2."""

QUERIES, HITS = 4, 3
"""A concept's queries and each one's first hits in figure 6."""

_SIDE, _RIGHT = 128, "#2ca02c"

Source = Literal["fashion", "dreambooth", "pervl-deepfashion2"]
SHOTS: dict[Source, int] = {"fashion": 5, "dreambooth": 3, "pervl-deepfashion2": 5}
"""Concept images, unless given."""


@dataclass(frozen=True)
class RetrievalConfig:
    """What a run is made of.

    Attributes:
        dataset: the fashion world, or a folder of another.
        data: that folder.
        seeds: each draws concepts (fashion world) or concept images, and seeds the learning.
        limit: concepts a seed; the gallery stays whole.
        methods: which rows, in the table's order; all without GAIR where empty.
        steps: of learning; the model's own unless given.
        gair: whether GAIR is run with those methods that the paper runs it with.
        shots: concept images, or all that there are (PerVL alone); as `SHOTS` unless given.
        split, captions: of PerVL.
        attributes: that span the subspace; PerVL's are the paper's, others those nearest to the parent.
        world: further arguments of `fashion_world`.
        redact_faces: whether faces in concept images are blacked out first (`datasets.faces`).
    """

    dataset: Source = "fashion"
    data: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int | None = None
    methods: tuple[str, ...] = ()
    steps: int | None = None
    gair: bool = False
    shots: int | Literal["all"] | None = None
    split: Split = "test"
    captions: Captions = "detailed"
    attributes: tuple[str, ...] = ()
    world: Mapping[str, Any] = field(default_factory=dict)
    redact_faces: bool = False

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
        """The methods to run.

        Raises:
            GairError: an unknown one.
        """
        known = {name.lower(): name for name in (*METHODS, *GAIR)}
        if unknown := [name for name in self.methods if name.lower() not in known]:
            raise GairError(f'no method "{unknown[0]}"; there are: {", ".join((*METHODS, *GAIR))}')
        asked = {known[name.lower()] for name in self.methods} or set(METHODS)
        if self.gair:
            asked |= {name for name, base in GAIR.items() if base in asked}
        return tuple(name for name in (*METHODS, *GAIR) if name in asked)

    @property
    def words(self) -> tuple[str, ...]:
        """The attributes; empty where the parent says them."""
        return self.attributes or (PERVL_ATTRIBUTES if self.dataset == "pervl-deepfashion2" else ())

    def load(self, seed: int) -> RetrievalSet:
        """The data set of a seed. Raises DatasetError."""
        shots = self.shots if isinstance(self.shots, int) else SHOTS[self.dataset]
        if self.dataset == "fashion":
            return fashion_world(seed, shots=shots, **self.world).limited(self.limit)
        if self.data is None:
            raise DatasetError(f"{self.dataset}: say where it lies with --data FOLDER")
        if self.dataset == "dreambooth":
            return dreambooth(self.data, shots, seed).limited(self.limit)
        drawn = None if self.shots == "all" else shots
        return deepfashion2(self.data, self.split, self.captions, drawn, seed).limited(self.limit)

    def to_json(self, encoder: Encoder, learning: Learning) -> dict[str, Any]:
        """All that results depend on."""
        return asdict(self) | {
            "data": str(self.data.absolute()) if self.data else None,
            "seeds": list(self.seeds),
            "methods": list(self.rows),
            "shots": self.shots or SHOTS[self.dataset],
            "attributes": list(self.words),
            "world": dict(self.world),
            "model": encoder.spec.name,
            "learning": asdict(learning),
            "polar": asdict(polar.settings_for(encoder.spec)),
        }


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
    settings: RetrievalConfig,
    work: Path | None = None,
    save_run: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure all methods; learned tokens, GAIR's queries and image features are taken from the work folder.

    Methods that need a generator are left out, and the report says so, where the model has none.

    Args:
        encoder: a model whose text tower takes custom tokens.
        settings: what to run.
        work: where finished parts are kept; `GAIR_HOME/bench` unless given.
        save_run: keep the rankings, too.
        on_progress: called with how many (seed, concept, method) are done, and how many there are.

    Raises:
        DatasetError: the data set is absent or incomplete. ModelError: the tower takes plain prompts only.
        GairError: an unknown method; ConceptError: the gallery has too few negative images.
    """
    _ = encoder.text_tower
    learning = settings_for(encoder.spec)
    if settings.steps is not None:
        learning = replace(learning, steps=settings.steps)
    rows = settings.rows
    generator, why = own_generator(encoder) if NEEDS_GENERATOR & set(rows) else (None, "")
    skipped = [name for name in rows if name in NEEDS_GENERATOR and generator is None]
    rows = tuple(name for name in rows if name not in skipped)
    report = Report("retrieval", settings.to_json(encoder, learning), {}, [])
    report.settings["generator"] = generator.identity if generator else None
    kept = TokenCells(encoder, report.settings, work)
    answers: dict[str, list[Answer]] = {name: [] for name in rows}
    shown = next((name for name in (f"{OURS} + GAIR", OURS) if name in rows), next(reversed(rows), ""))
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    weights: dict[str, list[float]] = {name: [] for name in rows}
    hidden: dict[str, int] = {}
    done = gallery_size = 0
    for number, seed in enumerate(settings.seeds):
        data = settings.load(seed)
        if settings.redact_faces:
            data = _redacted(data, work, hidden)
        gallery, gallery_size = kept.work.features(encoder, data.gallery), len(data.gallery)
        total = len(data.concepts) * len(rows) * len(settings.seeds)
        for study in _studies(encoder, data, gallery, kept.work, settings, learning, generator, seed):
            for name in rows:
                vectors, said = kept.query_vectors(study, name)
                for query, vector in zip(study.queries, vectors, strict=True):
                    answers[name].append(
                        _answered(data, gallery, query, vector, seed, name, report, save_run)
                    )
                seconds[name].append(said["seconds"])
                weights[name] += said.get("weights", [])
                if name == shown and number == 0 and len(report.pictures) < SHOWN:
                    own = answers[name][-len(study.queries) :]
                    draw = partial(_figure_6, kept, study, name, own, data, said.get("weights"))
                    report.pictures[f"retrieval-{study.concept.name}"] = draw
                done += 1
                if on_progress:
                    on_progress(done, total)
        if number == 0 and data.problems:
            report.values["problems"] = list(data.problems)
    report.values["methods"] = {
        name: _values(answers[name], answers.get(PROMPT_TUNING, []), seconds[name], weights[name])
        for name in rows
    }
    if settings.redact_faces:
        counts = list(hidden.values())
        report.values["redacted"] = {
            "faces": sum(counts),
            "photos": sum(n > 0 for n in counts),
            "of photos": len(counts),
        }
    report.values["skipped"] = dict.fromkeys(skipped, why)
    report.tables.append(_table(report, gallery_size, learning))
    report.figures["retrieval-mrr"] = partial(_figure, report.values["methods"])
    return report


def _redacted(data: RetrievalSet, work: Path | None, hidden: dict[str, int]) -> RetrievalSet:
    """The data set with faces in concept images blacked out, and these alone.

    Args:
        data: of a seed.
        work: where boxes are kept, by the picture, for all runs.
        hidden: takes how many faces each concept image has.
    """
    search = faces.FaceSearchConfig()
    kept = Work("faces", asdict(search), work)

    def clean(picture: Picture) -> Picture:
        boxes = kept.cell(digest(picture.content_key), lambda: faces.faces(picture.image(), search))
        hidden[picture.id] = len(boxes)
        return faces.without(picture, boxes)

    concepts = (replace(one, images=tuple(map(clean, one.images))) for one in data.concepts)
    return replace(data, concepts=tuple(concepts))


def own_generator(encoder: Encoder) -> tuple[Generator | None, str]:
    """The model's own generator; or None, and why there is none."""
    try:
        return Generator.load(encoder), ""
    except ModelError as error:  # GeneratorError among them
        return None, str(error)


class TokenCells:
    """Finished tokens and GAIR's queries, a cell each (seed, concept, method)."""

    def __init__(self, encoder: Encoder, settings: Mapping[str, Any], folder: Path | None) -> None:
        apart = ("seeds", "limit", "methods", "gair", "generator")  # a token does not depend on them
        needed = {name: value for name, value in settings.items() if name not in apart}
        needed["embedder"] = encoder.embedder_id.to_metadata()
        self.work = Work("retrieval", needed, folder)
        # tokens that no generator has seen stay good when the generator is another
        self.drawn = Work("retrieval", needed | {"generator": settings["generator"]}, folder)

    def query_vectors(self, study: Study, name: str) -> tuple[Features, dict[str, Any]]:
        """RetrievalQuery vectors `[Q, embed_dim]` of a method, and the seconds (and mixing weights) that it took."""
        if name in PLAIN:
            begun = time.perf_counter()
            return PLAIN[name](study), {"seconds": time.perf_counter() - begun}
        if name not in GAIR:
            cell = self.token(study, name)
            if name == POLAR:
                return asked_with_update(study, np.stack(np.split(vectors_of(study, cell), 2))), cell
            return asked_with(study, vectors_of(study, cell), with_parent=name != PALAVRA), cell

        options = GairConfig()

        def drawn() -> dict[str, Any]:
            begun = time.perf_counter()
            vectors = vectors_of(study, self.token(study, GAIR[name]))
            found = with_gair(study, vectors, options)
            return {
                "queries": {q.id: facts.pack(v) for q, (_, v) in zip(study.queries, found, strict=True)},
                "weights": [w for w, _ in found],
                "seconds": time.perf_counter() - begun,
            }

        asked = digest([repr(options), [query.text("") for query in study.queries]])
        cell = self.drawn.cell(f"{cell_name(study, name)}-{asked}", drawn)
        return np.stack([facts.unpack(cell["queries"][query.id]) for query in study.queries]), cell

    def token(self, study: Study, name: str, learning: Learning | None = None) -> dict[str, Any]:
        """A token's cell: packed `vectors`, the best `step`, and the `seconds` that it took.

        Args:
            study: of the concept.
            name: of the method; any other name for a token of other settings.
            learning: those other settings.
        """

        def learn() -> dict[str, Any]:
            if name not in (PALAVRA, POLAR):
                _ = study.problem  # what the methods share is nobody's time
            begun = time.perf_counter()
            step, vectors = 0, None
            if name == PALAVRA:
                vectors = palavra(study)
            elif name == POLAR:
                vectors = learned_update(study)
            else:
                learned = learned_with(study, learning) if learning else learned_by(study, name)
                step, vectors = learned.step, learned.vectors
            rows = vectors.float().cpu().numpy()
            return {
                "vectors": facts.pack(rows.ravel()),
                "step": step,
                "seconds": time.perf_counter() - begun,
            }

        seen = bool(learning.lambda_sd) if learning else name in NEEDS_GENERATOR
        work = self.drawn if seen else self.work
        found: dict[str, Any] = work.cell(cell_name(study, name), learn)
        return found


def cell_name(study: Study, name: str) -> str:
    """The name of a cell of what is learned for a study: other pictures make another name."""
    return f"seed{study.seed}/{study.concept.name}-{study.digest}/{name.replace(' ', '-')}"


def vectors_of(study: Study, cell: Mapping[str, Any]) -> Features:
    """A kept token, `[n_vectors, text_width]`; of POLAR the rows of both factors."""
    return facts.unpack(cell["vectors"]).reshape(-1, study.encoder.text_tower.width)


def _studies(
    encoder: Encoder,
    data: RetrievalSet,
    gallery: Features,
    work: Work,
    settings: RetrievalConfig,
    learning: Learning,
    generator: Generator | None,
    seed: int,
) -> Iterator[Study]:
    """One concept after the other."""
    for concept in data.concepts:
        own = {picture.id for picture in concept.images}
        yield Study(
            encoder,
            concept,
            tuple(query for query in data.queries if query.concept == concept.name),
            work.features(encoder, concept.images),
            gallery[[picture.id not in own for picture in data.gallery]],
            learning,
            settings.words,
            seed,
            generator,
        )


def _answered(
    data: RetrievalSet,
    gallery: Features,
    query: RetrievalQuery,
    vector: Features,
    seed: int,
    name: str,
    report: Report,
    save_run: bool,
) -> Answer:
    """Rank the gallery for a query; the ranking goes into the report where it is to be saved."""
    rows = [i for i, picture in enumerate(data.gallery) if picture.id not in query.excluded]
    ids = [data.gallery[i].id for i in rows]
    scores = gallery[rows] @ vector
    order = ranked(scores, ids)
    relevant = np.array([ids[i] in query.relevant for i in order])
    label = f"seed{seed}/{query.id}"
    if save_run:
        run: dict[str, dict[str, float]] = report.runs.setdefault(name, {})  # type: ignore[assignment]
        run[label] = dict(zip(ids, map(float, scores), strict=True))
        qrels: dict[str, dict[str, int]] = report.qrels  # type: ignore[assignment]
        qrels[label] = data.qrels[query.id]
    values = {"MRR": reciprocal_rank(relevant)} | {f"Recall@{k}": recall_at(relevant, k) for k in CUTS}
    return Answer(label, f"seed{seed}/{query.concept}", values, tuple(ids[i] for i in order[:HITS]))


def _values(
    answers: Sequence[Answer], others: Sequence[Answer], seconds: Sequence[float], weights: Sequence[float]
) -> dict[str, Any]:
    """A method's figures: mean and deviation over the seeds' means, and its difference to prompt tuning."""
    found: dict[str, Any] = {"n": len(answers), "seconds a concept": float(np.mean(seconds))}
    for measure in answers[0].values:
        means = list(_means(answers, measure, lambda answer: answer.query.split("/")[0]).values())
        found[measure] = asdict(summary(means)) | {"by seed": means}
    if weights:
        found["mixing weight"] = asdict(summary(weights))
    if others and others is not answers:
        ours, theirs = (_means(some, "MRR", lambda answer: answer.concept) for some in (answers, others))
        found["against prompt tuning"] = asdict(
            paired_bootstrap(list(ours.values()), [theirs[concept] for concept in ours])
        )
    return found


def _means(answers: Sequence[Answer], measure: str, group: Callable[[Answer], str]) -> dict[str, float]:
    """Group -> mean of a measure."""
    groups: dict[str, list[float]] = {}
    for answer in answers:
        groups.setdefault(group(answer), []).append(answer.values[measure])
    return {name: float(np.mean(values)) for name, values in groups.items()}


def _table(report: Report, gallery_size: int, learning: Learning) -> Table:
    """Table 4 beside the paper's, in percent."""
    measures = ("MRR", *(f"Recall@{k}" for k in CUTS))
    head = ("", *measures, "MRR - prompt tuning [95%]", "p", "s a concept", "paper: MRR, DeepFashion2")
    rows = []
    for name, found in report.values["methods"].items():
        against = found.get("against prompt tuning")
        compared = Comparison(**against) if against else None
        rows.append(
            (
                f"{name} (joint + projection)" if name == OURS else name,
                *(_percent(found[measure]) for measure in measures),
                f"{compared.difference:+.1%} [{compared.low:+.1%}, {compared.high:+.1%}]" if compared else "",
                f"{compared.p:.4f}" if compared else "",
                f"{found['seconds a concept']:.2f}",
                PAPER.get(name, ""),
            )
        )
    s = report.settings
    first = next(iter(report.values["methods"].values()), {"n": 0})
    note = (
        f"{s['dataset']}, {s['model']}: n = {first['n']} queries over {len(s['seeds'])} seeds, {gallery_size} "
        f"images in the gallery, {s['shots']} concept images, {learning.steps} steps of learning at a rate of "
        f"{learning.learning_rate:g}, {learning.n_vectors} vectors. In percent; ± is the standard deviation of the "
        f"seeds' means. The difference is resampled in pairs over concepts (each one's mean over its queries)."
    )
    for name, found in report.values["methods"].items():
        if "mixing weight" in found:
            weight = found["mixing weight"]
            note += f" {name}: mixing weight {weight['mean']:.2f} ± {weight['sd']:.2f} over the queries."
    if redacted := report.values.get("redacted"):
        note += (
            f" Frontal faces that a detector found are blacked out in the concept images: {redacted['faces']} "
            f"in {redacted['photos']} of {redacted['of photos']}."
        )
    if skipped := report.values["skipped"]:
        note += f" Left out: {', '.join(skipped)}, since {next(iter(skipped.values()))}."
    return Table("Table 4: text-to-image retrieval of concepts", head, tuple(rows), note)


def _percent(found: Mapping[str, Any]) -> str:
    return format(Summary(100 * found["mean"], 100 * found["sd"], found["n"]), ".1f")


def _figure(methods: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Table 4 as bars: MRR in percent, the seeds' deviation, and the paper's own value."""
    figure = new_figure(1, 5.6, 0.8 + 0.26 * len(methods))
    (axes,) = figure.axes
    places = range(len(methods))
    means, deviations = ([100 * found["MRR"][key] for found in methods.values()] for key in ("mean", "sd"))
    colors = ["C0" if name.startswith(OURS) else "0.65" for name in methods]
    axes.barh(places, means, 0.65, xerr=deviations, color=colors, error_kw={"linewidth": 1, "capsize": 2})
    theirs = [
        (place, *map(float, PAPER[name].split(" ± "))) for place, name in enumerate(methods) if name in PAPER
    ]
    if theirs:
        at, values, spread = zip(*theirs, strict=True)
        axes.errorbar(
            values,
            at,
            xerr=spread,
            fmt="D",
            color="C3",
            markersize=4,
            linewidth=1,
            label="paper, DeepFashion2",
        )
        figure.legend(fontsize=7, loc="outside upper right")
    axes.set_yticks(places, list(methods))
    axes.set(xlabel="MRR, %", xlim=(0, 100))
    axes.invert_yaxis()
    return figure


def _figure_6(
    kept: TokenCells,
    study: Study,
    name: str,
    answers: Sequence[Answer],
    data: RetrievalSet,
    weights: Sequence[float] | None,
) -> Image.Image:
    """Figure 6 of a concept: its queries, what they draw, what was asked for, and the first hits."""
    gallery = {picture.id: picture for picture in data.gallery}
    queries = study.queries[:QUERIES]
    drawn = _queries_drawn(kept, study, name, weights) if name in (OURS, f"{OURS} + GAIR") else []
    rows = []
    for i, (query, answer) in enumerate(zip(queries, answers[: len(queries)], strict=True)):
        cells = [Cell(study.concept.images[i % len(study.concept.images)].image(_SIDE))]
        if drawn:
            cells.append(Cell(drawn[i].image(_SIDE), f"w = {weights[i]:.2f}" if weights else ""))
        rank = round(1 / answer.values["MRR"]) if answer.values["MRR"] else None
        truth = next(name for name in (*answer.hits, *sorted(query.relevant)) if name in query.relevant)
        cells.append(Cell(gallery[truth].image(_SIDE), f"rank {rank}" if rank else "not found"))
        for hit in answer.hits:
            cells.append(Cell(gallery[hit].image(_SIDE), frame=_RIGHT if hit in query.relevant else ""))
        rows.append((query.text(f"* {study.concept.parent}"), cells))
    columns = [
        "concept",
        *(["drawn from the query"] if drawn else []),
        "ground truth",
        *map(str, range(1, HITS + 1)),
    ]
    return grid(rows, columns, title=f"{study.concept.name}: {name}", side=_SIDE)


def _queries_drawn(
    kept: TokenCells, study: Study, name: str, weights: Sequence[float] | None
) -> list[Picture]:
    """An image of each query that is shown; with GAIR that of the selected weight, from the noise that it saw."""
    queries, generator = study.queries[:QUERIES], study.generator
    assert generator is not None

    def draw() -> bytes:
        options = GairConfig()
        vectors = vectors_of(study, kept.token(study, GAIR.get(name, name)))
        told = [mixed(study, query, vectors) for query in queries]
        rows = [one.conditioning([w])[0] for one, w in zip(told, weights or [1.0] * len(told), strict=False)]
        return sheet(generator, torch.stack(rows), 1, options.sampling)

    shown = digest([[query.text("") for query in queries], list(weights or ())])
    file = kept.drawn.file(f"{cell_name(study, name)}-{shown}.png", draw)
    return tiles(file, len(queries), 1)
