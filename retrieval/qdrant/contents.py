"""The passages of an index in Qdrant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.contents import Match
from retrieval.filters import Filter
from retrieval.passages import IndexedDocument, Passage
from retrieval.qdrant.connection import Connection
from retrieval.qdrant.facts import QdrantFacts
from retrieval.qdrant.points import condition_of, passage_of, query_words, visible
from retrieval.segment import text_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["QdrantContents"]

_PAGE = 500


class QdrantContents:
    """The passages that are committed; a place is the id of a point. Qdrant has no snapshots: a call sees what is there."""

    def __init__(self, connection: Connection, facts: QdrantFacts) -> None:
        self.connection = connection
        self.facts = facts
        self._passage_at: dict[int, Passage] = {}

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.facts.dimension

    def places(self, ids: Collection[str]) -> dict[str, int]:
        """Find where the passages of these ids are; ids that are not stored are left out."""
        return {payload["id"]: number for number, payload in self._where("id", ids, ["id"])}

    def places_of_documents(self, ids: Collection[str]) -> dict[str, list[int]]:
        """Find where the passages of documents are, by document; documents that are not stored are left out."""
        places: dict[str, list[int]] = {}
        for number, payload in self._where("document", ids, ["document"]):
            places.setdefault(payload["document"], []).append(number)
        return places

    def ids_of_texts(self, texts: Collection[str]) -> dict[str, str]:
        """Find the texts that are stored, each with the id of a passage that has it."""
        wanted = set(texts)
        hashes = {str(text_hash(text)) for text in wanted}
        found = self._where("text_hash", hashes, ["id", "text"])
        return {payload["text"]: payload["id"] for _, payload in found if payload["text"] in wanted}

    def passages_at(self, places: Sequence[int]) -> list[Passage]:
        """Get the passages at some places, in that order."""
        unknown = [place for place in places if place not in self._passage_at]
        for part in _parts(unknown):
            for point in self._call("retrieve", ids=part, with_payload=True):
                self._passage_at[point.id] = passage_of(point.payload)
        return [self._passage_at[place] for place in places]

    def vectors_at(self, places: Sequence[int]) -> NDArray[np.float32]:
        """Get the (P, d) unit vectors of the passages at P places."""
        import numpy as np

        vector_at: dict[int, Any] = {}
        for part in _parts(places):
            for point in self._call("retrieve", ids=part, with_payload=False, with_vectors=["dense"]):
                vector_at[point.id] = point.vector["dense"]
        rows = [vector_at[place] for place in places]
        return np.array(rows, np.float32).reshape(len(rows), self.dimension)

    def documents(self) -> list[IndexedDocument]:
        """List the documents, in the order of their first passages."""
        counts: dict[str, int] = {}
        facts: dict[str, tuple[str | None, str | None]] = {}
        for point in self.points(with_payload=["document", "source", "title"]):
            name = point.payload["document"]
            counts[name] = counts.get(name, 0) + 1
            facts.setdefault(name, (point.payload.get("source"), point.payload.get("title")))
        return [IndexedDocument(name, *facts[name], count) for name, count in counts.items()]

    def points(self, **options: Any) -> Iterator[Any]:
        """Get all points, in the order in which they were added."""
        yield from self._scroll(visible(), **options)

    def allowed(self, wanted: Filter | None) -> Any:
        """Translate a filter; a predicate is called for every passage now."""
        if wanted is None:
            return None
        if isinstance(wanted, Mapping):
            return condition_of(wanted)
        from qdrant_client import models

        numbers = [p.id for p in self.points(with_payload=True) if wanted(passage_of(p.payload))]
        return models.Filter(must=[models.HasIdCondition(has_id=numbers)])

    def dense(self, vectors: NDArray[np.float32], k: int, allowed: Any) -> list[list[Match]]:
        """Find for each query the k passages of highest cosine similarity; `vectors` is (Q, d)."""
        hits = self._query("dense", [vector.tolist() for vector in vectors], k, allowed)
        return [[Match(point.id, point.score, point.score) for point in points] for points in hits]

    def sparse(self, queries: Sequence[str], k: int, allowed: Any) -> list[list[Match]]:
        """Find for each query the k passages of highest BM25 score; passages that share no word with it never match."""
        words = [query_words(query) for query in queries]
        hits = iter(self._query("words", [one for one in words if one is not None], k, allowed))
        return [[] if one is None else [Match(p.id, p.score, None) for p in next(hits) if p.score > 0] for one in words]

    def _query(self, using: str, queries: Sequence[Any], k: int, allowed: Any) -> list[list[Any]]:
        from qdrant_client import models

        def ask(condition: Any) -> list[list[Any]]:
            parameters = models.SearchParams(hnsw_ef=max(128, 2 * k)) if using == "dense" else None
            options: dict[str, Any] = {"using": using, "limit": k, "with_payload": True}
            if len(queries) == 1 or self.connection.address.folder is not None:
                # A batch saves round trips, but the client copies each of its requests number by number.
                options |= {"query_filter": condition, "search_params": parameters}
                return [self._call("query_points", query=query, **options).points for query in queries]
            requests = [
                models.QueryRequest(query=query, filter=condition, params=parameters, **options) for query in queries
            ]
            replies = self._call("query_batch_points", requests=requests) if requests else []
            return [reply.points for reply in replies]

        # Points of a change that is not committed are rare, and asking for their absence is slow.
        results = ask(allowed)
        if any("change" in point.payload for points in results for point in points):
            results = ask(visible(allowed))
        self._passage_at.update((point.id, passage_of(point.payload)) for points in results for point in points)
        return results

    def _where(self, key: str, values: Collection[str], fields: list[str]) -> Iterator[tuple[int, Any]]:
        """Find the points whose payload has one of some values."""
        from qdrant_client import models

        if not self.facts.passages:
            return
        for part in _parts(list(values)):
            match = models.FieldCondition(key=key, match=models.MatchAny(any=part))
            for point in self._scroll(visible(match), with_payload=fields):
                yield point.id, point.payload

    def _scroll(self, condition: Any, **options: Any) -> Iterator[Any]:
        offset = None
        while True:
            points, offset = self._call("scroll", scroll_filter=condition, limit=_PAGE, offset=offset, **options)
            yield from points
            if offset is None:
                return

    def _call(self, method: str, **options: Any) -> Any:
        return self.connection.call(method, self.connection.address.name, **options)


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _PAGE):
        yield list(values[start : start + _PAGE])
