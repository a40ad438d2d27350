"""One state of an index, opened for reading: search over all its segments as if they were one.

Rows are numbered through all segments, deleted ones included, so that FAISS and BM25 number them alike.
Not covered: FAISS (vectors.py) and BM25 (sparse.py) themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retrieval import manifest as manifests
from retrieval.errors import IndexDamaged
from retrieval.passages import Hit, IndexedDocument, Passage
from retrieval.segment import Filter, OpenSegment, Place, text_hash
from retrieval.sparse import open_sparse, search_sparse
from retrieval.vectors import search_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Match", "Mode", "Snapshot", "open_snapshot", "reciprocal_rank_fusion"]

Mode = Literal["dense", "sparse", "hybrid"]

# On XQuAD, hit@5 is the same to three digits for 50, 100 and 240 ranks of each search; 10 and 20 lose some.
_FUSION_DEPTH = 50


class Match(NamedTuple):
    """A row that matches a query, before its passage is looked up; score and similarity as in `Hit`."""

    row: int
    score: float
    similarity: float | None


class Snapshot:
    """The segments that a manifest names, memory-mapped."""

    def __init__(self, folder: Path, manifest: manifests.Manifest, known: Snapshot | None = None) -> None:
        """Open the segments of the index in `folder`.

        Args:
            folder: the index.
            manifest: the state to open.
            known: an earlier state, whose open segments are used again.

        Raises:
            FileNotFoundError: a segment is gone, perhaps merged away since the manifest was read.
            IndexDamaged: a file cannot be opened.
        """
        self.manifest = manifest
        self.segments: list[OpenSegment] = []
        opened = known.opened() if known is not None else {}
        for segment in manifest.segments:
            if segment.name in opened and opened[segment.name].files == segment.files:
                self.segments.append(opened[segment.name].with_deleted(segment))
                continue
            try:
                self.segments.append(OpenSegment(folder, segment, manifest.dimension))
            # FAISS and Arrow report a damaged file by whatever exception their parsers raise.
            except Exception as error:
                path = folder / "segments" / segment.name
                if not all((path / name).exists() for name in segment.files):
                    raise FileNotFoundError(str(path)) from error
                raise IndexDamaged(f"{path} cannot be opened: {error}; restore it or build the index again") from error
        self._starts = list(accumulate((segment.rows for segment in self.segments), initial=0))
        self._sparse_folder = folder / "sparse" / str(manifest.generation)
        self._sparse: Any = None

    def opened(self) -> dict[str, OpenSegment]:
        """Get the open segments by their names."""
        return {segment.name: opened for segment, opened in zip(self.manifest.segments, self.segments, strict=True)}

    def passages(self) -> Iterator[Passage]:
        """Get all passages."""
        for segment in self.segments:
            yield from segment.passages(segment.live_rows())

    def places(self, ids: Collection[str]) -> dict[str, Place]:
        """Find where the passages of these ids are; ids that are not in the index are left out."""
        return {
            passage_id: Place(number, row)
            for number, segment in enumerate(self.segments)
            for row, passage_id in segment.rows_where("id", ids)
        }

    def places_of_documents(self, ids: Collection[str]) -> dict[str, list[Place]]:
        """Find where the passages of documents are, by document; documents that are not in the index are left out."""
        places: dict[str, list[Place]] = {}
        for number, segment in enumerate(self.segments):
            for row, document_id in segment.rows_where("document_id", ids):
                places.setdefault(document_id, []).append(Place(number, row))
            with_id = segment.rows_where("id", ids)
            document_ids = segment.columns(("document_id",), [row for row, _ in with_id])["document_id"]
            for (row, passage_id), document_id in zip(with_id, document_ids, strict=True):
                # A passage without a document is one.
                if document_id is None:
                    places.setdefault(passage_id, []).append(Place(number, row))
        return places

    def documents(self) -> list[IndexedDocument]:
        """List the documents, in the order of their first passages."""
        counts: dict[str, int] = {}
        facts: dict[str, tuple[str | None, str | None]] = {}
        for segment in self.segments:
            columns = segment.columns(("document_id", "id", "source", "title"), segment.live_rows())
            for document_id, passage_id, source, title in zip(*columns.values(), strict=True):
                name = passage_id if document_id is None else document_id
                counts[name] = counts.get(name, 0) + 1
                facts.setdefault(name, (source, title))
        return [IndexedDocument(name, *facts[name], count) for name, count in counts.items()]

    def passages_at(self, places: Sequence[Place]) -> list[Passage]:
        """Get the passages at some places, in that order."""
        passage_at: dict[Place, Passage] = {}
        for number in {place.segment for place in places}:
            rows = [place.row for place in places if place.segment == number]
            passages = self.segments[number].passages(rows)
            passage_at.update(zip((Place(number, row) for row in rows), passages, strict=True))
        return [passage_at[place] for place in places]

    def passage(self, place: Place) -> Passage:
        """Get the passage at a place."""
        return next(self.segments[place.segment].passages([place.row]))

    def ids_of_texts(self, texts: Collection[str]) -> dict[str, str]:
        """Find the texts that are in the index, each with the id of a passage that has it."""
        hashes = {text_hash(text) for text in texts}
        same_hash = (
            passage
            for segment in self.segments
            for passage in segment.passages([row for row, _ in segment.rows_where("text_hash", hashes)])
        )
        wanted = set(texts)
        return {passage.text: passage.id for passage in same_hash if passage.text in wanted}

    def allowed(self, wanted: Filter | None) -> list[NDArray[np.bool_] | None]:
        """Compute for each segment its (rows,) mask of rows that may match; None if all rows may."""
        return [segment.live if wanted is None else segment.matching(wanted) for segment in self.segments]

    def search(
        self,
        queries: list[str],
        k: int,
        mode: Mode,
        allowed: Sequence[NDArray[np.bool_] | None],
        min_similarity: float | None,
        *,
        embed: Callable[[list[str]], NDArray[np.float32]],
    ) -> list[list[Match]]:
        """Find for each query at most k rows, best first.

        Args:
            queries: Q texts.
            k: rows to return.
            mode: which search.
            allowed: from `allowed`.
            min_similarity: leave out rows of lower cosine similarity; None for no limit.
            embed: gives the (Q, d) unit vectors of the queries; called only if they are needed.
        """
        if mode == "sparse" and min_similarity is None:
            return self.sparse(queries, k, allowed)
        vectors = embed(queries)
        if mode == "dense":
            matches = self.dense(vectors, k, allowed)
        elif mode == "hybrid":
            matches = self.hybrid(queries, vectors, k, allowed)
        else:
            matches = self.with_similarity(self.sparse(queries, k, allowed), vectors)
        if min_similarity is None:
            return matches
        return [[m for m in query if m.similarity is not None and m.similarity >= min_similarity] for query in matches]

    def dense(self, vectors: NDArray[np.float32], k: int, allowed: Sequence[NDArray[np.bool_] | None]) -> list[list[Match]]:
        """Find for each query the k rows of highest cosine similarity; `vectors` is (Q, d)."""
        import numpy as np

        scores, rows = [], []
        for segment, mask, start in zip(self.segments, allowed, self._starts, strict=False):
            segment_scores, segment_rows = search_vectors(segment.faiss, vectors, min(k, segment.rows), mask)
            scores.append(segment_scores)
            rows.append(np.where(segment_rows >= 0, segment_rows + start, -1))
        score, row = np.concatenate(scores, 1), np.concatenate(rows, 1)
        if len(self.segments) > 1:
            order = np.argsort(-score, 1, kind="stable")[:, :k]
            score, row = np.take_along_axis(score, order, 1), np.take_along_axis(row, order, 1)
        return [
            [Match(r, s, s) for r, s in zip(query_rows, query_scores, strict=True) if r >= 0]
            for query_rows, query_scores in zip(row.tolist(), score.tolist(), strict=True)
        ]

    def sparse(self, queries: Sequence[str], k: int, allowed: Sequence[NDArray[np.bool_] | None]) -> list[list[Match]]:
        """Find for each query the k rows of highest BM25 score; rows that share no word with it never match."""
        import numpy as np

        if self._sparse is None:
            self._sparse = open_sparse(
                self._sparse_folder,
                self.manifest.id,
                self._starts[-1],
                lambda: [text for segment in self.segments for text in segment.texts()],
            )
        mask = None
        if any(segment_mask is not None for segment_mask in allowed):
            mask = np.concatenate(
                [np.ones(s.rows, bool) if m is None else m for s, m in zip(self.segments, allowed, strict=True)]
            )
        ranked = search_sparse(self._sparse, queries, min(k, self._starts[-1]), mask)
        return [[Match(row, score, None) for row, score in rows] for rows in ranked]

    def hybrid(
        self,
        queries: Sequence[str],
        vectors: NDArray[np.float32],
        k: int,
        allowed: Sequence[NDArray[np.bool_] | None],
    ) -> list[list[Match]]:
        """Find for each query the k rows of highest reciprocal rank fusion of both searches."""
        depth = max(k, _FUSION_DEPTH)
        fused: list[list[Match]] = []
        dense, sparse = self.dense(vectors, depth, allowed), self.sparse(queries, depth, allowed)
        for near, worded in zip(dense, sparse, strict=True):
            similarity = {match.row: match.score for match in near}
            ranked = reciprocal_rank_fusion([_rows(near), _rows(worded)])[:k]
            fused.append([Match(row, score, similarity.get(row)) for row, score in ranked])
        return self.with_similarity(fused, vectors)

    def with_similarity(self, matches: Sequence[Sequence[Match]], vectors: NDArray[np.float32]) -> list[list[Match]]:
        """Compute the cosine similarity of query and passage where a match lacks it; `vectors` is (Q, d)."""
        results = []
        for query_matches, vector in zip(matches, vectors, strict=True):
            similarity = {match.row: match.similarity for match in query_matches}
            lacking = [row for row, value in similarity.items() if value is None]
            for number, rows in self._by_segment(lacking).items():
                values = self.segments[number].vectors(rows) @ vector
                similarity.update(zip((row + self._starts[number] for row in rows), values.tolist(), strict=True))
            results.append([match._replace(similarity=similarity[match.row]) for match in query_matches])
        return results

    def hits(self, matches: Sequence[Sequence[Match]]) -> list[list[Hit]]:
        """Look up the passages of matches, each once for the whole batch."""
        passage_at: dict[int, Passage] = {}
        for number, rows in self._by_segment(sorted({m.row for query_matches in matches for m in query_matches})).items():
            passages = self.segments[number].passages(rows)
            passage_at.update(zip((row + self._starts[number] for row in rows), passages, strict=True))
        return [
            [Hit(passage_at[m.row], m.score, rank, m.similarity) for rank, m in enumerate(query_matches, 1)]
            for query_matches in matches
        ]

    def _by_segment(self, rows: Sequence[int]) -> dict[int, list[int]]:
        """Group rows by segment, numbered from the start of the segment."""
        import numpy as np

        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        local: dict[int, list[int]] = {}
        for row, number in zip(rows, numbers.tolist(), strict=True):
            local.setdefault(number, []).append(row - self._starts[number])
        return local


def open_snapshot(folder: Path, known: Snapshot | None = None) -> Snapshot:
    """Open the present state of the index in a folder, comparing its files with their checksums.

    Args:
        folder: the index.
        known: an earlier state, whose segments are neither compared nor opened again.

    Raises:
        IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
    """
    while True:
        manifest = manifests.read_manifest(folder)
        verified = {segment.name: segment.files for segment in known.manifest.segments} if known is not None else {}
        try:
            manifests.verify_sizes(folder, manifest)
            manifests.verify_contents(folder, [s for s in manifest.segments if verified.get(s.name) != s.files])
            return Snapshot(folder, manifest, known)
        except (IndexDamaged, FileNotFoundError) as error:
            # A writer may have merged a segment away since the manifest was read; then there is a newer manifest.
            if manifests.read_manifest(folder).generation == manifest.generation:
                if isinstance(error, IndexDamaged):
                    raise
                raise IndexDamaged(f"{error} is missing; restore it from a copy or build the index again") from error


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, k: int = 60) -> list[tuple[int, float]]:
    """Fuse rankings by the sum of 1 / (k + rank) over those that have an item (Cormack et al., SIGIR 2009).

    Args:
        rankings: lists of items, best first.
        k: damps the lead of the first ranks; 60 is the paper's.

    Returns:
        (item, score) of every item, highest score first, ties in the order of the first ranking that has the item.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _rows(matches: Sequence[Match]) -> list[int]:
    return [match.row for match in matches]
