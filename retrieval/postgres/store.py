"""`PostgresStore`: an index in a PostgreSQL database, with many readers and writers on any number of machines.

Writers of one index wait for each other, and embed before they do. Readers see every change at once when it is committed.
Not covered: the tables (schema.py), the search (contents.py) and connections (connections.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from retrieval.embedders import Embedder
from retrieval.errors import InvalidPassage
from retrieval.origin import Origin, check_embedder, checked_embedder
from retrieval.passages import Passage
from retrieval.postgres import schema
from retrieval.postgres.address import PostgresAddress, parse_address
from retrieval.postgres.connections import Connections, connect
from retrieval.postgres.contents import PASSAGE_COLUMNS, PostgresContents, passage_of
from retrieval.postgres.schema import PostgresFacts
from retrieval.served_store import ServedStore
from retrieval.terms import TERMS_VERSION

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

__all__ = ["PostgresStore"]

_PAGE = 1000


class PostgresStore(ServedStore):
    """Passages in a schema of a database."""

    def __init__(
        self, address: PostgresAddress, embedder: Embedder | None, facts: PostgresFacts, connections: Connections
    ) -> None:
        super().__init__(str(address), embedder, facts)
        self.address = address
        self._connections = connections

    @classmethod
    def open(cls, url: str, *, embedder: Embedder | str | None = None) -> Self:
        """Open an index; see `retrieval.open_store`."""
        return cls._open(parse_address(url), embedder)

    @classmethod
    def _open(cls, address: PostgresAddress, embedder: Embedder | str | None) -> Self:
        model = None if embedder is None else checked_embedder(embedder)
        connections = Connections(address)
        try:
            with connections.reading() as connection:
                facts = schema.read_facts(connection, address)
            if model is not None:
                check_embedder(str(address), facts.origin, model)
            if facts.terms_version != TERMS_VERSION:
                with connections.writing() as connection:
                    if schema.read_facts(connection, address, lock=True).terms_version != TERMS_VERSION:
                        schema.recount(connection, address)
        except BaseException:
            connections.close()
            raise
        return cls(address, model, facts, connections)

    @classmethod
    def fill(
        cls,
        url: str,
        origin: Origin,
        batches: Iterable[tuple[Sequence[Passage], NDArray[np.float32]]],
        *,
        embedder: Embedder | None = None,
    ) -> PostgresStore:
        """Create an index of passages and their vectors, all in one transaction.

        Args:
            url: of the new index.
            origin: the embedder that made the vectors.
            batches: passages with different ids, and their (N, d) vectors.
            embedder: the embedder of the origin, if it is loaded.
        """
        address = parse_address(url)
        connect(address, create_extension=True).close()
        connections = Connections(address)
        try:
            with connections.writing() as connection:
                facts = schema.create_tables(connection, address, origin)
                passages = words = 0
                for batch, vectors in batches:
                    _check_characters(batch)
                    passages += len(batch)
                    words += schema.insert(connection, address, batch, vectors)
                schema.create_indexes(connection, address, facts, passages)
                schema.count_change(connection, address, passages, words)
        finally:
            connections.close()
        return cls.open(url, embedder=embedder)

    @classmethod
    def checked_location(cls, url: str) -> str:
        """The URL with the name of the index."""
        return str(parse_address(url))

    @classmethod
    def check_vacant(cls, url: str) -> None:
        """Check that an index can be created, before any work is done for it.

        Raises:
            IndexExists: there is one, or a schema of its name.
            StoreUnavailable: the server cannot be reached.
        """
        address = parse_address(url)
        connection = connect(address, create_extension=True)
        try:
            schema.check_absent(connection, address)
        finally:
            connection.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Passage]:
        for row in self._pages(PASSAGE_COLUMNS, _PAGE):
            yield passage_of(row)

    def batches(self, size: int = _PAGE) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time."""
        import numpy as np

        rows: list[Any] = []
        for row in self._pages(f"{PASSAGE_COLUMNS}, embedding", size):
            rows.append(row)
            if len(rows) == size:
                yield [passage_of(r) for r in rows], np.stack([r[-1].to_numpy() for r in rows])
                rows = []
        if rows:
            yield [passage_of(r) for r in rows], np.stack([r[-1].to_numpy() for r in rows])

    def reopen(self, *, embedder: Embedder | None = None) -> PostgresStore:
        """Open the same index once more, with connections of its own."""
        return PostgresStore._open(self.address, embedder)

    def close(self) -> None:
        """Close the connections. Using the index afterwards is an error, except for closing it again."""
        self._connections.close()

    # -- private ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        self._connections.check_open()

    def _description(self, contents: Any) -> dict[str, Any]:
        size = schema.size(contents.connection, self.address)
        return {"store": "postgresql", "kind": contents.facts.kind, "bytes": size}

    @contextmanager
    def _reading(self) -> Iterator[PostgresContents]:
        with self._connections.reading() as connection:
            yield PostgresContents(connection, self.address, self._check_id)

    @contextmanager
    def _writing(self) -> Iterator[PostgresContents]:
        with self._connections.writing() as connection:
            yield self._contents(connection)

    def _contents(self, connection: psycopg.Connection[Any]) -> PostgresContents:
        facts = schema.read_facts(connection, self.address, lock=True)
        self._check_id(facts)
        return PostgresContents(connection, self.address, self._check_id, facts)

    def _commit(
        self, contents: Any, new: Sequence[Passage], vectors: NDArray[np.float32] | None, removed: Sequence[Any]
    ) -> PostgresContents:
        connection = contents.connection
        words = -schema.delete(connection, self.address, removed)
        if vectors is not None:
            words += schema.insert(connection, self.address, new, vectors)
        schema.count_change(connection, self.address, len(new) - len(removed), words)
        return self._contents(connection)

    def _check_storable(self, passages: Sequence[Passage]) -> None:
        _check_characters(passages)

    def _pages(self, columns: str, size: int) -> Iterator[Any]:
        """Get some columns of all rows, a page in one transaction, so that no connection waits for the next page."""
        last = -1
        while True:
            with self._reading() as contents:
                _ = contents.facts
                rows = schema.page(contents.connection, self.address, columns, last, size)
            yield from rows
            if len(rows) < size:
                return
            last = rows[-1][0]


def _check_characters(passages: Sequence[Passage]) -> None:
    """Refuse what PostgreSQL cannot store."""
    for passage in passages:
        for name in ("id", "text", "title", "source", "document_id"):
            if "\x00" in (getattr(passage, name) or ""):
                raise InvalidPassage(
                    f"passage {passage.id!r} cannot be stored: its {name} has a NUL character, which PostgreSQL refuses; "
                    "remove it"
                )
        if _has_nul(passage.metadata):
            raise InvalidPassage(
                f"passage {passage.id!r} cannot be stored: its metadata have a NUL character, which PostgreSQL refuses; "
                "remove it"
            )


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, (list, tuple)):
        return any(map(_has_nul, value))
    return hasattr(value, "items") and any(_has_nul(key) or _has_nul(item) for key, item in value.items())
