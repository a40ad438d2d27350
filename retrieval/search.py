"""One state of an index, opened for reading: search over all its segments as if they were one.

Rows are numbered through all segments, deleted ones included, so that FAISS and BM25 number them alike.
Not covered: FAISS (vectors.py) and BM25 (sparse.py) themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval import manifest as manifests
from retrieval.contents import Match
from retrieval.errors import IndexDamaged
from retrieval.filters import Filter
from retrieval.passages import IndexedDocument, Passage
from retrieval.segment import OpenSegment, Place, text_hash
from retrieval.sparse import open_sparse, search_sparse
from retrieval.vectors import search_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Snapshot", "open_snapshot"]


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

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.manifest.dimension

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

    def vectors_at(self, places: Sequence[Place]) -> NDArray[np.float32]:
        """Get the (P, d) vectors of the passages at P places."""
        import numpy as np

        vectors = np.empty((len(places), self.manifest.dimension), np.float32)
        for number in {place.segment for place in places}:
            positions = [i for i, place in enumerate(places) if place.segment == number]
            vectors[positions] = self.segments[number].vectors([places[i].row for i in positions])
        return vectors

    def batches(self, size: int) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time and of one segment."""
        for segment in self.segments:
            rows = segment.live_rows()
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                yield list(segment.passages(part)), segment.vectors(part)

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
            [Match(self._place(r), s, s) for r, s in zip(query_rows, query_scores, strict=True) if r >= 0]
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
        return [[Match(self._place(row), score, None) for row, score in rows] for rows in ranked]

    def _place(self, row: int) -> Place:
        """Find the segment of a row, and the number of the row from its start."""
        number = bisect_right(self._starts, row) - 1
        return Place(number, row - self._starts[number])


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
