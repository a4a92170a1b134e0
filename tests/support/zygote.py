"""Runs `gair index` in children forked from one warm process, and kills them at given moments.

Usage: zygote.py PHOTOS OUT SEED KILLS. Prints one JSON line a trial. torch is imported but never used
before the fork, so that each child starts clean and in a moment.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import open_clip  # noqa: F401 - warm
import psutil

from gair_search.engine import Engine


def child(photos: Path, db: Path) -> int:
    """Index in a child; its process id."""
    pid = os.fork()
    if pid == 0:
        import torch

        torch.set_num_threads(1)
        from gair_search.indexer import index

        with Engine.open(db=db, device="cpu") as engine:
            encode = engine.encoder.encode_pixels
            index.index_folders([photos], engine.spec, encode, engine.gallery, batch_size=4, workers=1)
        os._exit(0)
    return pid


def complete(photos: Path, db: Path) -> float:
    """Run a child to its end; seconds."""
    began = time.monotonic()
    _, status = os.waitpid(child(photos, db), 0)
    if status:
        raise SystemExit(f"a run that nobody disturbed ended with status {status}")
    return time.monotonic() - began


def main() -> None:
    photos, out, seed, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    span = complete(photos, out / "undisturbed")
    moments = random.Random(seed)
    for trial in range(kills):
        db = out / f"killed-{trial}"
        shutil.rmtree(db, ignore_errors=True)
        pid = child(photos, db)
        moment = moments.uniform(0, span)
        time.sleep(moment)
        workers = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        complete(photos, db)
        _, alive = psutil.wait_procs(workers, timeout=15)
        print(
            json.dumps({"moment": moment, "span": span, "workers": len(workers), "left": len(alive)}),
            flush=True,
        )


if __name__ == "__main__":
    main()
