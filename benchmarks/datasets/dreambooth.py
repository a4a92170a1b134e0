"""The DreamBooth photos (Ruiz et al. 2023): 30 subjects of 15 classes, 4 to 6 photos each."""

import re
from pathlib import Path

from gair_search.benchmarks.datasets.base import (
    SUBJECT,
    Concept,
    RetrievalQuery,
    RetrievalSet,
    absent_files_error,
    choose_pictures,
)
from gair_search.benchmarks.datasets.folders import pictures_by_class
from gair_search.errors import DatasetError

TABLE = "prompts_and_classes.txt"
_GET = "get https://github.com/google/dreambooth; {folder} is to be its folder dataset/, with " + TABLE


def subject_classes(folder: Path) -> dict[str, str]:
    """Subject -> class, from the data set's own table.

    Raises:
        DatasetError: the table is absent, or holds no such list.
    """
    table = folder / TABLE
    if not table.is_file():
        raise absent_files_error("DreamBooth", [table], 1, _GET.format(folder=folder))
    _, found, rest = table.read_text("utf-8").partition("subject_name,class\n")
    if not found:
        raise DatasetError(f"{table}: no list that begins with subject_name,class")
    lines = re.split(r"\n\s*\n", rest)[0].strip().splitlines()
    return {subject.strip(): name.strip() for subject, name in (line.split(",", 1) for line in lines)}


def dreambooth(folder: Path, shots: int = 3, seed: int = 0) -> RetrievalSet:
    """`shots` photos to learn each subject from; its others are to be found among all subjects' photos.

    One query a subject, `a photo of a {subject}`; the photos that it was learned from are not ranked for it.

    Raises:
        DatasetError: the table, a subject's folder or its photos are absent.
    """
    parents = subject_classes(folder)
    by_folder = pictures_by_class(folder)
    photos = {subject: by_folder.get(subject, ()) for subject in parents}
    missing = [f"{folder / subject}/*.jpg" for subject, found in photos.items() if len(found) <= shots]
    if missing:
        get = f"more than {shots} photos a subject are wanted; {_GET.format(folder=folder)}"
        raise absent_files_error("DreamBooth", missing, len(parents), get)
    concepts, queries = [], []
    for number, (subject, found) in enumerate(photos.items()):
        concept = Concept(subject, parents[subject], choose_pictures(found, shots, seed, number))
        learned = frozenset(picture.id for picture in concept.images)
        relevant = frozenset(picture.id for picture in found) - learned
        concepts.append(concept)
        queries.append(RetrievalQuery(subject, f"a photo of a {SUBJECT}", subject, relevant, learned))
    gallery = tuple(picture for found in photos.values() for picture in found)
    instances = {picture.id: subject for subject, found in photos.items() for picture in found}
    name = f"dreambooth-{shots}-seed{seed}"
    return RetrievalSet(name, tuple(concepts), gallery, tuple(queries), instances=instances)
