"""A made PerVL tree."""

import csv
from pathlib import Path

from support.photos import make_photos

PAIRS = {"11": ("skirt", 7), "9": ("vest dress", 3), "12": ("trousers", 4)}
"""Pair -> class, and how many training photos it has."""


def table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_pervl(folder: Path) -> Path:
    """PerVL's tree in small: three pairs with two queries each, and two objects of YTVOS; returns the folder."""
    place = folder / "annotations/deep_fashion"
    own, short, training = [], [], []
    for pair, (_, n) in PAIRS.items():
        training += [f"codes_infer/{pair}:", *(f"{pair}{i:04d}.jpg" for i in range(n)), ""]
        for i in (0, 1):
            image = {"image_name": f"train/image/{pair}9{i}.jpg", "pair_id": pair}
            own.append(image | {"caption": f"a person with a hat, by wall {i}, and another person."})
            short.append(image | {"caption": f"the person's wall {i}."})
    extra = {"image_name": "train/image/110000.jpg", "pair_id": "11", "caption": "a person runs."}
    table(place / "test_captions.csv", own)
    table(place / "detailed_deepfashion2_captions.csv", [*own, extra])
    table(place / "shortened_deepfashion2_captions.csv", short)
    table(
        place / "train_coarse_grained_names.csv",
        [{"unique_pair_ids": pair, "pair_id_categories": name} for pair, (name, _) in PAIRS.items()],
    )
    (place / "test_fsl_train.txt").write_text("\n".join(training))
    names = [line for line in training if line.endswith(".jpg")]
    names += [row["image_name"].rsplit("/", 1)[-1] for row in own]
    source = make_photos(folder / "made", 1)[0]
    photos = folder / "data/deep_fashion2/train/image"
    photos.mkdir(parents=True)
    for name in names:
        (photos / name).write_bytes(source.read_bytes())
    objects = [
        {
            "image_name": f"eval/images/{name}_00{i}.jpg",
            "coarse_grained_class": kind,
            "caption": text,
            "class_id": name,
        }
        for i, (name, kind, text) in enumerate(
            [("giant_panda_ab_1", "giant_panda", "an * behind *'s tree."), ("dog_cd_2", "dog", "* runs.")]
        )
    ]
    table(folder / "annotations/ytvos/cleaned_captions_ytvos_test.csv", objects)
    table(folder / "annotations/ytvos/ytvos_joint_captions.csv", objects)
    return folder
