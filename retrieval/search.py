"""One state of an index, opened for reading: search over all its segments as if they were one.

Rows are numbered through all segments, deleted ones included, so that FAISS and BM25 number them alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval import storage
from retrieval.errors import IndexDamaged
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.passages import Hit, Passage
from retrieval.segment import Filter, OpenSegment, text_hash
from retrieval.sparse import open_sparse, search_sparse
from retrieval.vectors import search_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Found", "Place", "Snapshot", "open_snapshot"]

# On XQuAD, hit@5 is the same to three digits for 50, 100 and 240 ranks of each search; 10 and 20 lose some.
_FUSION_DEPTH = 50


class Found(NamedTuple):
    """A row found, before its passage is looked up; fields as in `Hit`."""

    row: int
    score: float
    similarity: float | None


class Place(NamedTuple):
    """Where a passage lies: number of the segment, row in it."""

    segment: int
    row: int


class Snapshot:
    """The segments a manifest names, memory-mapped."""

    def __init__(self, folder: Path, manifest: storage.Manifest) -> None:
        """Open the segments of the index in `folder`.

        Raises:
            FileNotFoundError: a segment is gone, perhaps merged away since the manifest was read.
            IndexDamaged: a file cannot be opened.
        """
        self.manifest = manifest
        self.segments: list[OpenSegment] = []
        for segment in manifest.segments:
            try:
                self.segments.append(OpenSegment(folder, segment))
            # FAISS and Arrow tell of a damaged file by whatever exception their parsers hit upon.
            except Exception as error:
                path = folder / "segments" / segment.name
                if not all((path / name).exists() for name in segment.files):
                    raise FileNotFoundError(str(path)) from error
                raise IndexDamaged(f"{path} cannot be opened: {error}; restore it or build the index again") from error
        self._starts = list(accumulate((segment.rows for segment in self.segments), initial=0))
        self._sparse_folder = folder / "sparse" / str(manifest.generation)
        self._sparse: Any = None

    def passages(self) -> Iterator[Passage]:
        """All passages."""
        for segment in self.segments:
            yield from segment.passages(segment.live_rows())

    def places(self, ids: Collection[str]) -> dict[str, Place]:
        """Where the passages of these ids lie; ids that are not there are left out."""
        return {
            found: Place(number, row)
            for number, segment in enumerate(self.segments)
            for row, found in segment.rows_where("id", ids)
        }

    def passage(self, place: Place) -> Passage:
        """The passage at a place."""
        return next(self.segments[place.segment].passages([place.row]))

    def ids_of_texts(self, texts: Collection[str]) -> dict[str, str]:
        """Per text that is in the index the id of a passage that has it."""
        hashes = {text_hash(text) for text in texts}
        same_hash = (
            passage
            for segment in self.segments
            for passage in segment.passages([row for row, _ in segment.rows_where("text_hash", hashes)])
        )
        wanted = set(texts)
        return {passage.text: passage.id for passage in same_hash if passage.text in wanted}

    def allowed(self, wanted: Filter | None) -> list[NDArray[np.bool_] | None]:
        """Per segment its (rows,) mask of rows that may be found; None for all."""
        return [segment.live if wanted is None else segment.matching(wanted) for segment in self.segments]

    def dense(self, vectors: NDArray[np.float32], k: int, allowed: Sequence[NDArray[np.bool_] | None]) -> list[list[Found]]:
        """Per query the k rows of highest cosine similarity; `vectors` is (Q, d)."""
        import numpy as np

        scores, rows = [], []
        for segment, mask, start in zip(self.segments, allowed, self._starts, strict=False):
            similarity, own = search_vectors(segment.faiss, vectors, min(k, segment.rows), mask)
            scores.append(similarity)
            rows.append(np.where(own >= 0, own + start, -1))
        score, row = np.concatenate(scores, 1), np.concatenate(rows, 1)
        if len(self.segments) > 1:
            order = np.argsort(-score, 1, kind="stable")[:, :k]
            score, row = np.take_along_axis(score, order, 1), np.take_along_axis(row, order, 1)
        return [
            [Found(r, s, s) for r, s in zip(own, values, strict=True) if r >= 0]
            for own, values in zip(row.tolist(), score.tolist(), strict=True)
        ]

    def sparse(self, queries: Sequence[str], k: int, allowed: Sequence[NDArray[np.bool_] | None]) -> list[list[Found]]:
        """Per query at most k rows that share a word with it, by BM25."""
        import numpy as np

        if self._sparse is None:
            self._sparse = open_sparse(
                self._sparse_folder, lambda: [t for segment in self.segments for t in segment.texts()]
            )
        mask = None
        if any(own is not None for own in allowed):
            masks = (np.ones(s.rows, bool) if own is None else own for s, own in zip(self.segments, allowed, strict=True))
            mask = np.concatenate(list(masks))
        ranked = search_sparse(self._sparse, queries, min(k, self._starts[-1]), mask)
        return [[Found(row, score, None) for row, score in own] for own in ranked]

    def hybrid(
        self,
        queries: Sequence[str],
        vectors: NDArray[np.float32],
        k: int,
        allowed: Sequence[NDArray[np.bool_] | None],
    ) -> list[list[Found]]:
        """Per query the k rows best by reciprocal rank fusion, each with its similarity whichever search found it."""
        depth = max(k, _FUSION_DEPTH)
        found: list[list[Found]] = []
        dense, sparse = self.dense(vectors, depth, allowed), self.sparse(queries, depth, allowed)
        for vector, near, worded in zip(vectors, dense, sparse, strict=True):
            fused = reciprocal_rank_fusion([[f.row for f in near], [f.row for f in worded]])[:k]
            similarity = {f.row: f.score for f in near}
            far = [row for row, _ in fused if row not in similarity]
            for number, rows in self._by_segment(far).items():
                values = self.segments[number].vectors(rows) @ vector
                similarity.update(zip((row + self._starts[number] for row in rows), values.tolist(), strict=True))
            found.append([Found(row, score, similarity[row]) for row, score in fused])
        return found

    def hits(self, found: Sequence[Sequence[Found]]) -> list[list[Hit]]:
        """The same with passages; each is looked up once for the whole batch."""
        passage_at: dict[int, Passage] = {}
        for number, rows in self._by_segment(sorted({f.row for own in found for f in own})).items():
            passages = self.segments[number].passages(rows)
            passage_at.update(zip((row + self._starts[number] for row in rows), passages, strict=True))
        return [[Hit(passage_at[f.row], f.score, rank, f.similarity) for rank, f in enumerate(own, 1)] for own in found]

    def _by_segment(self, rows: Sequence[int]) -> dict[int, list[int]]:
        """Per segment the rows in it, numbered from the segment's start."""
        import numpy as np

        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        local: dict[int, list[int]] = {}
        for row, number in zip(rows, numbers.tolist(), strict=True):
            local.setdefault(number, []).append(row - self._starts[number])
        return local


def open_snapshot(folder: Path, *, verify: bool) -> Snapshot:
    """The present state of the index in a folder.

    Args:
        folder: the index.
        verify: compare every file with its checksum; sizes are always compared.

    Raises:
        IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
    """
    while True:
        manifest = storage.read_manifest(folder)
        try:
            storage.verify_sizes(folder, manifest)
            if verify:
                storage.verify_contents(folder, manifest)
            return Snapshot(folder, manifest)
        except (IndexDamaged, FileNotFoundError) as error:
            # A writer may have merged a segment away since the manifest was read; then there is a newer manifest.
            if storage.read_manifest(folder).generation == manifest.generation:
                if isinstance(error, IndexDamaged):
                    raise
                raise IndexDamaged(f"{error} is missing; restore it from a copy or build the index again") from error
