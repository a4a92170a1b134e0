"""Embedded galleries compared: Qdrant Edge (exact and with an HNSW graph) against qdrant-client's local mode.

    python -m gair_search.benchmarks.scripts.gallery_backends [--points 20000 100000] [--dim 512] [--seed 0]

Each backend is built in one process and measured in a fresh one: time from opening to the first answer,
p50 latency of top-10, resident memory, recall@10 against exact search in float64. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from gair_search.encoder.identity import EmbedderId
from gair_search.gallery import (
    Gallery,
    GalleryConfig,
    Point,
)
from gair_search.gallery import (
    embedded as edge,
)
from gair_search.gallery.server import ServerGallery

MODULE = "gair_search.benchmarks.scripts.gallery_backends"
QUERIES = 100
BATCH = 64


def world(n: int, dim: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors `[n, dim]` in n/50 clusters, as image features lie, and queries `[QUERIES, dim]`."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 50, dim))
    vectors = centres[rng.integers(len(centres), size=n + QUERIES)] + rng.standard_normal((n + QUERIES, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:n].astype(np.float32), vectors[n:].astype(np.float32)


def open_backend(backend: str, folder: Path) -> Gallery:
    """A gallery of the named backend in a folder."""
    if backend == "local":
        return ServerGallery(QdrantClient(path=str(folder)), "bench", "local mode")
    if backend == "edge-hnsw":
        edge.INDEXING_THRESHOLD_KB = 10_000
    return edge.EmbeddedGallery(folder)


def build(backend: str, folder: Path, n: int, dim: int, seed: int) -> dict[str, float]:
    """Store the world; seconds of storing and of optimising."""
    vectors, _ = world(n, dim, seed)
    gallery = open_backend(backend, folder)
    gallery.create(EmbedderId("bench", "bench", "0", "0", dim), GalleryConfig())
    began = time.perf_counter()
    for i in range(0, n, BATCH):
        gallery.upsert(
            [
                Point(
                    str(uuid.UUID(int=j)), vectors[j], {"path": f"/photos/{j}.jpg", "size": j, "width": 512}
                )
                for j in range(i, min(n, i + BATCH))
            ]
        )
    stored = time.perf_counter()
    gallery.optimize()
    gallery.close()
    return {"upsert_seconds": stored - began, "optimize_seconds": time.perf_counter() - stored}


def measure(backend: str, folder: Path, n: int, dim: int, seed: int) -> dict[str, float]:
    """Open, query, compare with exact search."""
    vectors, queries = world(n, dim, seed)
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    truth = np.argsort(-scores, axis=1)[:, :10]
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    gallery = open_backend(backend, folder)
    gallery.search(queries[0], 10)
    open_seconds = time.perf_counter() - began
    latencies, found = [], 0
    for query, best in zip(queries, truth, strict=True):
        asked = time.perf_counter()
        hits = gallery.search(query, 10)
        latencies.append(time.perf_counter() - asked)
        found += len({uuid.UUID(str(hit.id)).int for hit in hits} & set(best.tolist()))
    memory = psutil.Process().memory_info().rss - before
    gallery.close()
    return {
        "open_seconds": open_seconds,
        "p50_ms": 1000 * float(np.median(latencies)),
        "p95_ms": 1000 * float(np.quantile(latencies, 0.95)),
        "memory_mb": memory / 2**20,
        "recall_at_10": found / (10 * QUERIES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", choices=["build", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--backend", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step = build if args.step == "build" else measure
        print(json.dumps(step(args.backend, args.folder, args.points[0], args.dim, args.seed)))
        return
    columns = [
        "upsert_seconds",
        "optimize_seconds",
        "open_seconds",
        "p50_ms",
        "p95_ms",
        "memory_mb",
        "recall_at_10",
    ]
    print("| points | backend | " + " | ".join(columns) + " | disk_mb |")
    print("|---|---|" + "---|" * (len(columns) + 1))
    for n in args.points:
        for backend in ("local", "edge", "edge-hnsw"):
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "gallery"
                facts: dict[str, float] = {}
                for step_name in ("build", "measure"):
                    command = [sys.executable, "-m", MODULE, "--step", step_name, "--backend", backend]
                    command += ["--folder", str(folder), "--points", str(n)]
                    command += ["--dim", str(args.dim), "--seed", str(args.seed)]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    facts |= json.loads(done.stdout.splitlines()[-1])
                disk = sum(f.stat().st_blocks * 512 for f in folder.rglob("*") if f.is_file()) / 2**20
                row = " | ".join(f"{facts[c]:.3g}" for c in columns)
                print(f"| {n} | {backend} | {row} | {disk:.0f} |", flush=True)


if __name__ == "__main__":
    main()
