"""What `PassageIndex` costs over the raw sentence-transformers and FAISS calls.

Prints one JSON line per figure: index build time over (encode + faiss add), search time on 100,000 random unit vectors over
the raw FAISS call, and how much opening that index reads into memory. Both sides run alternately in this process; a ratio
is the median over rounds.

    python benchmarks/retrieval.py --passages examples/xquad/passages.jsonl
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from figures import show

# This script has the name of the package it measures, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

EXAMPLES = Path(__file__).parent.parent / "examples" / "xquad"
DIMENSION = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, default=EXAMPLES / "passages.jsonl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), arguments.passages, arguments.rounds)
        search_and_open(Path(folder), arguments.rows, arguments.rounds)


def build(folder: Path, source: Path, rounds: int) -> None:
    import faiss

    from retrieval import PassageIndex, load_documents, load_embedder, split_documents

    embedder = load_embedder()
    passages = split_documents(load_documents(source), embedder=embedder)
    texts = [passage.text for passage in passages]
    embedder.encode(texts[:32])
    _ = embedder.fingerprint
    ratios = []
    for number in range(rounds):
        start = time.perf_counter()
        raw = faiss.IndexFlatIP(DIMENSION)
        raw.add(embedder.model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
        by_hand = time.perf_counter() - start
        start = time.perf_counter()
        PassageIndex.create(folder / f"build-{number}", embedder=embedder).add(passages)
        ratios.append((time.perf_counter() - start) / by_hand)
    show("build", passages=len(texts), ratio=median(ratios), rounds=rounds, bar=1.10)


def search_and_open(folder: Path, rows: int, rounds: int) -> None:
    import faiss
    import numpy as np
    import psutil

    from retrieval import Passage, PassageIndex, load_embedder

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((rows + 100, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, queries = vectors[:rows], vectors[rows:]
    path = folder / "search"
    made = PassageIndex.create(path, embedder=load_embedder())
    made.add([Passage(f"p{i}", f"passage {i}") for i in range(rows)], vectors=vectors)
    made.close()

    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    index = PassageIndex.open(path)
    seconds = time.perf_counter() - start
    grown = psutil.Process().memory_info().rss - before
    show("open", rows=rows, seconds=seconds, memory_over_vectors=max(0, grown) / vectors.nbytes)

    raw = faiss.IndexFlatIP(DIMENSION)
    raw.add(vectors)
    index.search_vectors(queries, k=5)
    raw.search(queries, 5)
    ratios = []
    for _ in range(3 * rounds):
        start = time.perf_counter()
        expected = raw.search(queries, 5)[1]
        by_hand = time.perf_counter() - start
        start = time.perf_counter()
        hit_lists = index.search_vectors(queries, k=5)
        ratios.append((time.perf_counter() - start) / by_hand)
    assert [[int(hit.passage.id[1:]) for hit in hits] for hits in hit_lists] == expected.tolist()
    show("search", rows=rows, queries=len(queries), ratio=median(ratios), rounds=3 * rounds, bar=1.2)


if __name__ == "__main__":
    main()
