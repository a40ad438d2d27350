"""The tables of an index in PostgreSQL, and the writing of rows.

    NAME.facts       one row: what the index is, and what changes with every change; writers lock it
    NAME.passages    one row per passage: its fields, its vector, and its words for BM25

Both are in a schema of the index's own; DROP SCHEMA "NAME" CASCADE removes the index.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from retrieval.errors import IndexDamaged, IndexExists, IndexNotFound
from retrieval.origin import Origin
from retrieval.passages import Passage
from retrieval.postgres import rows
from retrieval.postgres.address import PostgresAddress
from retrieval.served_store import Facts, checked_facts, new_facts
from retrieval.terms import TERMS_VERSION

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

__all__ = [
    "FORMAT_VERSION",
    "PostgresFacts",
    "check_absent",
    "count_change",
    "create_indexes",
    "create_tables",
    "delete",
    "facts_of",
    "insert",
    "page",
    "read_facts",
    "recount",
    "size",
]

FORMAT_VERSION = 1
# pgvector's graph takes vectors of at most this many numbers; longer ones are compared one by one.
_LONGEST_IN_GRAPH = 2000
_FACTS = """
create table {schema}.facts (
    format_version integer not null,
    id text not null,
    state text not null,
    generation bigint not null,
    embedder text not null,
    fingerprint text not null,
    dimension integer not null,
    kind text not null,
    terms_version integer not null,
    passages bigint not null,
    words bigint not null
)"""
# A hash index has no limit to the length of an id. Facets are the metadata as filters read them; the text keeps them exact.
_PASSAGES = """
create table {schema}.passages (
    number bigint generated always as identity primary key,
    id text not null,
    document text not null,
    text text not null,
    title text,
    source text,
    document_id text,
    start_at bigint,
    end_at bigint,
    metadata text not null,
    facets jsonb not null generated always as (metadata::jsonb) stored,
    text_hash bigint not null,
    terms bigint[] not null,
    counts integer[] not null,
    words integer not null,
    embedding vector({dimension}) not null
)"""
_INDEXES = (
    "create index on {schema}.passages (text_hash)",
    "create index on {schema}.passages using hash (document)",
    "create index on {schema}.passages using gin (terms)",
    "create index on {schema}.passages using gin (facets jsonb_path_ops)",
    "alter table {schema}.passages add exclude using hash (id with =)",
)
_GRAPH = "create index on {schema}.passages using hnsw (embedding vector_ip_ops)"
_MOST_MEMORY_MB = 2048
_ROWS_PER_WRITE = 100


@dataclass(frozen=True)
class PostgresFacts(Facts):
    """The row of `facts`.

    Attributes:
        kind: "hnsw", or "flat" where vectors are too long for pgvector's graph.
        words: number of words in all passages.
    """

    kind: str
    words: int


def read_facts(
    connection: psycopg.Connection[Any], address: PostgresAddress, *, lock: bool = False, before: str = ""
) -> PostgresFacts:
    """Read the facts of an index.

    Args:
        connection, address: where.
        lock: wait for the lock of the writers.
        before: statements to execute first, each with a semicolon; the server is asked once for all.

    Raises:
        IndexNotFound: there is no index.
        IndexVersion, IndexDamaged: as `facts_of`.
    """
    import psycopg
    from psycopg.rows import dict_row

    statement = _in(address, f"{before}select * from {{schema}}.facts" + (" for update" if lock else ""))
    try:
        cursor = connection.cursor(row_factory=dict_row).execute(statement)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise IndexNotFound(f"there is no index at {address}; build one with 'halluc index build'") from error
    return facts_of(row, address)


def facts_of(row: Mapping[str, Any] | None, address: PostgresAddress) -> PostgresFacts:
    """Check the row of `facts`.

    Raises:
        IndexVersion: the index has another format.
        IndexDamaged: there is no row, or a fact is missing.
    """
    if row is None:
        raise IndexDamaged(f"the table of facts of {address} is empty; restore it from a backup or build the index again")
    return checked_facts(PostgresFacts, row, address, FORMAT_VERSION)


def create_tables(connection: psycopg.Connection[Any], address: PostgresAddress, origin: Origin) -> PostgresFacts:
    """Create the tables of an empty index, in the transaction that is open.

    Raises:
        IndexExists: there is a schema of that name.
    """
    import psycopg

    facts = PostgresFacts(
        **new_facts(origin, FORMAT_VERSION), kind="hnsw" if origin.dimension <= _LONGEST_IN_GRAPH else "flat", words=0
    )
    try:
        connection.execute(_in(address, "create schema {schema}"))
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation) as error:
        raise _exists(address) from error
    connection.execute(_in(address, _FACTS))
    connection.execute(_in(address, _PASSAGES.replace("{dimension}", str(origin.dimension))))
    names = [field.name for field in fields(facts)]
    marks = ", ".join(["%s"] * len(names))
    values = [getattr(facts, name) for name in names]
    connection.execute(_in(address, f"insert into {{schema}}.facts ({', '.join(names)}) values ({marks})"), values)
    return facts


def create_indexes(
    connection: psycopg.Connection[Any], address: PostgresAddress, facts: PostgresFacts, passages: int
) -> None:
    """Create the indexes of the table of passages, faster after its first rows are there."""
    if facts.kind == "hnsw":
        # pgvector builds the graph several times slower once it no longer fits in this memory.
        needed = passages * (4 * facts.dimension + 512) // 2**20 + 1
        row = connection.execute(
            "select setting::bigint / 1024 from pg_settings where name = 'maintenance_work_mem'"
        ).fetchone()
        megabytes = min(max(needed, row[0] if row else 0), _MOST_MEMORY_MB)
        connection.execute("select set_config('maintenance_work_mem', %s, true)", (f"{megabytes}MB",))
        connection.execute(_in(address, _GRAPH))
    for statement in _INDEXES:
        connection.execute(_in(address, statement))


def insert(
    connection: psycopg.Connection[Any], address: PostgresAddress, passages: Sequence[Passage], vectors: NDArray[np.float32]
) -> int:
    """Insert passages and their (N, d) vectors; returns the number of their words."""
    words = 0
    statement = f"copy {{schema}}.passages ({', '.join(rows.COLUMNS)}) from stdin (format binary)"
    with connection.cursor() as cursor, cursor.copy(_in(address, statement)) as copy:
        encoded = [rows.COPY_START]
        for passage, vector in zip(passages, vectors, strict=True):
            row, count = rows.encoded_row(passage, vector)
            encoded.append(row)
            words += count
            if len(encoded) == _ROWS_PER_WRITE:
                copy.write(b"".join(encoded))
                encoded = []
        copy.write(b"".join([*encoded, rows.COPY_END]))
    return words


def delete(connection: psycopg.Connection[Any], address: PostgresAddress, numbers: Sequence[int]) -> int:
    """Delete the passages of some rows; returns the number of their words."""
    if not numbers:
        return 0
    statement = "delete from {schema}.passages where number = any(%s) returning words"
    return sum(words for (words,) in connection.execute(_in(address, statement), (list(numbers),)))


def count_change(connection: psycopg.Connection[Any], address: PostgresAddress, passages: int, words: int) -> None:
    """Record that the index has so many passages and words more, or fewer, than before."""
    statement = """
        update {schema}.facts
        set generation = generation + 1, state = %s, passages = passages + %s, words = words + %s"""
    connection.execute(_in(address, statement), (secrets.token_hex(16), passages, words))


def page(
    connection: psycopg.Connection[Any], address: PostgresAddress, columns: str, last: int, size: int
) -> list[tuple[Any, ...]]:
    """Read some columns of at most `size` rows that come after the one of number `last`."""
    statement = f"select {columns} from {{schema}}.passages where number > %s order by number limit %s"
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(_in(address, statement), (last, size)).fetchall()


def size(connection: psycopg.Connection[Any], address: PostgresAddress) -> int:
    """Number of bytes of the passages, their vectors and their indexes."""
    row = connection.execute("select pg_total_relation_size(%s::regclass)", (f'"{address.name}".passages',)).fetchone()
    return int(row[0]) if row else 0


def check_absent(connection: psycopg.Connection[Any], address: PostgresAddress) -> None:
    """Check that an index can be created.

    Raises:
        IndexExists: there is a schema of its name.
    """
    if connection.execute("select from pg_namespace where nspname = %s", (address.name,)).fetchone() is not None:
        raise _exists(address)


def recount(connection: psycopg.Connection[Any], address: PostgresAddress) -> None:
    """Count the words of all passages again, after the rules of what a word is have changed."""
    texts = connection.execute(_in(address, "select number, text from {schema}.passages")).fetchall()
    counted = [(number, *rows.counted(text)) for number, text in texts]
    with connection.cursor() as cursor:
        cursor.executemany(
            _in(address, "update {schema}.passages set terms = %s, counts = %s, words = %s where number = %s"),
            [(hashes, counts, words, number) for number, hashes, counts, words in counted],
        )
    connection.execute(
        _in(address, "update {schema}.facts set terms_version = %s, words = %s"),
        (TERMS_VERSION, sum(words for *_, words in counted)),
    )


def _in(address: PostgresAddress, statement: str) -> Any:
    """Compose a statement with the schema of an index."""
    from psycopg import sql

    return sql.SQL(statement).format(schema=sql.Identifier(address.name))


def _exists(address: PostgresAddress) -> IndexExists:
    return IndexExists(f"{address} already exists; open it, or choose another name after the #")
