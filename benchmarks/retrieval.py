"""What `PassageIndex` costs over the raw sentence-transformers and FAISS calls, and how often it finds the right passage.

Prints one JSON line per figure: index build time over (encode + faiss add), search time on 100,000 random unit vectors over
the raw FAISS call, and how much opening that index reads into memory. Both sides run alternately in this process; a ratio
is the median over rounds. Then hit@k and MRR of each mode of search, without and with each reranker that is named, and the
seconds that a question takes.

    python benchmarks/retrieval.py --passages examples/xquad/passages.jsonl --reranker FOLDER --only quality
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from figures import read_rows, show, wilson

# This script has the name of the package it measures, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

EXAMPLES = Path(__file__).parent.parent / "examples" / "xquad"
DIMENSION = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, default=EXAMPLES / "passages.jsonl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=Path, default=EXAMPLES / "questions.jsonl")
    parser.add_argument("--limit", type=int, default=None, help="questions to use, drawn with seed 0")
    parser.add_argument(
        "--reranker",
        action="append",
        default=[],
        help="'default', or a folder or hub id of a cross-encoder; repeatable",
    )
    parser.add_argument("--depth", type=int, default=20, help="hits that a reranker reads")
    parser.add_argument("--only", choices=("cost", "quality"), default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "quality":
            build(Path(folder), arguments.passages, arguments.rounds)
            search_and_open(Path(folder), arguments.rows, arguments.rounds)
        if arguments.only != "cost":
            quality(Path(folder), arguments)


def build(folder: Path, source: Path, rounds: int) -> None:
    import faiss
    from sentence_transformers import SentenceTransformer

    from retrieval import PassageIndex, load_documents, load_embedder, split_documents
    from retrieval.encoders import encoder_folder

    embedder = load_embedder()
    passages = split_documents(load_documents(source), embedder=embedder)
    texts = [passage.text for passage in passages]
    embedder.encode(texts[:32])
    _ = embedder.fingerprint
    raw_model = SentenceTransformer(str(encoder_folder()))
    ratios = []
    for number in range(rounds):
        start = time.perf_counter()
        raw = faiss.IndexFlatIP(DIMENSION)
        raw.add(raw_model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
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


def quality(folder: Path, arguments: argparse.Namespace) -> None:
    from retrieval import PassageIndex, evaluate_retrieval, load_documents, split_documents
    from retrieval.rerank import checked_reranker

    rows = read_rows(arguments.questions)
    random.Random(0).shuffle(rows)
    rows = rows[: arguments.limit]
    questions, gold = [row["question"] for row in rows], [row["passage_id"] for row in rows]
    index, _ = PassageIndex.build(folder / "quality", split_documents(load_documents(arguments.passages)))
    index.search(questions[0])
    for name in (None, *arguments.reranker):
        reranker = None if name is None else checked_reranker(name)
        if reranker is not None:
            reranker.score([(questions[0], "Loads the model.")])
        for mode in ("dense", "sparse", "hybrid"):
            start = time.perf_counter()
            (score,) = evaluate_retrieval(
                index, questions, gold, modes=[mode], rerank=reranker, rerank_depth=arguments.depth
            )
            seconds = (time.perf_counter() - start) / len(questions)
            right = round(score.hit_at[1] * len(questions))
            show("quality", n=len(questions), reranker=name, depth=arguments.depth if name else None, **score.to_dict(),
                 hit_at_1_interval=wilson(right, len(questions)), seconds_per_question=seconds)  # fmt: skip


if __name__ == "__main__":
    main()
