"""`PassageIndex`: passages that can be searched by meaning, by words and by both.

Not here: how it lies on disk (storage.py), FAISS (vectors.py), BM25 (sparse.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from retrieval import storage
from retrieval.embedders import Embedder, load_embedder
from retrieval.errors import (
    DuplicateId,
    EmptyCorpus,
    IndexDamaged,
    IndexExists,
    IndexMismatch,
    IndexWriteFailed,
    InvalidQuery,
    UnknownId,
)
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.passages import Hit, Passage
from retrieval.segment import OpenSegment, text_hash, write_passages
from retrieval.sparse import open_sparse, search_sparse
from retrieval.vectors import Kind, build_vectors, choose_kind, search_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AddReport", "IndexInfo", "Mode", "PassageIndex"]

Mode = Literal["dense", "sparse", "hybrid"]
Filter = Mapping[str, Any] | Callable[[Passage], bool]

# Ranks below this change the order of the first five hits in fewer than one query of a hundred.
_FUSION_DEPTH = 50


@dataclass(frozen=True)
class AddReport:
    """What `add` did: how many passages went in, and which were left out as (their id, id of the one with that text)."""

    added: int
    duplicates: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class IndexInfo:
    """Facts about an index."""

    path: str
    passages: int
    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    segments: int
    generation: int
    format_version: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class PassageIndex:
    """Passages on disk, memory-mapped, with one writer at a time and any number of readers.

    Made by `create` or `open`. A reader sees the state at which it was opened; `refresh` moves it to the present one.
    """

    def __init__(self, path: Path, manifest: storage.Manifest, embedder: Embedder | None) -> None:
        self.path = path
        self._embedder = embedder
        self._segments: list[OpenSegment] = []
        self._sparse: Any = None
        self._place_of: dict[str, tuple[int, int]] | None = None
        self._load(manifest)

    @classmethod
    def create(cls, path: str | Path, *, embedder: Embedder | str | None = None, kind: Kind = "auto") -> PassageIndex:
        """Make an empty index.

        Args:
            path: a folder that does not exist yet, or is empty.
            embedder: an `Embedder`, a name for `load_embedder`, or None for the default.
            kind: "auto" chooses by size: exact search ("flat") up to 200,000 passages, a graph ("hnsw") up to two million,
                inverted lists ("ivf") above.

        Raises:
            IndexExists: there is something at `path` already.
        """
        folder = Path(path)
        if kind not in ("auto", "flat", "hnsw", "ivf"):
            raise InvalidQuery(f"kind is {kind!r}; pass 'auto', 'flat', 'hnsw' or 'ivf'")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise IndexExists(f"{folder} exists already; open it, or choose another path")
        model = load_embedder(embedder) if embedder is None or isinstance(embedder, str) else embedder
        manifest = storage.Manifest(model.name, model.fingerprint, model.dimension, kind)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                partial.chmod(0o755)
                (partial / "segments").mkdir()
                storage.write_manifest(partial, manifest)
                partial.rename(folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        except OSError as error:
            raise IndexWriteFailed(f"{folder} cannot be made: {error.strerror or error}") from error
        return cls(folder, manifest, model)

    @classmethod
    def open(cls, path: str | Path, *, embedder: Embedder | str | None = None, verify: bool = True) -> PassageIndex:
        """Open an index; its vectors stay on disk until a search touches them.

        Args:
            path: the folder.
            embedder: None for the one it was built with, which is loaded when first needed.
            verify: compare every file with its checksum, at about the disk's reading speed.

        Raises:
            IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
            IndexMismatch: `embedder` is another than the one it was built with.
        """
        folder = Path(path)
        manifest = storage.read_manifest(folder)
        if verify:
            storage.verify(folder, manifest)
        model = load_embedder(embedder) if isinstance(embedder, str) else embedder
        if model is not None:
            _check_embedder(folder, manifest, model)
        return cls(folder, manifest, model)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use.

        Raises:
            IndexMismatch: what its name stands for now is not what the index was built with.
        """
        if self._embedder is None:
            model = load_embedder(self._manifest.embedder)
            _check_embedder(self.path, self._manifest, model)
            self._embedder = model
        return self._embedder

    def __len__(self) -> int:
        return self._manifest.passages

    def __iter__(self) -> Iterator[Passage]:
        for segment in self._segments:
            yield from segment.passages(segment.live_rows())

    def __contains__(self, passage_id: object) -> bool:
        return passage_id in self._places

    def __enter__(self) -> PassageIndex:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; the index cannot be used afterwards."""
        self._segments = []
        self._sparse = None

    def refresh(self) -> None:
        """Move to the state that is on disk now."""
        manifest = storage.read_manifest(self.path)
        if manifest.generation != self._manifest.generation:
            self._load(manifest)

    def get(self, passage_id: str) -> Passage:
        """The passage of that id.

        Raises:
            UnknownId: there is none.
        """
        segment, row = self._place(passage_id)
        return next(iter(self._segments[segment].passages([row])))

    def info(self) -> IndexInfo:
        """Facts about the index."""
        m = self._manifest
        size = sum(size for segment in m.segments for size, _ in segment.files.values())
        return IndexInfo(
            str(self.path), m.passages, m.embedder, m.fingerprint, m.dimension, m.kind, len(m.segments), m.generation,
            m.format_version, size,
        )  # fmt: skip

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a sequence of strings, but one query
        self, query: str, k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[Hit]: ...
    @overload
    def search(
        self, query: Sequence[str], k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | Sequence[str], k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[Hit] | list[list[Hit]]:
        """The passages nearest to a query, or to each of several.

        Args:
            query: a text, or a list of texts, which is embedded and searched in one batch.
            k: hits to return; the whole index if it holds fewer.
            mode: "dense" (cosine similarity), "sparse" (BM25) or "hybrid" (reciprocal rank fusion of both).
            filter: a mapping from metadata keys to the value, or list of values, they must have, or a predicate on passages.

        Returns:
            Hits, best first; for a list of queries a list of such lists. A sparse search leaves out passages that share no
            word with the query.

        Raises:
            InvalidQuery: a query is empty, k is below 1, or the mode is unknown.
        """
        single = isinstance(query, str)
        queries: list[str] = [query] if isinstance(query, str) else list(query)
        for i, text in enumerate(queries):
            if not isinstance(text, str) or not text.strip():
                raise InvalidQuery("the query is empty" if single else f"query {i} is empty; leave it out")
        if k < 1:
            raise InvalidQuery(f"k is {k}; ask for at least 1 hit")
        if mode not in ("dense", "sparse", "hybrid"):
            raise InvalidQuery(f"mode is {mode!r}; pass 'dense', 'sparse' or 'hybrid'")
        if not queries or not len(self):
            found: list[list[Hit]] = [[] for _ in queries]
        else:
            allowed = self._allowed(filter)
            if mode == "sparse":
                ranked = self._search_sparse(queries, k, allowed)
                found = self._hits([[(row, score, None) for row, score in own] for own in ranked])
            else:
                vectors = self.embedder.encode(queries)
                if mode == "dense":
                    found = self._hits(self._search_dense(vectors, k, allowed))
                else:
                    found = self._hits(self._search_hybrid(queries, vectors, k, allowed))
        return found[0] if single else found

    def search_vectors(self, vectors: NDArray[np.float32], k: int = 5, *, filter: Filter | None = None) -> list[list[Hit]]:
        """Dense search with (Q, d) unit vectors in place of texts."""
        if not len(self):
            return [[] for _ in vectors]
        return self._hits(self._search_dense(vectors, k, self._allowed(filter)))

    # -- writing ---------------------------------------------------------------------------------------------------

    def add(
        self,
        passages: Sequence[Passage],
        *,
        vectors: NDArray[np.float32] | None = None,
        duplicates: Literal["skip", "keep"] = "skip",
    ) -> AddReport:
        """Add passages; they are on disk when this returns, all of them or, after an error, none.

        Args:
            passages: with ids that are not in the index yet.
            vectors: (N, d) unit vectors of the passages, if they are known already.
            duplicates: "skip" leaves out a passage whose text is in the index and reports it; "keep" adds it.

        Raises:
            EmptyCorpus: there are no passages, or one has no text.
            DuplicateId: an id is in the index, or twice among `passages`.
            IndexLocked, IndexWriteFailed: another process is writing, or the disk refused.
        """
        passages = _checked(passages)
        with storage.writing(self.path):
            self.refresh()
            taken = [p.id for p in passages if p.id in self._places]
            if taken:
                raise DuplicateId(
                    f"{len(taken)} passage ids are in {self.path} already ({', '.join(map(repr, taken[:5]))}); use update "
                    "to replace them"
                )
            keep, left_out = self._without_duplicates(passages) if duplicates == "skip" else (range(len(passages)), ())
            new = [passages[i] for i in keep]
            if vectors is not None and vectors.shape != (len(passages), self._manifest.dimension):
                raise InvalidQuery(
                    f"vectors have shape {vectors.shape}; {len(passages)} passages need ({len(passages)}, "
                    f"{self._manifest.dimension})"
                )
            if new:
                self._commit(new, None if vectors is None else vectors[list(keep)], removed=())
        return AddReport(len(new), tuple(left_out))

    def update(self, passages: Sequence[Passage]) -> None:
        """Replace passages that are in the index by ones of the same ids, in one step.

        Raises:
            UnknownId: an id is not in the index; nothing is changed.
        """
        passages = _checked(passages)
        with storage.writing(self.path):
            self.refresh()
            places = [self._place(passage.id) for passage in passages]
            self._commit(passages, None, removed=places)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove passages.

        Raises:
            UnknownId: an id is not in the index; nothing is changed.
        """
        if isinstance(ids, str):
            raise InvalidQuery(f"ids is the string {ids!r}; pass a list of ids")
        with storage.writing(self.path):
            self.refresh()
            places = [self._place(passage_id) for passage_id in dict.fromkeys(ids)]
            if places:
                self._commit([], None, removed=places)

    # -- private ---------------------------------------------------------------------------------------------------

    def _load(self, manifest: storage.Manifest) -> None:
        try:
            self._segments = [OpenSegment(self.path, segment) for segment in manifest.segments]
        except FileNotFoundError as error:
            # A writer has merged the segment away since the manifest was read.
            current = storage.read_manifest(self.path)
            if current.generation == manifest.generation:
                raise IndexDamaged(f"a file of {self.path} is missing: {error}") from error
            self._load(current)
            return
        except Exception as error:
            raise IndexDamaged(f"a file of {self.path} cannot be opened: {error}; build the index again") from error
        self._manifest = manifest
        self._sparse = None
        self._place_of = None

    @property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Segment and row of every id; made when first needed, as searching needs no ids."""
        if self._place_of is None:
            self._place_of = {
                passage_id: (number, row)
                for number, segment in enumerate(self._segments)
                for row, passage_id in segment.ids()
            }
        return self._place_of

    def _place(self, passage_id: str) -> tuple[int, int]:
        try:
            return self._places[passage_id]
        except KeyError:
            raise UnknownId(f"there is no passage {passage_id!r} in {self.path}") from None

    def _without_duplicates(self, passages: Sequence[Passage]) -> tuple[list[int], list[tuple[str, str]]]:
        known: dict[int, list[tuple[int, int]]] = {}
        for number, segment in enumerate(self._segments):
            for row, value in segment.text_hashes():
                known.setdefault(value, []).append((number, row))
        fresh: dict[str, str] = {}
        keep: list[int] = []
        left_out: list[tuple[str, str]] = []
        for i, passage in enumerate(passages):
            same = fresh.get(passage.text)
            for number, row in known.get(text_hash(passage.text), ()):
                old = next(iter(self._segments[number].passages([row])))
                same = old.id if old.text == passage.text else same
            if same is None:
                fresh[passage.text] = passage.id
                keep.append(i)
            else:
                left_out.append((passage.id, same))
        return keep, left_out

    def _commit(
        self,
        new: Sequence[Passage],
        vectors: NDArray[np.float32] | None,
        *,
        removed: Sequence[tuple[int, int]],
    ) -> None:
        """Write one state: rows removed, new rows in one segment, small or thinned-out segments merged into it.

        Merging every last segment at most twice as large as what follows it keeps the number of segments logarithmic in the
        number of passages, and rewrites each passage a logarithmic number of times.
        """
        import numpy as np

        texts = [passage.text for passage in new]
        if vectors is None:
            vectors = self.embedder.encode(texts)
        gone: dict[int, set[int]] = {}
        for number, row in removed:
            gone.setdefault(number, set()).add(row)
        kept = [
            replace(segment, deleted=tuple(sorted({*segment.deleted, *gone.get(number, ())})))
            for number, segment in enumerate(self._manifest.segments)
        ]
        absorbed: list[int] = []
        total = len(new)
        for number in reversed(range(len(kept))):
            thin = len(kept[number].deleted) * 4 > kept[number].rows
            if not thin and not (total and number == len(kept) - 1 - len(absorbed) and kept[number].live <= 2 * total):
                continue
            absorbed.append(number)
            total += kept[number].live
        absorbed.reverse()
        rows = {number: self._segments[number].rows_without(kept[number].deleted) for number in absorbed}
        passages = [p for number in absorbed for p in self._segments[number].passages(rows[number])] + list(new)
        old_vectors = [self._segments[number].vectors(rows[number]) for number in absorbed]
        matrix = np.concatenate([*old_vectors, np.asarray(vectors, np.float32)]) if old_vectors else vectors
        segments = tuple(segment for number, segment in enumerate(kept) if number not in rows)
        if passages:

            def write(folder: Path) -> None:
                write_passages(passages, folder / "passages.arrow")
                kind = choose_kind(len(passages), self._manifest.kind)  # type: ignore[arg-type]
                build_vectors(np.ascontiguousarray(matrix, np.float32), folder / "vectors.faiss", kind)

            segments += (storage.write_segment(self.path, len(passages), write),)
        manifest = replace(self._manifest, generation=self._manifest.generation + 1, segments=segments)
        storage.write_manifest(self.path, manifest)
        self._load(manifest)
        storage.sweep(self.path, manifest)

    def _allowed(self, wanted: Filter | None) -> list[NDArray[np.bool_] | None]:
        """Per segment the rows that may be found; None for all."""
        if wanted is None:
            return [segment.live_mask() for segment in self._segments]
        return [segment.matching(_predicate(wanted)) for segment in self._segments]

    def _search_dense(
        self, vectors: NDArray[np.float32], k: int, allowed: Sequence[NDArray[np.bool_] | None]
    ) -> list[list[tuple[int, float, float | None]]]:
        import numpy as np

        scores, rows = [], []
        for segment, mask in zip(self._segments, allowed, strict=True):
            similarity, own = search_vectors(segment.faiss, vectors, min(k, segment.rows), mask)
            scores.append(similarity)
            rows.append(np.where(own >= 0, own + segment.offset(self._segments), -1))
        score, row = np.concatenate(scores, 1), np.concatenate(rows, 1)
        if len(self._segments) > 1:
            order = np.argsort(-score, 1, kind="stable")[:, :k]
            score, row = np.take_along_axis(score, order, 1), np.take_along_axis(row, order, 1)
        return [
            [(r, s, s) for r, s in zip(own, values, strict=True) if r >= 0]
            for own, values in zip(row.tolist(), score.tolist(), strict=True)
        ]

    def _search_sparse(
        self, queries: Sequence[str], k: int, allowed: Sequence[NDArray[np.bool_] | None]
    ) -> list[list[tuple[int, float]]]:
        """Rows count over all segments, deleted ones included, so that BM25 and FAISS number them alike."""
        import numpy as np

        if self._sparse is None:
            self._sparse = open_sparse(
                self.path / "sparse" / str(self._manifest.generation),
                lambda: [text for segment in self._segments for text in segment.texts()],
            )
        mask = None
        if any(own is not None for own in allowed):
            mask = np.concatenate(
                [
                    np.ones(segment.rows, bool) if own is None else own
                    for own, segment in zip(allowed, self._segments, strict=True)
                ]
            )
        total = sum(segment.rows for segment in self._segments)
        return search_sparse(self._sparse, queries, min(k, total), mask)

    def _search_hybrid(
        self, queries: Sequence[str], vectors: NDArray[np.float32], k: int, allowed: Sequence[NDArray[np.bool_] | None]
    ) -> list[list[tuple[int, float, float | None]]]:
        import numpy as np

        depth = max(k, _FUSION_DEPTH)
        dense = self._search_dense(vectors, depth, allowed)
        sparse = self._search_sparse(queries, depth, allowed)
        found: list[list[tuple[int, float, float | None]]] = []
        for vector, near, worded in zip(vectors, dense, sparse, strict=True):
            fused = reciprocal_rank_fusion([[row for row, *_ in near], [row for row, _ in worded]])[:k]
            similarity: dict[int, float] = {row: score for row, score, _ in near}
            far = [row for row, _ in fused if row not in similarity]
            for row in far:
                segment, own = self._segment_of(row)
                similarity[row] = float(segment.vectors(np.array([own]))[0] @ vector)
            found.append([(row, score, similarity[row]) for row, score in fused])
        return found

    def _segment_of(self, row: int) -> tuple[OpenSegment, int]:
        for segment in self._segments:
            if row < segment.rows:
                return segment, row
            row -= segment.rows
        raise AssertionError("a row beyond the last segment")

    def _hits(self, found: Sequence[Sequence[tuple[int, float, float | None]]]) -> list[list[Hit]]:
        """Look up each passage once for the whole batch."""
        wanted: dict[int, list[int]] = {}
        number_of = {id(segment): number for number, segment in enumerate(self._segments)}
        for row in sorted({row for own in found for row, *_ in own}):
            segment, local = self._segment_of(row)
            wanted.setdefault(number_of[id(segment)], []).append(local)
        passage_at: dict[int, Passage] = {}
        for number, rows in wanted.items():
            offset = self._segments[number].offset(self._segments)
            passages = self._segments[number].passages(rows)
            passage_at.update(zip((row + offset for row in rows), passages, strict=True))
        return [
            [Hit(passage_at[row], score, rank, similarity) for rank, (row, score, similarity) in enumerate(own, 1)]
            for own in found
        ]


def _check_embedder(folder: Path, manifest: storage.Manifest, embedder: Embedder) -> None:
    if (embedder.dimension, embedder.fingerprint) != (manifest.dimension, manifest.fingerprint):
        same_name = " (the same name, but other weights)" if embedder.name == manifest.embedder else ""
        raise IndexMismatch(
            f"{folder} was built with {manifest.embedder} ({manifest.dimension} dims), not {embedder.name} "
            f"({embedder.dimension} dims){same_name}; pass embedder=None to use the one it was built with, or build it again"
        )


def _checked(passages: Sequence[Passage]) -> list[Passage]:
    passages = list(passages)
    if not passages:
        raise EmptyCorpus("there are no passages; nothing to write")
    seen: set[str] = set()
    twice: list[str] = []
    for passage in passages:
        if not passage.text.strip():
            raise EmptyCorpus(f"passage {passage.id!r} has no text; leave it out")
        if passage.id in seen:
            twice.append(passage.id)
        seen.add(passage.id)
        try:
            json.dumps(dict(passage.metadata))
        except (TypeError, ValueError) as error:
            raise InvalidQuery(f"the metadata of passage {passage.id!r} are no JSON values: {error}") from error
    if twice:
        raise DuplicateId(f"{len(twice)} passage ids come twice in one call ({', '.join(map(repr, twice[:5]))})")
    return passages


def _predicate(wanted: Filter) -> Callable[[Passage], bool]:
    if not isinstance(wanted, Mapping):
        return wanted
    choices = {key: value if isinstance(value, list | tuple | set) else [value] for key, value in wanted.items()}
    return lambda passage: all(passage.metadata.get(key) in values for key, values in choices.items())
