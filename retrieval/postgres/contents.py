"""The passages of an index in PostgreSQL, as one transaction sees them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.contents import Match
from retrieval.filters import Filter
from retrieval.passages import IndexedDocument, Passage
from retrieval.postgres.address import PostgresAddress
from retrieval.postgres.connections import GRAPH_BREADTH
from retrieval.postgres.filtering import Condition, condition_of
from retrieval.postgres.rows import signed_hash, term_hash
from retrieval.postgres.schema import PostgresFacts, facts_of, read_facts
from retrieval.segment import text_hash
from retrieval.terms import terms

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

__all__ = ["PASSAGE_COLUMNS", "PostgresContents", "passage_of"]

PASSAGE_COLUMNS = "number, id, text, title, metadata, source, document_id, start_at, end_at"
_BEGIN = "begin isolation level repeatable read read only; "
# The parameters of bm25s, so that every store ranks alike.
_K1 = 1.5
_B = 0.75


class PostgresContents:
    """What one transaction sees; a place is the number of a row.

    Args:
        connection: a connection, without a transaction unless `facts` are passed.
        address: the index.
        check: called with the facts before anything of the index is used.
        facts: what was read in the transaction that is open. Without them, a transaction begins when there is something to
            read, except for one dense search, which is one statement and sees one state by itself.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        address: PostgresAddress,
        check: Callable[[PostgresFacts], None],
        facts: PostgresFacts | None = None,
    ) -> None:
        self.connection = connection
        self.address = address
        self._check = check
        self._facts = facts
        self._passage_at: dict[int, Passage] = {}

    @property
    def facts(self) -> PostgresFacts:
        """The facts, read at the begin of the transaction."""
        if self._facts is None:
            facts = read_facts(self.connection, self.address, before=_BEGIN)
            self._check(facts)
            self._facts = facts
        return self._facts

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.facts.dimension

    def places(self, ids: Collection[str]) -> dict[str, int]:
        """Find where the passages of these ids are; ids that are not stored are left out."""
        statement = (
            "select id, number from {schema}.passages join (select distinct unnest(%s::text[]) as id) wanted using (id)"
        )
        return dict(self._rows(statement, (_storable(ids),)))

    def places_of_documents(self, ids: Collection[str]) -> dict[str, list[int]]:
        """Find where the passages of documents are, by document; documents that are not stored are left out."""
        statement = """
            select document, array_agg(number order by number) from {schema}.passages
            join (select distinct unnest(%s::text[]) as document) wanted using (document) group by document"""
        return dict(self._rows(statement, (_storable(ids),)))

    def ids_of_texts(self, texts: Collection[str]) -> dict[str, str]:
        """Find the texts that are stored, each with the id of a passage that has it."""
        wanted = set(texts)
        statement = """
            select text, id from {schema}.passages
            join (select distinct unnest(%s::bigint[]) as text_hash) wanted using (text_hash)"""
        hashes = [signed_hash(text_hash(text)) for text in wanted]
        return {text: passage_id for text, passage_id in self._rows(statement, (hashes,)) if text in wanted}

    def passages_at(self, places: Sequence[int]) -> list[Passage]:
        """Get the passages at some places, in that order."""
        if not places:
            return []
        if unknown := [place for place in places if place not in self._passage_at]:
            statement = f"select {PASSAGE_COLUMNS} from {{schema}}.passages where number = any(%s)"
            self._passage_at.update((row[0], passage_of(row)) for row in self._rows(statement, (unknown,)))
        return [self._passage_at[place] for place in places]

    def vectors_at(self, places: Sequence[int]) -> NDArray[np.float32]:
        """Get the (P, d) unit vectors of the passages at P places."""
        import numpy as np

        if not places:
            return np.empty((0, self.dimension), np.float32)
        statement = "select number, embedding from {schema}.passages where number = any(%s)"
        vector_at = dict(self._rows(statement, (list(places),), binary=True))
        return np.stack([vector_at[place].to_numpy() for place in places]).astype(np.float32)

    def documents(self) -> list[IndexedDocument]:
        """List the documents, in the order of their first passages."""
        statement = """
            select document, (array_agg(source order by number))[1], (array_agg(title order by number))[1], count(*)
            from {schema}.passages group by document order by min(number)"""
        return [IndexedDocument(*row) for row in self._rows(statement)]

    def passages(self) -> Iterator[tuple[int, Passage]]:
        """Get all passages with their places."""
        statement = f"select {PASSAGE_COLUMNS} from {{schema}}.passages order by number"
        _ = self.facts
        with self.connection.cursor(name="passages") as cursor:
            for row in cursor.execute(self._composed(statement)):
                yield row[0], passage_of(row)

    def allowed(self, wanted: Filter | None) -> Condition:
        """Translate a filter into SQL; a predicate is called for every passage now."""
        if wanted is None:
            return Condition()
        if isinstance(wanted, Mapping):
            return condition_of(wanted)
        return Condition("number = any(%(allowed)s)", {"allowed": [place for place, p in self.passages() if wanted(p)]})

    def dense(self, vectors: NDArray[np.float32], k: int, allowed: Condition) -> list[list[Match]]:
        """Find for each query the k passages of highest cosine similarity; `vectors` is (Q, d)."""
        # <#> is the inner product with the other sign, since PostgreSQL reads indexes in ascending order only.
        # The number is written out: PostgreSQL plans a parameter there as if a tenth of the table were asked for.
        nearest = f"""
            select {PASSAGE_COLUMNS}, -(embedding <#> %(query)b) as similarity from {{schema}}.passages
            where {allowed.sql} order by embedding <#> %(query)b limit {int(k)}"""
        is_one_pass = allowed == Condition() and k <= GRAPH_BREADTH
        if not is_one_pass:
            _ = self.facts
            # Searches on where a filter, or k, asks for more than one pass finds. Even when it does not, it costs a fifth.
            self.connection.execute("set local hnsw.iterative_scan = strict_order")
        results = []
        for vector in vectors:
            parameters = {**allowed.parameters, "query": vector}
            if self._facts is None and len(vectors) == 1 and is_one_pass:
                rows, passages = self._nearest_alone(nearest, parameters)
            else:
                passages = self.facts.passages
                rows = self._rows(nearest, parameters)
            if len(rows) < min(k, passages):
                # The graph ends early where a filter or k leaves most of it out; without it the search is exact.
                _ = self.facts
                self.connection.execute("set local enable_indexscan = off")
                rows = self._rows(nearest, parameters)
                self.connection.execute("set local enable_indexscan = on")
            self._passage_at.update((row[0], passage_of(row)) for row in rows)
            results.append([Match(row[0], row[-1], row[-1]) for row in rows])
        return results

    def _nearest_alone(self, nearest: str, parameters: Mapping[str, Any]) -> tuple[list[Any], int]:
        """Search and read the facts in one statement, which needs no transaction; returns the number of passages too."""
        import psycopg

        statement = f"""
            select nearest.*, to_jsonb(facts)::text from {{schema}}.facts left join lateral ({nearest}) nearest on true"""
        try:
            rows = self.connection.execute(self._composed(statement), parameters).fetchall()
        except psycopg.ProgrammingError:
            # Says what is wrong if the tables are not those of an index.
            return self._rows(nearest, parameters), self.facts.passages
        facts = facts_of(json.loads(rows[0][-1]) if rows else None, self.address)
        self._check(facts)
        return [row[:-1] for row in rows if row[0] is not None], facts.passages

    def sparse(self, queries: Sequence[str], k: int, allowed: Condition) -> list[list[Match]]:
        """Find for each query the k passages of highest BM25 score; passages that share no word with it never match.

        The score is that of Lucene (Kamphuis et al., ECIR 2020), as bm25s computes it for the other stores.
        """
        return [self._sparse(query, k, allowed) for query in queries]

    def _sparse(self, query: str, k: int, allowed: Condition) -> list[Match]:
        counts = Counter(map(term_hash, terms(query)))
        if not counts or not self.facts.words:
            return []
        found = ", ".join(f"counts[array_position(terms, %(t{i})s)] as c{i}" for i in range(len(counts)))
        frequencies = ", ".join(f"count(c{i}) as d{i}" for i in range(len(counts)))
        score = " + ".join(
            f"coalesce({count} * ln(1 + (%(n)s - d{i} + 0.5) / (d{i} + 0.5)) * c{i} / (c{i} + damping), 0)"
            for i, count in enumerate(counts.values())
        )
        statement = f"""
            with candidates as materialized (
                select number, {found}, {_K1} * ({1 - _B} + {_B} * words / %(mean)s) as damping, ({allowed.sql}) as passes
                from {{schema}}.passages where terms && %(terms)s
            ), frequencies as (select {frequencies} from candidates)
            select number, ({score})::float8 as score from candidates, frequencies where passes
            order by score desc, number limit {int(k)}"""
        parameters = {
            **allowed.parameters,
            **{f"t{i}": term for i, term in enumerate(counts)},
            "terms": list(counts),
            "n": float(self.facts.passages),
            "mean": self.facts.words / self.facts.passages,
        }
        return [Match(number, score, None) for number, score in self._rows(statement, parameters)]

    def _rows(self, statement: str, parameters: Any = None, *, binary: bool = False) -> list[Any]:
        _ = self.facts
        return self.connection.cursor(binary=binary).execute(self._composed(statement), parameters).fetchall()

    def _composed(self, statement: str) -> Any:
        # Names of indexes are letters, digits and _ (address.py).
        return statement.replace("{schema}", f'"{self.address.name}"')


def passage_of(row: Sequence[Any]) -> Passage:
    """Make a passage of a row of `PASSAGE_COLUMNS`."""
    _, passage_id, text, title, metadata, source, document_id, start, end = row[:9]
    return Passage(passage_id, text, title, json.loads(metadata), source, document_id, start, end)


def _storable(ids: Collection[str]) -> list[str]:
    """Leave out what cannot be the id of a passage in PostgreSQL, which has no NUL."""
    return [name for name in ids if "\x00" not in name]
