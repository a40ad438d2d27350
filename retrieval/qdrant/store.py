"""`QdrantStore`: an index in Qdrant, whose server spreads it over shards and replicas.

Qdrant has no transactions. A change is therefore written beside the passages and committed by one record (facts.py): after a
lost connection or a killed process, all of it counts or nothing. While a commit is carried out, which takes milliseconds, a
search may find some of its passages and not the others.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from retrieval.embedders import Embedder
from retrieval.errors import IndexExists, IndexLocked
from retrieval.origin import Origin, check_embedder, checked_embedder
from retrieval.passages import Passage
from retrieval.qdrant import facts as records
from retrieval.qdrant.address import QdrantAddress, parse_address
from retrieval.qdrant.connection import Connection
from retrieval.qdrant.contents import QdrantContents
from retrieval.qdrant.facts import Lock, QdrantFacts
from retrieval.qdrant.points import passage_of, point_of, word_count
from retrieval.served_store import ServedStore, new_facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["QdrantStore"]

_BATCH = 256
_INDEXED = ("id", "document", "text_hash", "facets", "change")
_NOTHING = "nothing of the change counts; make it again"
_UNSURE = "either all of the change counts or nothing; make it again, which does no harm"


class QdrantStore(ServedStore):
    """Passages in a collection."""

    def __init__(self, connection: Connection, embedder: Embedder | None, facts: QdrantFacts) -> None:
        super().__init__(connection.address.location, embedder, facts)
        self._connection = connection

    @classmethod
    def open(cls, url: str, *, embedder: Embedder | str | None = None) -> Self:
        """Open an index; see `retrieval.open_store`."""
        return cls._open(parse_address(url), embedder)

    @classmethod
    def _open(cls, address: QdrantAddress, embedder: Embedder | str | None) -> Self:
        model = None if embedder is None else checked_embedder(embedder)
        with _connected(address) as connection:
            with connection.reading():
                facts = records.read_facts(connection)
            if model is not None:
                check_embedder(address.location, facts.origin, model)
            store = cls(connection, model, facts)
            if facts.commit is not None:
                # A process that is gone recorded a change and did not finish it.
                with store._writing():
                    pass
        return store

    @classmethod
    def fill(
        cls,
        url: str,
        origin: Origin,
        batches: Iterable[tuple[Sequence[Passage], NDArray[np.float32]]],
        *,
        embedder: Embedder | None = None,
    ) -> QdrantStore:
        """Create an index of passages and their vectors, which appears only once all of them are in it.

        Args:
            url: of the new index.
            origin: the embedder that made the vectors.
            batches: passages with different ids, and their (N, d) vectors.
            embedder: the embedder of the origin, if it is loaded.
        """
        address = parse_address(url)
        with _connected(address) as connection:
            try:
                with connection.writing("there is no index there"):
                    _create_collections(connection, origin)
                    try:
                        _fill(connection, origin, batches)
                    except BaseException:
                        with suppress(Exception):
                            for name in (address.name, address.facts):
                                connection.call("delete_collection", name)
                        raise
            finally:
                connection.close()
        return cls.open(url, embedder=embedder)

    @classmethod
    def checked_location(cls, url: str) -> str:
        """The URL with the defaults of port and name."""
        return parse_address(url).location

    @classmethod
    def check_vacant(cls, url: str) -> None:
        """Check that an index can be created, before any work is done for it.

        Raises:
            IndexExists: there is one, or a collection of its name.
            IndexLocked: another process builds it.
            StoreUnavailable: the server cannot be reached.
        """
        with _connected(parse_address(url)) as connection:
            try:
                with connection.reading():
                    _check_vacant(connection)
            finally:
                connection.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Passage]:
        with self._reading() as contents:
            for point in contents.points(with_payload=True):
                yield passage_of(point.payload)

    def batches(self, size: int = 1000) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time."""
        import numpy as np

        def batch(points: list[Any]) -> tuple[list[Passage], NDArray[np.float32]]:
            vectors = np.array([point.vector["dense"] for point in points], np.float32)
            return [passage_of(point.payload) for point in points], vectors

        points: list[Any] = []
        with self._reading() as contents:
            for point in contents.points(with_payload=True, with_vectors=["dense"]):
                points.append(point)
                if len(points) == size:
                    yield batch(points)
                    points = []
        if points:
            yield batch(points)

    def reopen(self, *, embedder: Embedder | None = None) -> QdrantStore:
        """Open the same index once more."""
        return QdrantStore._open(self._connection.address, embedder)

    def close(self) -> None:
        """Release the client. Using the index afterwards is an error, except for closing it again."""
        self._connection.close()

    # -- private ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        self._connection.check_open()

    def _description(self, contents: Any) -> dict[str, Any]:
        return {"store": "qdrant", "kind": "hnsw" if self._connection.address.folder is None else "flat"}

    @contextmanager
    def _reading(self) -> Iterator[QdrantContents]:
        with self._connection.reading():
            yield QdrantContents(self._connection, self._present_facts())

    @contextmanager
    def _writing(self) -> Iterator[QdrantContents]:
        self.refresh()
        lock = Lock(self._connection)
        with self._connection.writing(_NOTHING):
            lock.acquire()
        try:
            with self._connection.writing(_NOTHING):
                facts = records.finish_commit(self._connection, self._present_facts())
                yield _Writing(self._connection, facts, lock)
        finally:
            # If the server cannot be reached, the lock expires.
            with suppress(Exception):
                lock.release()

    def _commit(
        self, contents: Any, new: Sequence[Passage], vectors: NDArray[np.float32] | None, removed: Sequence[Any]
    ) -> QdrantContents:
        connection, facts, lock = self._connection, contents.facts, contents.lock
        change = secrets.token_hex(16)
        if vectors is not None:
            mean = facts.mean_words or word_count(new) / len(new)
            facts = replace(facts, mean_words=mean)
            _upload(connection, facts, new, vectors, change, lock)
        after = {
            "state": secrets.token_hex(16),
            "generation": facts.generation + 1,
            "passages": facts.passages + len(new) - len(removed),
            "next": facts.next + len(new),
            "mean_words": facts.mean_words,
        }
        lock.renew()
        with connection.writing(_UNSURE):
            records.record_commit(connection, lock, {"change": change, "removed": list(removed), "after": after})
            facts = records.finish_commit(connection, records.read_facts(connection))
        return _Writing(connection, facts, lock)

    def _present_facts(self) -> QdrantFacts:
        facts = records.read_facts(self._connection)
        self._check_id(facts)
        return facts


