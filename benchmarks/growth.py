"""What grows how: time, memory and disk by number of passages, and time and memory by number of checks.

Prints one JSON line per size, and what follows for a million: the value of the line through the sizes, or, for the building
of a graph, of the line in n·log2(n). Each size runs in its own process, so that its peak memory is its own; seconds are CPU
seconds of one thread. Texts are the example passages, each made unique by a number; vectors of the stores are random, since
embedding is measured on its own.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [--only flat hnsw embed check] [--sizes 10000 30000 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from figures import read_rows, show

# A script of this folder has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

EXAMPLES = Path(__file__).parents[1] / "examples" / "xquad"
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(MEASURES), choices=list(MEASURES))
    parser.add_argument("--sizes", type=int, nargs="*", help="instead of the sizes of each measure")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(MEASURES[arguments.only[0]][0](arguments.one)))
        return
    for name in arguments.only:
        _, sizes = MEASURES[name]
        rows = []
        for size in arguments.sizes or sizes:
            command = [sys.executable, __file__, "--only", name, "--one", str(size)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            show(name, n=size, **rows[-1])
        show(f"{name}, for a million", **per_million(arguments.sizes or sizes, rows))


def per_million(sizes: list[int], rows: list[dict[str, float]]) -> dict[str, float]:
    """The value at a million of the line through the sizes; for the building of a graph, of the line in n·log2(n).

    Left out is what does not grow with n: a peak of memory, and the search of a graph, which reads about log(n) of it.
    """
    result = {}
    for key in rows[0]:
        if key in ("peak_megabytes", "graph_milliseconds"):
            continue
        graph = key == "graph_seconds"
        x = [n * np.log2(n) if graph else float(n) for n in sizes]
        slope, constant = np.polyfit(x, [row[key] for row in rows], 1) if len(sizes) > 1 else (rows[0][key] / x[0], 0.0)
        result[key] = float(constant + slope * (MILLION * np.log2(MILLION) if graph else MILLION))
    return result


def measure_flat(n: int) -> dict[str, float]:
    return measure_folder(n, "flat")


def measure_hnsw(n: int) -> dict[str, float]:
    return measure_folder(n, "hnsw")


def measure_folder(n: int, kind: str) -> dict[str, float]:
    """Build an index of n passages with given vectors, open it in a process of its own, and search it."""
    from retrieval import Passage, PassageIndex

    passages = [Passage(f"p{i}", text) for i, text in enumerate(texts(n))]
    vectors = random_vectors(n)
    before = peak_megabytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.index"
        built = cpu_seconds(lambda: PassageIndex.build(path, passages, embedder=Known(), vectors=vectors, kind=kind))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        build_peak = peak_megabytes() - before
        index = PassageIndex.open(path, embedder=Known())
        opened = cpu_seconds(lambda: PassageIndex.open(path, embedder=Known()))
        words = cpu_seconds(lambda: index.search("museum", mode="sparse"))
        queries = random_vectors(50, seed=1)
        dense = cpu_seconds(lambda: [index.search_vectors(query[None], 10) for query in queries]) / len(queries)
        sparse = cpu_seconds(lambda: [index.search("museum of art", mode="sparse") for _ in queries]) / len(queries)
    return {
        ("graph_seconds" if kind == "hnsw" else "build_seconds"): built,
        "build_megabytes": build_peak,
        "disk_megabytes": size / 1e6,
        "open_seconds": opened,
        "bm25_seconds": words,
        ("graph_milliseconds" if kind == "hnsw" else "dense_milliseconds"): 1000 * dense,
        "sparse_milliseconds": 1000 * sparse,
    }


def measure_embed(n: int) -> dict[str, float]:
    from retrieval import load_embedder

    embedder = load_embedder()
    embedder.encode(["warm up"])
    seconds = cpu_seconds(lambda: embedder.encode(texts(n)))
    return {"seconds": seconds, "peak_megabytes": peak_megabytes()}


def measure_check(n: int) -> dict[str, float]:
    """Check n answers in the way of `halluc check --batch`."""
    from halluc.verification import load_verifier
    from halluc.verification.check_file import check_rows

    contexts = [row["text"] for row in read_rows(EXAMPLES / "passages.jsonl")]
    answers = [row["text"] for row in read_rows(EXAMPLES / "answers.jsonl") if row["text"].strip()]
    verifier = load_verifier()
    verifier.support([("Zebras graze.", "Zebras graze.")])
    with tempfile.TemporaryDirectory() as folder:
        rows, out = Path(folder) / "rows.jsonl", Path(folder) / "out.jsonl"
        lines = [{"answer": answers[i % len(answers)], "context": contexts[i % len(contexts)]} for i in range(n)]
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        seconds = cpu_seconds(lambda: check_rows(rows, out, verifier=verifier))
        size = out.stat().st_size
    return {"seconds": seconds, "peak_megabytes": peak_megabytes(), "result_megabytes": size / 1e6}


MEASURES: dict[str, tuple[Callable[[int], dict[str, float]], list[int]]] = {
    "flat": (measure_flat, [10_000, 30_000, 100_000]),
    "hnsw": (measure_hnsw, [5_000, 10_000, 20_000]),
    "embed": (measure_embed, [200, 400, 800]),
    "check": (measure_check, [50, 100, 200]),
}


class Known:
    """Stands for an embedder whose vectors are known."""

    name, fingerprint, dimension = "random", "random", 384

    def encode(self, texts: list[str]) -> np.ndarray:
        raise AssertionError("all vectors are known")


def texts(n: int) -> list[str]:
    examples = [row["text"] for row in read_rows(EXAMPLES / "passages.jsonl")]
    return [f"{examples[i % len(examples)]} ({i})" for i in range(n)]


def random_vectors(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, Known.dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_megabytes() -> float:
    """Peak of the resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
