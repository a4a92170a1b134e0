"""A model folder of a stranger: its code leaves a marker when it is run."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gair_search.encoder import models
from gair_search.encoder.clip import Encoder
from gair_search.generation import export
from gair_search.generation.generator import Generator


def change(file: Path, **changes: Any) -> None:
    """Some fields of a JSON file, which is made if need be."""
    before = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(before | changes))


def configure(folder: Path, tower: str, **changes: Any) -> None:
    """Some fields of a tower's config."""
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"][tower] |= changes
    (folder / "open_clip_config.json").write_text(json.dumps(content))


def plant(folder: Path, marker: Path, name: str = "marker") -> None:
    """Python files that leave a mark when they are imported, with a class for every purpose."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import BertConfig, BertModel, BertTokenizer\n"
        "class Marker(BertTokenizer): pass\n"
        "class Config(BertConfig): pass\n"
        "class Model(BertModel): pass\n"
    )


def use(folder: Path) -> None:
    """All that is ever done with a model folder."""
    spec = models.resolve(f"local-dir:{folder}")
    clip = Encoder(spec, "cpu")
    height, width = spec.preprocessing.size
    clip.encode_pixels(np.zeros((1, height, width, 3), np.uint8))
    clip.encode_texts(["a dog"])
    Generator.load(clip)
    export.pipeline_folder(spec)


def arch() -> dict[str, Any]:
    from open_clip.hf_configs import arch_dict

    return arch_dict


def tokenizer_by_flag(folder: Path, marker: Path) -> None:
    plant(folder, marker)
    configure(folder, "text_cfg", hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": True})
    change(folder / "tokenizer_config.json", tokenizer_class="Marker")
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["marker.Marker", None]})