class _Writing(QdrantContents):
    """The passages while the lock is held."""

    def __init__(self, connection: Connection, facts: QdrantFacts, lock: Lock) -> None:
        super().__init__(connection, facts)
        self.lock = lock


@contextmanager
def _connected(address: QdrantAddress) -> Iterator[Connection]:
    """Connect, and release the client again if the block fails."""
    connection = Connection(address)
    try:
        if connection.is_first:
            records.clear_lock(connection)
        yield connection
    except BaseException:
        connection.close()
        raise


def _check_vacant(connection: Connection) -> None:
    address = connection.address
    payload = records.read_payload(connection)
    if payload is not None and "building" in payload:
        if not connection.is_first and payload["building"] > records.now():
            raise IndexLocked(f"another process builds {address}; if it was killed, try again in a minute")
    elif payload is not None or connection.call("collection_exists", address.name):
        raise IndexExists(f"{address} already exists; open it, or choose another name after the #")


def _create_collections(connection: Connection, origin: Origin) -> None:
    """Create the collections, after removing what a killed process left of them."""
    from qdrant_client import models

    address = connection.address
    _check_vacant(connection)
    for name in (address.name, address.facts):
        if connection.call("collection_exists", name):
            connection.call("delete_collection", name)
    connection.call("create_collection", address.facts, vectors_config={})
    records.write_payload(connection, {"building": records.lease()})
    connection.call(
        "create_collection",
        address.name,
        vectors_config={"dense": models.VectorParams(size=origin.dimension, distance=models.Distance.DOT)},
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    for field in _INDEXED:
        connection.call("create_payload_index", address.name, field_name=field, field_schema="keyword", wait=True)


def _fill(connection: Connection, origin: Origin, batches: Iterable[tuple[Sequence[Passage], NDArray[np.float32]]]) -> None:
    """Write the passages, and at last the facts that make the index appear."""
    facts = QdrantFacts(**new_facts(origin, records.FORMAT_VERSION), mean_words=0.0, next=1, commit=None)
    for passages, vectors in batches:
        if not facts.mean_words:
            facts = replace(facts, mean_words=word_count(passages) / max(1, len(passages)))
        _upload(connection, facts, passages, vectors, None, None)
        facts = replace(facts, passages=facts.passages + len(passages), next=facts.next + len(passages))
        records.write_payload(connection, {"building": records.lease()})
    records.write_facts(connection, replace(facts, generation=1))


def _upload(
    connection: Connection,
    facts: QdrantFacts,
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    change: str | None,
    lock: Lock | None,
) -> None:
    for start in range(0, len(passages), _BATCH):
        part = slice(start, start + _BATCH)
        rows = zip(passages[part], vectors[part], strict=True)
        numbers = range(facts.next + start, facts.next + len(passages))
        points = [
            point_of(number, passage, vector, facts.mean_words, change)
            for number, (passage, vector) in zip(numbers, rows, strict=False)
        ]
        connection.call("upsert", connection.address.name, points=points, wait=True)
        if lock is not None:
            lock.renew()
        else:
            records.write_payload(connection, {"building": records.lease()})
