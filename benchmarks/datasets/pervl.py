"""PerVL (Cohen et al. 2022): DeepFashion2 and YTVOS, in the layout that the benchmark's own scripts make.

    FOLDER/annotations/deep_fashion/*.csv, *.txt
    FOLDER/annotations/ytvos/*.csv
    FOLDER/data/deep_fashion2/train/image/*.jpg            (or personalized_test/, personalized_validation/)
    FOLDER/data/youtube_vos/retrival_sets/test/...         (or ytvos_PerVL/fsl_seg/; the spelling is theirs)

Each test caption is a query, the images of the captions are the gallery, and the relevant image is the caption's
own. In DeepFashion2's captions the word `person` stands for the concept, in YTVOS' `*` does.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gair_search.benchmarks.datasets.base import (
    SUBJECT,
    Concept,
    Picture,
    RetrievalQuery,
    RetrievalSet,
    absent_files_error,
    choose_pictures,
    first_existing,
    photo,
)
from gair_search.errors import DatasetError
from gair_search.images.folders import find_photos

Split = Literal["test", "validation"]
Captions = Literal["detailed", "short"]

_BENCHMARK = "get the PerVL benchmark (https://github.com/NVlabs/PerVLBenchmark)"
_DEEPFASHION = (
    "get DeepFashion2's train.zip (https://github.com/switchablenorms/DeepFashion2) and unpack it, so that its "
    "photos lie in {folder}/data/deep_fashion2/train/image/"
)
_YTVOS = (
    "get YouTube-VOS 2019's train.zip (https://youtube-vos.org), unpack it in {folder}/data/youtube_vos/ and run "
    "the benchmark's two scripts in ytvos/, which cut the objects out"
)
_PERSON = re.compile(r"\bperson\b")
_TRAINING_HEADER = re.compile(r"codes_infer/(\d+):")


PARENT = "dress"
"""Of all concepts of DeepFashion2 (Perera et al., section 5: "we considered 'dress' to be the super-class name")."""


@dataclass(frozen=True)
class CaptionRow:
    """A row of a caption file, resolved.

    Attributes:
        image: the image's name as the file has it.
        concept: pair id, or class id.
        template: the text with `{subject}` for the concept.
        parent: the coarse class, where the row says it; else empty.
    """

    image: str
    concept: str
    template: str
    parent: str = ""


@dataclass(frozen=True)
class Annotations:
    """The annotation files of one split, every row read.

    Attributes:
        queries: the split's captions.
        training: concept -> names of its training photos; empty for YTVOS, which keeps them in folders.
        training_captions: image name -> caption, for those training photos that have one.
        parents: concept -> coarse class.
        rows: how many rows were read, all files together.
        problems: rows that do not resolve, and why.
    """

    queries: tuple[CaptionRow, ...]
    training: dict[str, tuple[str, ...]]
    training_captions: dict[str, str]
    parents: dict[str, str]
    rows: int
    problems: tuple[str, ...]


def deepfashion2_annotations(
    folder: Path, split: Split = "test", captions: Captions = "detailed"
) -> Annotations:
    """Read DeepFashion2's annotation files.

    `{split}_captions.csv` says which images are queries, and its captions are the detailed ones; the short
    ones are looked up by the image.

    Raises:
        DatasetError: a file is absent, or is no such table.
    """
    place = folder / "annotations/deep_fashion"
    names = [
        f"{split}_captions.csv",
        f"{split}_fsl_train.txt",
        "train_coarse_grained_names.csv",
        "detailed_deepfashion2_captions.csv",
        "shortened_deepfashion2_captions.csv",
    ]
    _require_annotations(folder, [place / name for name in names])
    problems: list[str] = []
    own = _read_rows(place / names[0], ("image_name", "pair_id", "caption"))
    pairs = _read_rows(place / names[2], ("unique_pair_ids", "pair_id_categories"))
    long, short = (_read_rows(place / name, ("image_name", "pair_id", "caption")) for name in names[3:])
    parents = {row["unique_pair_ids"]: row["pair_id_categories"].strip() for row in pairs}
    training, training_lines = _read_training_photos(place / names[1], problems)
    texts = {row["image_name"]: row["caption"] for row in (long if captions == "detailed" else short)}
    queries = []
    for number, row in enumerate(own, start=2):
        where, image, pair = f"{names[0]}:{number}", row["image_name"], row["pair_id"]
        text = row["caption"] if captions == "detailed" else texts.get(image, "")
        if not text.strip():
            problems.append(f"{where}: {image} has no {captions} caption")
        elif not _PERSON.search(text):
            problems.append(f'{where}: no "person" in the caption "{text}"')
        elif pair not in parents:
            problems.append(f"{where}: pair {pair} has no class in {names[2]}")
        elif pair not in training:
            problems.append(f"{where}: pair {pair} has no training photos in {names[1]}")
        else:
            queries.append(CaptionRow(image, pair, _PERSON.sub(SUBJECT, text.strip()), parents[pair]))
    photos = {name for files in training.values() for name in files}
    named = {caption.image.rsplit("/", 1)[-1] for caption in queries}
    problems += [
        f"{names[1]}: {name} is a training photo and a query's image" for name in sorted(photos & named)
    ]
    used = {caption.concept for caption in queries}
    problems += [
        f"{names[1]}: pair {pair} has no caption in {names[0]}" for pair in training if pair not in used
    ]
    extra = {image.rsplit("/", 1)[-1]: text for image, text in texts.items()}
    return Annotations(
        tuple(queries),
        training,
        {name: _PERSON.sub(SUBJECT, extra[name].strip()) for name in sorted(photos) if name in extra},
        {pair: parents[pair] for pair in training if pair in parents},
        len(own) + len(pairs) + len(long) + len(short) + training_lines,
        tuple(problems),
    )


def ytvos_annotations(folder: Path, split: Split = "test") -> Annotations:
    """Read YTVOS' caption files; each row is a concept with one query.

    Raises:
        DatasetError: a file is absent, or is no such table.
    """
    place = folder / "annotations/ytvos"
    name = f"cleaned_captions_ytvos_{'val' if split == 'validation' else 'test'}.csv"
    _require_annotations(folder, [place / name, place / "ytvos_joint_captions.csv"])
    columns = ("image_name", "coarse_grained_class", "caption", "class_id")
    own, joint = _read_rows(place / name, columns), _read_rows(place / "ytvos_joint_captions.csv", columns)
    known = {(row["image_name"], row["caption"]) for row in joint}
    problems, queries = [], []
    for number, row in enumerate(own, start=2):
        where, text, concept = f"{name}:{number}", row["caption"].strip(), row["class_id"]
        if "*" not in text:
            problems.append(f'{where}: no "*" in the caption "{text}"')
        elif not Path(row["image_name"]).name.startswith(f"{concept}_"):
            problems.append(f"{where}: {row['image_name']} is not of {concept}")
        elif (row["image_name"], row["caption"]) not in known:
            problems.append(f"{where}: {row['image_name']} has another caption in ytvos_joint_captions.csv")
        else:
            parent = row["coarse_grained_class"].strip().replace("_", " ")
            template = re.sub(r"\b([Aa])n (?=\*)", r"\1 ", text).replace("*", SUBJECT)
            queries.append(CaptionRow(row["image_name"], concept, template, parent))
    seen: set[str] = set()
    for caption in queries:
        if caption.concept in seen:
            problems.append(f"{name}: {caption.concept} stands in more than one row")
        seen.add(caption.concept)
    parents = {caption.concept: caption.parent for caption in queries}
    return Annotations(tuple(queries), {}, {}, parents, len(own) + len(joint), tuple(problems))


def deepfashion2(
    folder: Path,
    split: Split = "test",
    captions: Captions = "detailed",
    shots: int | None = None,
    seed: int = 0,
) -> RetrievalSet:
    """PerVL-DeepFashion2: 50 concepts a split.

    Faces are not redacted here (the custom tokens' paper redacts those of training photos); see `faces`.

    Args:
        folder: see the module's text.
        split: `validation` is for tuning.
        captions: which caption length.
        shots: training photos a concept, drawn by `seed`; all of them where None.

    Raises:
        DatasetError: annotations or photos are absent.
    """
    facts = deepfashion2_annotations(folder, split, captions)
    data = folder / "data/deep_fashion2"
    photos = _PhotoFinder(f"PerVL-DeepFashion2, {split} split")

    def training(pair: str, name: str) -> Picture:
        sorted_out = data / f"personalized_{split}/codes_infer/{pair}/{name}"
        return photos.find(name, sorted_out, data / "train/image" / name)

    def test(image: str) -> Picture:
        name = image.rsplit("/", 1)[-1]
        return photos.find(name, data / f"personalized_{split}/eval/test/{name}", data / image)

    gallery = tuple(test(caption.image) for caption in facts.queries)
    concepts = tuple(
        Concept(
            pair,
            PARENT,
            choose_pictures(images, shots, seed, int(pair)),
            {
                image.id: facts.training_captions[image.id]
                for image in images
                if image.id in facts.training_captions
            },
        )
        for pair, names in sorted(facts.training.items(), key=lambda item: int(item[0]))
        if pair in facts.parents
        for images in [[training(pair, name) for name in names]]
    )
    photos.complete(_DEEPFASHION.format(folder=folder))
    queries = tuple(
        RetrievalQuery(
            picture.id.removesuffix(".jpg"), caption.template, caption.concept, frozenset({picture.id})
        )
        for picture, caption in zip(gallery, facts.queries, strict=True)
    )
    name = f"deepfashion2-{split}-{captions}-{shots or 'all'}"
    return RetrievalSet(name, concepts, gallery, queries, facts.problems)


def ytvos(folder: Path, split: Split = "test", shots: int | None = None, seed: int = 0) -> RetrievalSet:
    """PerVL-YTVOS: some 250 concepts a split, one query each, the objects cut out of frames.

    Raises:
        DatasetError: annotations or images are absent.
    """
    facts = ytvos_annotations(folder, split)
    data = folder / "data/youtube_vos"
    sorted_out, cut = data / "retrival_sets" / split, data / "ytvos_PerVL/fsl_seg"
    photos = _PhotoFinder(f"PerVL-YTVOS, {split} split")
    gallery, concepts, queries = [], [], []
    for number, caption in enumerate(facts.queries):
        name = Path(caption.image).name
        picture = photos.find(
            name, sorted_out / f"eval/test/{caption.concept}.jpg", cut / "eval/retrieval" / name
        )
        training = photos.folder(
            sorted_out / "codes_infer" / caption.concept, cut / "train" / caption.concept
        )
        gallery.append(picture)
        concepts.append(
            Concept(caption.concept, caption.parent, choose_pictures(training, shots, seed, number))
        )
        queries.append(
            RetrievalQuery(caption.concept, caption.template, caption.concept, frozenset({picture.id}))
        )
    photos.complete(_YTVOS.format(folder=folder))
    name = f"ytvos-{split}-{shots or 'all'}"
    return RetrievalSet(name, tuple(concepts), tuple(gallery), tuple(queries), facts.problems)


class _PhotoFinder:
    """Looks photos up and remembers those that are absent, to tell them all at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.missing: list[Path | str] = []

    def find(self, picture: str, *candidates: Path) -> Picture:
        """The picture in the first file that is there."""
        self.asked += 1
        path = first_existing(candidates)
        if path is None:
            self.missing.append(candidates[-1])
        return photo(path or candidates[-1], picture)

    def folder(self, *candidates: Path) -> list[Picture]:
        """The pictures of the first folder that is there."""
        self.asked += 1
        place = first_existing(candidates)
        files = find_photos([place])[0] if place and place.is_dir() else []
        if not files:
            self.missing.append(f"{candidates[-1]}/*.jpg")
        return [photo(path) for path in files]

    def complete(self, get: str) -> None:
        """Raise DatasetError where anything was absent."""
        if self.missing:
            raise absent_files_error(self.name, self.missing, self.asked, get)


def _require_annotations(folder: Path, files: list[Path]) -> None:
    """Raise DatasetError where an annotation file is absent."""
    missing = [path for path in files if not path.is_file()]
    if missing:
        get = f"{_BENCHMARK}; its folder annotations/ belongs into {folder}"
        raise absent_files_error("PerVL annotations", missing, len(files), get)


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises DatasetError where it lacks a column or a row is short."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    lacking = [column for column in columns if column not in (reader.fieldnames or ())]
    if lacking:
        raise DatasetError(f"{path}: no column {', '.join(lacking)}; it has {reader.fieldnames}")
    for number, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            raise DatasetError(f"{path}:{number}: the row is cut off; unpack the annotations anew")
    return rows


def _read_training_photos(path: Path, problems: list[str]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Concept -> training photos from an `_fsl_train.txt`, and how many lines say something."""
    found: dict[str, list[str]] = defaultdict(list)
    pair, lines = "", 0
    for number, line in _lines(path):
        lines += 1
        if header := _TRAINING_HEADER.fullmatch(line):
            pair = header[1]
            if pair in found:
                problems.append(f"{path.name}:{number}: pair {pair} stands there twice")
        elif pair and re.fullmatch(r"[\w-]+\.jpg", line):
            found[pair].append(line)
        else:
            problems.append(f'{path.name}:{number}: neither a pair nor a photo: "{line}"')
    return {pair: tuple(names) for pair, names in found.items()}, lines


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if line.strip():
            yield number, line.strip()
