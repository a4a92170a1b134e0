"""What a reproduction needs; and of what is absent: what to get, from where, how large it is, where to put it."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gair_search.benchmarks.datasets.attributes import celeba, cub
from gair_search.benchmarks.datasets.coop import COOP_SETS, LAYOUT, coop_classes
from gair_search.benchmarks.datasets.folders import named_classes, textual_inversion
from gair_search.benchmarks.datasets.labelled import ClassSet, with_descriptions
from gair_search.benchmarks.datasets.pervl import deepfashion2
from gair_search.benchmarks.reproduction import sources as places
from gair_search.benchmarks.reproduction.sources import Sources
from gair_search.encoder.models import resolve
from gair_search.errors import DatasetError, GairError, MissingPackageError
from gair_search.generation.folders import find_folder

SHOTS = 3
"""Textual Inversion's photos to learn from (section 5)."""


@dataclass(frozen=True)
class Requirement:
    """Something that has to be there.

    Attributes:
        name: for people.
        get: what to get, and from where.
        size: how large it is.
        put: where it belongs, given the sources.
        check: raises GairError where it is absent or incomplete.
    """

    name: str
    get: Callable[[Sources], str]
    size: str
    put: Callable[[Sources], str]
    check: Callable[[Sources], object]


@dataclass(frozen=True)
class MissingPart:
    """A requirement that is not met, as text.

    Attributes:
        name: of the requirement.
        problem: what was found instead.
        get, size, put: as of the requirement.
    """

    name: str
    problem: str
    get: str
    size: str
    put: str

    def to_json(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


def _model(name: str, size: str, model: Callable[[Sources], str]) -> Requirement:
    """An open_clip model in the cache."""
    return Requirement(
        name,
        lambda sources: f"gair models pull {model(sources)}",
        size,
        lambda _: "Hugging Face's cache, where the command puts it",
        lambda sources: resolve(model(sources)),
    )


def _data(
    name: str, folder: str, size: str, get: str, check: Callable[[Sources, Path], object]
) -> Requirement:
    """A data set below the folder of all data."""
    return Requirement(
        name,
        lambda _: get,
        size,
        lambda sources: str(sources.folder(folder)),
        lambda sources: check(sources, sources.folder(folder)),
    )


def _concepts(parents: Callable[[Sources], Mapping[str, str]]) -> Callable[[Sources, Path], object]:
    return lambda sources, folder: textual_inversion(folder, parents(sources), SHOTS)


def _caltech(sources: Sources, folder: Path) -> None:
    """Caltech-256, or another folder of classes, with each parent among them."""
    known = named_classes(folder)
    if lacking := [parent for parent in sources.recognised.values() if parent not in known]:
        raise DatasetError(
            f"{folder} has no class {lacking[0]}; name the concepts' parents as its classes are"
        )


def _scikit_image(_: Sources) -> None:
    if importlib.util.find_spec("skimage") is None:
        raise MissingPackageError("faces are found by scikit-image, which is not installed")


_COOP = {
    "imagenet": (
        "145 GB, 1.3 million pictures",
        "ILSVRC 2012's training and validation pictures of https://image-net.org",
    ),
    "dtd": ("0.6 GB, 5,640 pictures", "https://www.robots.ox.ac.uk/~vgg/data/dtd/"),
    "flowers102": ("0.3 GB, 8,189 pictures", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"),
    "sun397": ("39 GB, 108,754 pictures", "https://vision.princeton.edu/projects/2010/SUN/"),
    "caltech101": ("0.1 GB, 9,146 pictures", "https://data.caltech.edu/records/mzrjq-6wc02"),
    "food101": ("5 GB, 101,000 pictures", "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"),
}
"""Size, and from where."""


def _coop_requirements() -> Iterator[tuple[str, Requirement]]:
    """CoOp's data sets, and CuPL's descriptions of each."""
    for key, own in COOP_SETS.items():
        size, where = _COOP[key]
        file = own.split or "classnames.txt"
        get = f"{where}; and {file}, from {LAYOUT}, which says how all lies"

        def read(_: Sources, folder: Path, key: str = key) -> ClassSet:
            return coop_classes(folder.parent, key)

        def describe(sources: Sources, key: str = key) -> None:
            file = sources.descriptions(key)
            if not file.is_file():
                raise DatasetError(f"{file} is absent")
            try:
                data = coop_classes(sources.folder(places.COOP), key)
            except DatasetError:
                return  # the data set's own requirement says so
            with_descriptions(data, file)

        yield key, _data(own.name, f"{places.COOP}/{own.folder}", size, get, read)
        yield (
            f"cupl {key}",
            Requirement(
                f"CuPL's descriptions of {own.name}",
                lambda _: (
                    "the data set's file of https://github.com/sarahpratt/CuPL: JSON, class name -> texts"
                ),
                "text",
                lambda sources, key=key: str(sources.descriptions(key)),  # type: ignore[misc]
                describe,
            ),
        )


_INVERSION = (
    "the photos of Textual Inversion, a folder a concept: https://github.com/rinongal/textual_inversion, "
    "under Pretrained Models / Data"
)
_INVERSION_SIZE = "9 concepts of 5 or 6 photos"

REQUIREMENTS: dict[str, Requirement] = {
    "clip": _model("CLIP ViT-L/14", "0.9 to 1.7 GB", lambda sources: sources.model),
    "metaclip": _model("MetaCLIP ViT-L/14", "1.7 GB", lambda sources: sources.metaclip),
    "judge": _model("the second judge", "0.6 GB", lambda sources: sources.judge),
    "generator": Requirement(
        "Stable Diffusion 1.4",
        lambda sources: f"hf download {sources.generator} --include model_index.json 'scheduler/*' 'tokenizer/*' "
        f"'*/config.json' unet/diffusion_pytorch_model.safetensors vae/diffusion_pytorch_model.safetensors "
        f"text_encoder/model.safetensors; or name a folder in its layout as --generator",
        "4.3 GB",
        lambda _: "Hugging Face's cache, where the command puts it",
        lambda sources: find_folder(sources.generator),
    ),
    "concepts recognised": _data(
        "Textual Inversion", places.TEXTUAL_INVERSION, _INVERSION_SIZE, _INVERSION,
        _concepts(lambda sources: sources.recognised),
    ),
    "concepts drawn": _data(
        "Textual Inversion", places.TEXTUAL_INVERSION, _INVERSION_SIZE, _INVERSION,
        _concepts(lambda sources: sources.drawn),
    ),
    "caltech256": _data(
        "Caltech-256", places.CALTECH, "1.2 GB, 30,607 pictures",
        "256_ObjectCategories.tar of https://data.caltech.edu/records/nyy15-4j048", _caltech,
    ),
    "pervl": _data(
        "PerVL-DeepFashion2", places.PERVL,
        "the annotations under 1 MB; train.zip of DeepFashion2 is large, and 874 of its photos are read",
        "annotations/ of https://github.com/NVlabs/PerVLBenchmark; and train.zip of "
        "https://github.com/switchablenorms/DeepFashion2, which asks for a form and a password, unpacked so that its "
        "photos lie in data/deep_fashion2/train/image/",
        lambda _, folder: deepfashion2(folder),
    ),
    "celeba": _data(
        "CelebA", places.CELEBA, "1.4 GB, 202,599 pictures",
        "img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt of "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        lambda _, folder: celeba(folder),
    ),
    "cub": _data(
        "CUB-200-2011", places.CUB, "1.1 GB, 11,788 pictures",
        "CUB_200_2011.tgz of https://data.caltech.edu/records/65de6-vp158", lambda _, folder: cub(folder),
    ),
    "scikit-image": Requirement(
        "scikit-image", lambda _: "pip install 'gair-search[bench]'", "some 50 MB with what it needs",
        lambda _: "this Python environment", _scikit_image,
    ),
    **dict(_coop_requirements()),
}  # fmt: skip
"""By key."""


def find_missing(keys: Iterable[str], sources: Sources) -> dict[str, MissingPart]:
    """Those of the requirements that are not met, by key; each is looked at as the run itself will read it."""
    found: dict[str, MissingPart] = {}
    for key in dict.fromkeys(keys):
        own = REQUIREMENTS[key]
        try:
            own.check(sources)
        except GairError as error:
            found[key] = MissingPart(
                own.name, _in_one_line(error), own.get(sources), own.size, own.put(sources)
            )
    return found


def _in_one_line(error: GairError) -> str:
    """What is wrong, and the first of the files that are absent."""
    first, *rest = str(error).splitlines()
    files = [line.strip() for line in rest if line.startswith("  ")]
    return f"{first.rstrip(':')}, as {files[0]}" if files else first
