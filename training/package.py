"""Write what is trained so far in the formats that ship: the towers after `align`, the generator at the end.

    python -m training.package --work build/gair-mini [--target gair_search/pretrained/gair-mini]

Writes open_clip's hub folder, the generator's parts in diffusers' formats below it, all in half precision, and the
checksums, which loading checks.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler
from safetensors.torch import save_file
from torch import Tensor

from gair_search.encoder.checksums import write_checksums
from gair_search.encoder.folding import fold_batch_norms
from gair_search.generation.export import GENERATOR
from training import image_tower
from training.align import Tail, new_head, unfold_batch_norms
from training.checkpoint import averaged_weights
from training.denoiser import SCHEDULE, denoiser
from training.towers import CONFIG, clip_model, text_state, text_tower
from training.trunk import halves

LOGIT_SCALE = 30.0


def clip_state(work: Path) -> dict[str, Tensor]:
    """Both towers under open_clip's names, float32."""
    tower = text_tower()
    tower.load_state_dict(torch.load(work / "text.pt", weights_only=True)["tower"])
    net = image_tower.imagenet_classifier().requires_grad_(False)
    _, back = halves(net)
    tail = Tail(fold_batch_norms(copy.deepcopy(back)), new_head())
    tail.load_state_dict(averaged_weights(torch.load(work / "image.pt", weights_only=True)["averaged"]))
    unfold_batch_norms(back, tail.back)
    state = text_state(tower) | {"logit_scale": torch.tensor(LOGIT_SCALE).log()}
    trunk = {n: v for n, v in net.state_dict().items() if not n.startswith("classifier.")}
    state |= {f"visual.trunk.{name}": value for name, value in trunk.items()}
    return state | {f"visual.head.mlp.{name}": value for name, value in tail.head.state_dict().items()}


def to_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors in float16, contiguous."""
    return {n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in state.items()}


def write_clip(work: Path, folder: Path) -> None:
    """`open_clip_config.json` and the weights of both towers, in open_clip's hub format."""
    state = clip_state(work)
    clip_model().load_state_dict(state)  # raises where a name or shape is not open_clip's
    save_file(to_half(state), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")


def write_generator(work: Path, folder: Path) -> None:
    """`model_index.json`, `scheduler/`, `unet/`, `vae/`: a StableDiffusionPipeline without its text encoder."""
    unet = denoiser()
    state = torch.load(work / "unet.pt", weights_only=True, map_location="cpu")
    unet.load_state_dict(averaged_weights(state["averaged"]))
    parts = {
        "scheduler": DPMSolverMultistepScheduler.from_config(
            SCHEDULE, algorithm_type="dpmsolver++", steps_offset=1
        ),
        "unet": unet.half(),
        "vae": AutoencoderKL.from_pretrained(work / "vae").half(),
    }
    index: dict[str, object] = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        for config in (folder / name).glob("*.json"):  # diffusers notes where a part was loaded from
            facts = json.loads(config.read_text("utf-8"))
            facts.pop("_name_or_path", None)
            config.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        index[name] = ["diffusers", type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/gair-mini"))
    parser.add_argument("--target", type=Path, default=Path("gair_search/pretrained/gair-mini"))
    args = parser.parse_args()
    args.target.mkdir(parents=True, exist_ok=True)
    if (args.work / "image.pt").exists():
        write_clip(args.work, args.target)
    if (args.work / "unet.pt").exists():
        write_generator(args.work, args.target / GENERATOR)
    write_checksums(args.target)


if __name__ == "__main__":
    main()
