"""What each store costs over raw calls of its engine: seconds to build, milliseconds per query, and recall@10.

Prints one JSON line per figure. The texts are real: all strings of at least 60 characters in the JSON-lines files that are
named. The vectors are random, in a subspace of 32 dimensions, about as many as those of sentence embeddings have; what is
nearest is known from exact search. Vectors are given to both sides, so that no build includes embedding, and both sides wait
until what they wrote is on the disk.

- folder: raw FAISS writes a flat index and a file of JSON lines; the median of three builds.
- postgresql: raw pgvector copies texts and vectors into a table, and makes a graph and a full-text index. The server is
  started for the benchmark, as the tests do.
- qdrant: Qdrant's embedded mode on both sides, which compares a query with every vector and is for tests and small indexes;
  figures of a server would be others. The raw side writes dense vectors and sparse ones of words.

The raw side of a query fetches the ids and texts of ten passages. Queries of both sides alternate; ratios are of medians.

    python benchmarks/stores.py --texts DATA/*/*.jsonl --rows 100000
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from figures import read_rows, show

# A script of this folder has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
from retrieval import Passage, PassageStore, build_store  # noqa: E402

ROOT = Path(__file__).parent.parent
DIMENSION = 384
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, nargs="*", default=[ROOT / "examples" / "xquad" / "passages.jsonl"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--stores", default="folder,postgresql,qdrant", help="some of these, separated by commas")
    arguments = parser.parse_args()
    texts = real_texts(arguments.texts, arguments.rows)
    vectors, queries = random_vectors(len(texts), arguments.queries)
    exact = np.argsort(-(queries @ vectors.T), 1)[:, :K]
    measures = {"folder": measure_folder, "postgresql": measure_postgresql, "qdrant": measure_qdrant}
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

        def raw_build(number: int) -> faiss.Index:
            index = faiss.IndexFlatIP(DIMENSION)
            index.add(vectors)
            faiss.write_index(index, str(place / f"{number}.faiss"))
            lines = (json.dumps({"id": f"p{i}", "text": text}) for i, text in enumerate(texts))
            (place / f"{number}.jsonl").write_text("\n".join(lines))
            for name in (f"{number}.faiss", f"{number}.jsonl"):
                with (place / name).open("rb") as file:
                    os.fsync(file.fileno())
            return index

        warm_up(str(place / "small.index"), texts, vectors)
        passages = passages_of(texts)
        raw_times, times = [], []
        for number in range(3):
            raw, spent = timed(lambda number=number: raw_build(number))
            raw_times.append(spent)
            store, spent = timed(lambda number=number: build(place / f"{number}.index", passages, vectors))
            times.append(spent)

        def raw_query(query: np.ndarray) -> list[tuple[str, str]]:
            _, rows = raw.search(query[None], K)
            return [(f"p{row}", texts[row]) for row in rows[0]]

        report("folder", store, median(times), median(raw_times), raw_query, queries, exact)


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

        warm_up(server.url("small"), texts, vectors)
        passages = passages_of(texts)
        _, vector_seconds = timed(raw_build)
        _, word_seconds = timed(raw_words)
        show("raw pgvector", n=len(texts), copy_and_graph=vector_seconds, words=word_seconds)
        store, seconds = timed(lambda: build(server.url("ours"), passages, vectors))

        def raw_query(query: np.ndarray) -> list[tuple[str, str]]:
            statement = "select id, text from raw order by embedding <#> %s limit %s"
            return connection.execute(statement, (query, K)).fetchall()

        report("postgresql", store, seconds, vector_seconds + word_seconds, raw_query, queries, exact)
        store.close()
        connection.close()
    finally:
        server.remove()


def measure_qdrant(texts: list[str], vectors: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> None:
    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        client = QdrantClient(path=f"{folder}/raw")

        def point(i: int) -> models.PointStruct:
            counts = Counter(zlib.crc32(word.encode()) for word in re.findall(r"\w+", texts[i].lower()))
            words = models.SparseVector(indices=list(counts), values=list(map(float, counts.values())))
            vector = {"dense": vectors[i].tolist(), "words": words}
            return models.PointStruct(id=i, vector=vector, payload={"id": f"p{i}", "text": texts[i]})

        def raw_build() -> None:
            client.create_collection(
                "raw",
                vectors_config={"dense": models.VectorParams(size=DIMENSION, distance=models.Distance.DOT)},
                sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
            for start in range(0, len(texts), 256):
                client.upsert("raw", [point(i) for i in range(start, min(start + 256, len(texts)))], wait=True)

        warm_up(f"qdrant://{folder}/small#x", texts, vectors)
        passages = passages_of(texts)
        _, raw_seconds = timed(raw_build)
        store, seconds = timed(lambda: build(f"qdrant://{folder}/ours#x", passages, vectors))

        def raw_query(query: np.ndarray) -> list[tuple[str, str]]:
            reply = client.query_points("raw", query.tolist(), using="dense", limit=K, with_payload=True)
            return [(point.payload["id"], point.payload["text"]) for point in reply.points]

        report("qdrant embedded", store, seconds, raw_seconds, raw_query, queries, exact)
        store.close()
        client.close()


def passages_of(texts: list[str]) -> list[Passage]:
    return [Passage(f"p{i}", text) for i, text in enumerate(texts)]


def warm_up(location: str, texts: list[str], vectors: np.ndarray) -> None:
    """Import what a build needs, which is not part of the figures."""
    build(location, passages_of(texts[:100]), vectors[:100]).close()


def build(location: str | Path, passages: list[Passage], vectors: np.ndarray) -> PassageStore:
    class Known:
        name, fingerprint, dimension = "random", "random", DIMENSION

        def encode(self, _texts: list[str]) -> np.ndarray:
            raise AssertionError("all vectors are known")

    store, _ = build_store(location, passages, embedder=Known(), vectors=vectors, duplicates="keep")
    return store


def report(
    name: str,
    store: PassageStore,
    seconds: float,
    raw_seconds: float,
    raw_query: Callable,
    queries: np.ndarray,
    exact: np.ndarray,
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
