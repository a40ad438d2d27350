"""Connections to a PostgreSQL database: kept open between uses, one transaction at a time each, errors in one sentence."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from retrieval.errors import IndexClosed, IndexLocked, IndexWriteFailed, PassageIndexError, StoreUnavailable
from retrieval.postgres.address import PostgresAddress

if TYPE_CHECKING:
    import psycopg

__all__ = ["GRAPH_BREADTH", "Connections", "connect", "reason"]

# Python prints the warnings of a library that nobody handles; psycopg's repeat errors that are raised here.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# As many candidates as FAISS keeps (vectors.py): a search of the graph finds no more passages than these.
GRAPH_BREADTH = 128

_CONNECT_SECONDS = 10
_LOCK_SECONDS = 600
_MOST_IDLE = 8
_OLDEST_PGVECTOR = (0, 8)
_SETTINGS = {"hnsw.ef_search": str(GRAPH_BREADTH), "lock_timeout": f"{_LOCK_SECONDS}s"}


class Connections:
    """The connections of one store, which several threads may use at the same time.

    Args:
        address: the database.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self.address = address
        self._idle: list[psycopg.Connection[Any]] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False

    def close(self) -> None:
        """Close all connections that are not in use, and each of the others once it is not."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def check_open(self) -> None:
        """Raise `IndexClosed` after `close`."""
        if self._closed:
            raise IndexClosed(f"the index {self.address} is closed; open it again with retrieval.open_store")

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection without a transaction; one that the block begins is ended after it.

        Raises:
            StoreUnavailable: the server cannot be reached, or refuses.
            IndexClosed: after `close`.
        """
        import psycopg

        with self._use() as connection:
            try:
                yield connection
                if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute("commit")
            except psycopg.Error as error:
                lost = "the connection was lost" if connection.closed else "the server refused"
                raise StoreUnavailable(f"{self.address} cannot be read: {lost} ({reason(error)})") from error

    @contextmanager
    def writing(self) -> Iterator[psycopg.Connection[Any]]:
        """Run the block in a transaction: all that it changes is durable at its end, and nothing after an error.

        Raises:
            IndexLocked: others were writing for ten minutes.
            IndexWriteFailed: the connection was lost, or the server refused.
            StoreUnavailable: the server cannot be reached.
            IndexClosed: after `close`.
        """
        import psycopg

        with self._use() as connection:
            committing = False
            try:
                connection.execute("begin")
                yield connection
                committing = True
                connection.execute("commit")
            except psycopg.errors.LockNotAvailable as error:
                raise IndexLocked(
                    f"others have been writing to {self.address} for {_LOCK_SECONDS} seconds; try again when they are done"
                ) from error
            except psycopg.Error as error:
                if not connection.closed:
                    raise IndexWriteFailed(
                        f"{self.address} refused the change ({reason(error)}); the index is unchanged"
                    ) from error
                outcome = (
                    "while the change was confirmed, so that either all of it or nothing was written; make it again, which "
                    "does no harm"
                    if committing
                    else "during the change, of which nothing was written; make it again"
                )
                raise IndexWriteFailed(f"the connection to {self.address} was lost {outcome}") from error

    @contextmanager
    def _use(self) -> Iterator[psycopg.Connection[Any]]:
        import psycopg

        connection = self._take()
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute("rollback")
            with self._lock:
                keep = not self._closed and not connection.closed and len(self._idle) < _MOST_IDLE
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def _take(self) -> psycopg.Connection[Any]:
        """Get an open connection."""
        with self._lock:
            self.check_open()
            if self._process != os.getpid():
                # After a fork, the connections belong to the parent.
                self._process, self._idle = os.getpid(), []
            while self._idle:
                connection = self._idle.pop()
                # A server that has gone has closed the connection, which makes it readable.
                if not select.select([connection], [], [], 0)[0]:
                    return connection
                connection.close()
        return connect(self.address)


def connect(address: PostgresAddress, *, create_extension: bool = False) -> psycopg.Connection[Any]:
    """Connect to a database that has pgvector.

    Args:
        address: the database.
        create_extension: install pgvector in the database, where the server has it.

    Raises:
        StoreUnavailable: the server cannot be reached, refuses the password, or has no pgvector.
    """
    import psycopg
    from pgvector.psycopg import register_vector
    from psycopg.conninfo import conninfo_to_dict

    timeout = {} if "connect_timeout" in conninfo_to_dict(address.conninfo) else {"connect_timeout": _CONNECT_SECONDS}
    try:
        connection = psycopg.connect(address.conninfo, autocommit=True, **timeout)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise _refusal(address, error) from error.with_traceback(None)
    try:
        if create_extension:
            _create_extension(address, connection)
        row = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
        if row is None or tuple(map(int, row[0].split(".")[:2])) < _OLDEST_PGVECTOR:
            present = "no pgvector" if row is None else f"pgvector {row[0]}"
            oldest = ".".join(map(str, _OLDEST_PGVECTOR))
            raise StoreUnavailable(
                f"the database of {address} has {present}; ask its administrator for pgvector {oldest} or later "
                "(CREATE EXTENSION vector)"
            )
        register_vector(connection)
        for name, value in _SETTINGS.items():
            connection.execute("select set_config(%s, %s, false)", (name, value))
    except psycopg.Error as error:
        connection.close()
        raise StoreUnavailable(f"{address} cannot be used: {reason(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def reason(error: BaseException) -> str:
    """What the server or libpq says, without what it repeats and advises."""
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return first.rpartition(" failed: ")[2].removeprefix("FATAL: ").strip()


def _create_extension(address: PostgresAddress, connection: psycopg.Connection[Any]) -> None:
    import psycopg

    try:
        # Another process may create it at the same moment.
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
            connection.execute("create extension if not exists vector")
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"the database of {address} has no pgvector, and it cannot be created ({reason(error)}); install pgvector on "
            "the server, and let an administrator run CREATE EXTENSION vector"
        ) from error


def _refusal(address: PostgresAddress, error: psycopg.Error) -> PassageIndexError:
    """Say why a connection failed, never with the password."""
    text = str(error)
    if "password authentication failed" in text:
        return StoreUnavailable(
            f"the server of {address} refused the password; correct it in PGPASSWORD or in the password file of libpq"
        )
    if "no password supplied" in text:
        return StoreUnavailable(
            f"the server of {address} asks for a password; set PGPASSWORD, or write it in the password file of libpq"
        )
    return StoreUnavailable(f"{address} cannot be reached: {reason(error)}; check the URL, and that the server runs")
