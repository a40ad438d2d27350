"""What each store costs over raw calls of its engine: seconds to build, milliseconds per query, and recall@10.

Prints one JSON line per figure. The texts are real: all strings of at least 60 characters in the JSON-lines files that are
named. The vectors are random, in a subspace of 32 dimensions, about as many as those of sentence embeddings have; what is
nearest is known from exact search. The raw side of a build writes the same texts and vectors and makes an index of vectors,
and, for a database, one of words; the raw side of a query fetches the ids and texts of ten passages. Queries of both sides
alternate, and ratios are of medians. A PostgreSQL server is started for the benchmark, as the tests do.

    python benchmarks/stores.py --texts DATA/*/*.jsonl --rows 100000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from figures import read_rows, show

# A script of this folder has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

ROOT = Path(__file__).parent.parent
DIMENSION = 384
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, nargs="*", default=[ROOT / "examples" / "xquad" / "passages.jsonl"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--stores", default="folder,postgresql", help="some of folder, postgresql, separated by commas")
    arguments = parser.parse_args()
    texts = real_texts(arguments.texts, arguments.rows)
    vectors, queries = random_vectors(len(texts), arguments.queries)
    exact = np.argsort(-(queries @ vectors.T), 1)[:, :K]
    measures = {"folder": measure_folder, "postgresql": measure_postgresql}
    for store in arguments.stores.split(","):
        measures[store](texts, vectors, queries, exact)


def real_texts(paths: list[Path], rows: int) -> list[str]:
    texts: dict[str, None] = {}
    for path in paths:
        for row in read_rows(path):
            texts.update(dict.fromkeys(v for v in row.values() if isinstance(v, str) and len(v) >= 60 and "\x00" not in v))
            if len(texts) >= rows:
                break
    chosen = [text[:2000] for text in texts][:rows]
    show("texts", n=len(chosen), characters=float(np.mean([len(text) for text in chosen])))
    return chosen


def random_vectors(rows: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    projection = rng.standard_normal((32, DIMENSION))
    made = rng.standard_normal((rows + queries, 32)) @ projection + 0.3 * rng.standard_normal((rows + queries, DIMENSION))
    unit = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit[:rows], unit[rows:]


def measure_folder(texts: list[str], vectors: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> None:
    import faiss

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def raw_build() -> faiss.Index:
            index = faiss.IndexFlatIP(DIMENSION)
            index.add(vectors)
            faiss.write_index(index, str(place / "raw.faiss"))
            lines = (json.dumps({"id": f"p{i}", "text": text}) for i, text in enumerate(texts))
            (place / "raw.jsonl").write_text("\n".join(lines))
            return index

        raw, raw_seconds = timed(raw_build)
        store, seconds = timed(lambda: build(place / "x.index", texts, vectors))

        def raw_query(query: np.ndarray) -> list[tuple[str, str]]:
            _, rows = raw.search(query[None], K)
            return [(f"p{row}", texts[row]) for row in rows[0]]

        report("folder", store, seconds, raw_seconds, raw_query, queries, exact)


def measure_postgresql(texts: list[str], vectors: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> None:
    import psycopg
    from pgvector.psycopg import register_vector

    sys.path.append(str(ROOT / "tests" / "retrieval"))
    from postgres_server import PostgresServer

    server = PostgresServer(durable=True)
    try:
        server.execute("create extension vector")
        connection = psycopg.connect(server.url("x").partition("#")[0], autocommit=True)
        register_vector(connection)
        # As the store does; the graph is built slowly if it does not fit.
        connection.execute(f"set maintenance_work_mem = '{max(64, len(texts) * (4 * DIMENSION + 512) >> 20) + 1}MB'")
        connection.execute("set hnsw.ef_search = 128")

        def raw_build() -> None:
            connection.execute("create table raw (id text primary key, text text, embedding vector(384))")
            with connection.cursor().copy("copy raw from stdin (format binary)") as copy:
                copy.set_types(["text", "text", "vector"])
                for i, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
                    copy.write_row((f"p{i}", text, vector))
            connection.execute("create index on raw using hnsw (embedding vector_ip_ops)")

        def raw_words() -> None:
            connection.execute("create index on raw using gin (to_tsvector('english', text))")

        _, vector_seconds = timed(raw_build)
        _, word_seconds = timed(raw_words)
        show("raw pgvector", n=len(texts), copy_and_graph=vector_seconds, words=word_seconds)
        store, seconds = timed(lambda: build(server.url("ours"), texts, vectors))

        def raw_query(query: np.ndarray) -> list[tuple[str, str]]:
            statement = "select id, text from raw order by embedding <#> %s limit %s"
            return connection.execute(statement, (query, K)).fetchall()

        report("postgresql", store, seconds, vector_seconds + word_seconds, raw_query, queries, exact)
        store.close()
        connection.close()
    finally:
        server.remove()


def build(location: str | Path, texts: list[str], vectors: np.ndarray):
    from retrieval import Passage, build_store

    class Known:
        name, fingerprint, dimension = "random", "random", DIMENSION

        def encode(self, _texts: list[str]) -> np.ndarray:
            raise AssertionError("all vectors are known")

    passages = [Passage(f"p{i}", text) for i, text in enumerate(texts)]
    store, _ = build_store(location, passages, embedder=Known(), vectors=vectors, duplicates="keep")
    return store


def report(
    name: str, store, seconds: float, raw_seconds: float, raw_query: Callable, queries: np.ndarray, exact: np.ndarray
) -> None:
    show("build", store=name, n=len(store), seconds=seconds, raw_seconds=raw_seconds, ratio=seconds / raw_seconds)
    ours, raw, found, raw_found = [], [], 0, 0
    for query in queries[:5]:
        store.search_vectors(query[None], K)
        raw_query(query)
    for query, nearest in zip(queries, exact, strict=True):
        best = {f"p{row}" for row in nearest}
        ((hits,), spent) = timed(lambda query=query: store.search_vectors(query[None], K))
        ours.append(spent)
        rows, spent = timed(lambda query=query: raw_query(query))
        raw.append(spent)
        found += len(best & {hit.passage.id for hit in hits})
        raw_found += len(best & {passage_id for passage_id, _ in rows})
    show(
        "query", store=name, n=len(queries), milliseconds=1000 * median(ours), raw_milliseconds=1000 * median(raw),
        ratio=median(ours) / median(raw), recall_at_10=found / exact.size, raw_recall_at_10=raw_found / exact.size,
    )  # fmt: skip
    _, batch = timed(lambda: store.search_vectors(queries, K))
    show("batch", store=name, n=len(queries), milliseconds_per_query=1000 * batch / len(queries))
    words = [hit.passage.text[:80] for (hit,) in store.search_vectors(queries[:50], 1)]
    store.search(words[0], K, "sparse")
    spent = [timed(lambda text=text: store.search(text, K, "sparse"))[1] for text in words]
    show("words", store=name, n=len(words), milliseconds=1000 * median(spent))


def timed(call: Callable):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
