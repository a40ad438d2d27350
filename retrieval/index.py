"""`PassageIndex`: passages that can be searched by meaning, by words and by both.

Not covered: the files on disk (manifest.py), writing them (storage.py) and searching their present state (search.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, get_args, overload

from retrieval import manifest as manifests
from retrieval import storage
from retrieval.changes import Change, Duplicates, plan_change, vectors_of
from retrieval.embedders import Embedder, is_endpoint, load_embedder
from retrieval.errors import (
    EmbedderUnavailable,
    IndexClosed,
    IndexMismatch,
    IndexReplaced,
    InvalidQuery,
    UnknownId,
    check_text,
    check_texts,
)
from retrieval.files import lone_surrogate
from retrieval.passages import (
    AddReport,
    Hit,
    IndexedDocument,
    IndexInfo,
    Passage,
    UpdateReport,
    checked_passages,
    document_of,
)
from retrieval.rerank import Reranker, checked_reranker, reranked
from retrieval.search import Mode, Snapshot, open_snapshot
from retrieval.segment import Filter, Place, check_filter
from retrieval.vectors import Kind, checked_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Duplicates", "Mode", "OnMissing", "PassageIndex"]

OnMissing = Literal["raise", "skip", "add"]


class PassageIndex:
    """Passages on disk, memory-mapped, with one writer at a time and any number of readers.

    Made by `create`, `build` or `open`. A reader sees the state at which it was opened; `refresh` moves it to the present
    one. After `close`, and after the index was removed from its path, every use raises.

    Raises:
        IndexClosed: by every method after `close`.
        IndexNotFound, IndexReplaced: by every method if the index was removed, or another one was created at its path.
    """

    def __init__(self, path: Path, snapshot: Snapshot, embedder: Embedder | None) -> None:
        # Absolute, so that the index is still found after a change of the working folder.
        self.path = path.absolute()
        self._embedder = embedder
        self._snapshot: Snapshot | None = snapshot
        self._id = snapshot.manifest.id
        self._stamp: tuple[int, int, int] | None = None

    @classmethod
    def create(cls, path: str | Path, *, embedder: Embedder | str | None = None, kind: Kind = "auto") -> PassageIndex:
        """Create an empty index.

        Args:
            path: a folder that does not exist yet, or is empty.
            embedder: an `Embedder`, a name for `load_embedder`, or None for the default.
            kind: "auto" chooses by size: exact search ("flat") up to 200,000 passages, a graph ("hnsw") up to two million,
                inverted lists ("ivf") above.

        Raises:
            IndexExists: there is already something at `path`.
            IndexWriteFailed: the disk refused.
        """
        folder, model, manifest = _new(path, embedder, kind)
        with storage.new_index(folder, manifest):
            pass
        return cls(folder, Snapshot(folder, manifest), model)

    @classmethod
    def build(
        cls,
        path: str | Path,
        passages: Sequence[Passage],
        *,
        embedder: Embedder | str | None = None,
        kind: Kind = "auto",
        vectors: NDArray[np.float32] | None = None,
        duplicates: Duplicates = "skip",
    ) -> tuple[PassageIndex, AddReport]:
        """Create an index of passages, which appears at `path` only once all of them are in it.

        A process that is killed meanwhile leaves nothing at `path`, so the same call can be repeated.

        Args:
            path, embedder, kind: as in `create`.
            passages, vectors, duplicates: as in `add`.

        Returns:
            The index, and what `add` reports.

        Raises:
            IndexExists: there is already something at `path`.
            EmptyCorpus, InvalidPassage, DuplicateId, IndexWriteFailed: as `add`.
        """
        passages = checked_passages(passages)
        _check_duplicates(duplicates)
        folder, model, manifest = _new(path, embedder, kind)
        with storage.new_index(folder, manifest) as partial:
            unfinished = cls(partial, Snapshot(partial, manifest), model)
            report = unfinished._add(passages, vectors, duplicates)
            state = unfinished._state
            unfinished.close()
        return cls(folder, Snapshot(folder, state.manifest, state), model), report

    @classmethod
    def open(cls, path: str | Path, *, embedder: Embedder | str | None = None) -> PassageIndex:
        """Open an index; its vectors stay on disk until a search reads them.

        Every file is compared with its checksum, at about the reading speed of the disk.

        Args:
            path: the folder.
            embedder: None for the one the index was built with, which is loaded when first needed. An index built with an
                endpoint needs the endpoint named here: the texts, and your API key, go only where you send them.

        Raises:
            IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
            IndexMismatch: `embedder` is not the one the index was built with.
        """
        folder = _folder(path)
        model = None if embedder is None else _loaded(embedder)
        snapshot = open_snapshot(folder)
        if model is not None:
            _check_embedder(folder, snapshot.manifest, model)
        return cls(folder, snapshot, model)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use.

        Raises:
            EmbedderUnavailable: it cannot be loaded, or is an endpoint that only the index names.
            IndexMismatch: its name now stands for another embedder than the index was built with.
        """
        manifest = self._state.manifest
        if self._embedder is None:
            if is_endpoint(manifest.embedder):
                raise EmbedderUnavailable(
                    f"{self.path} was built with the endpoint {manifest.embedder}, which is not contacted because only the "
                    f"index names it; if you trust it, pass embedder={manifest.embedder!r} to PassageIndex.open, or "
                    "--embedder on the command line"
                )
            model = load_embedder(manifest.embedder)
            _check_embedder(self.path, manifest, model)
            self._embedder = model
        return self._embedder

    def __len__(self) -> int:
        return self._state.manifest.passages

    @property
    def content_hash(self) -> str:
        """Hash of passages and vectors, equal for copies of an index and different after every change of its content."""
        import xxhash

        manifest = self._state.manifest
        content = [[sorted(segment.files.items()), segment.deleted] for segment in manifest.segments]
        return xxhash.xxh3_128_hexdigest(json.dumps([manifest.fingerprint, content]).encode())

    def __iter__(self) -> Iterator[Passage]:
        return self._state.passages()

    def __contains__(self, passage_id: object) -> bool:
        state = self._state
        return _can_be_id(passage_id) and bool(state.places([passage_id]))

    def __enter__(self) -> PassageIndex:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files. Using the index afterwards is an error, except for closing it again."""
        self._snapshot = None

    def refresh(self) -> None:
        """Move to the state that is on disk now."""
        state = self._state
        if manifests.read_manifest(self.path).generation != state.manifest.generation:
            snapshot = open_snapshot(self.path, known=state)
            self._check_id(snapshot.manifest)
            self._snapshot = snapshot

    def get(self, passage_id: str) -> Passage:
        """Get a passage by its id.

        Raises:
            UnknownId: no passage has it.
        """
        state = self._state
        return state.passage(*self._places(state, [passage_id]))

    def documents(self) -> list[IndexedDocument]:
        """List the documents of which the index has passages, in the order of their first passages."""
        return self._state.documents()

    def info(self) -> IndexInfo:
        """Get facts about the index."""
        m = self._state.manifest
        size = sum(size for segment in m.segments for size, _ in segment.files.values())
        return IndexInfo(
            str(self.path), m.passages, m.embedder, m.fingerprint, m.dimension, m.kind, len(m.segments), m.generation,
            m.format_version, size,
        )  # fmt: skip

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a sequence of strings, but one query
        self,
        query: str,
        k: int = 5,
        mode: Mode = "hybrid",
        *,
        filter: Filter | None = None,
        min_similarity: float | None = None,
        rerank: Reranker | str | None = None,
        rerank_depth: int = 20,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        query: Sequence[str],
        k: int = 5,
        mode: Mode = "hybrid",
        *,
        filter: Filter | None = None,
        min_similarity: float | None = None,
        rerank: Reranker | str | None = None,
        rerank_depth: int = 20,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | Sequence[str],
        k: int = 5,
        mode: Mode = "hybrid",
        *,
        filter: Filter | None = None,
        min_similarity: float | None = None,
        rerank: Reranker | str | None = None,
        rerank_depth: int = 20,
    ) -> list[Hit] | list[list[Hit]]:
        """Find the passages nearest to a query, or to each of several.

        Args:
            query: a text, or a list of texts, which are embedded and searched in one batch.
            k: hits to return; the whole index if it has fewer passages.
            mode: "dense" (cosine similarity), "sparse" (BM25) or "hybrid" (reciprocal rank fusion of both).
            filter: a mapping from metadata keys to the value, or collection of values, that passages must have; metadata
                that is a list has each of its elements. Or a predicate on passages.
            min_similarity: leave out hits of which the cosine similarity to the query, in [-1, 1], is lower. In sparse mode
                it is computed only for this.
            rerank: puts the first hits in a better order: a `Reranker`, or the folder or hub id of a cross-encoder, which is
                then loaded for this call alone.
            rerank_depth: number of hits that it reads, at least k.

        Returns:
            Hits, best first; for a list of queries a list of such lists. A sparse search leaves out passages that share no
            word with the query.

        Raises:
            InvalidQuery: a query is empty or not a text, or an option is out of range.
            EmbedderUnavailable, RerankerUnavailable: the embedder or the reranker is needed and cannot be loaded.
        """
        state = self._state
        queries = _checked_queries(query)
        _check_k(k)
        if mode not in get_args(Mode):
            raise InvalidQuery(f"mode is {mode!r}; pass 'dense', 'sparse' or 'hybrid'")
        check_filter(filter)
        _check_k(rerank_depth, "rerank_depth")
        reranker = None if rerank is None else checked_reranker(rerank)
        depth = int(k) if reranker is None else max(int(k), int(rerank_depth))
        if min_similarity is not None and not -1 <= min_similarity <= 1:
            raise InvalidQuery(f"min_similarity is {min_similarity}; pass a cosine similarity in [-1, 1]")
        if queries and state.manifest.passages:
            allowed = state.allowed(filter)
            hits = state.hits(state.search(queries, depth, mode, allowed, min_similarity, embed=self._embed))
            if reranker is not None:
                hits = reranked(reranker, queries, hits, int(k))
        else:
            hits = [[] for _ in queries]
        return hits[0] if isinstance(query, str) else hits

    def search_vectors(self, vectors: NDArray[np.float32], k: int = 5, *, filter: Filter | None = None) -> list[list[Hit]]:
        """Find the passages nearest to each of (Q, d) unit vectors, by cosine similarity.

        Raises:
            InvalidQuery: the vectors have another shape or are not of length 1, or an option is out of range.
        """
        state = self._state
        _check_k(k)
        check_filter(filter)
        vectors = checked_vectors(vectors, None, state.manifest.dimension)
        if not len(vectors) or not state.manifest.passages:
            return [[] for _ in vectors]
        return state.hits(state.dense(vectors, int(k), state.allowed(filter)))

    # -- writing ---------------------------------------------------------------------------------------------------

    def add(
        self, passages: Sequence[Passage], *, vectors: NDArray[np.float32] | None = None, duplicates: Duplicates = "skip"
    ) -> AddReport:
        """Add passages; when this returns, all of them are on disk, and after an error none is.

        Args:
            passages: new ones, and ones that replace those of the index with the same ids. See `update` for replacing
                documents whole.
            vectors: (N, d) unit vectors of the passages, if they are known already.
            duplicates: "skip" leaves out a passage whose text is in the index under another id and reports it; "keep" adds
                it.

        Raises:
            EmptyCorpus: there are no passages, or one has no text.
            InvalidPassage: one cannot be stored.
            InvalidQuery: the vectors do not fit, or `duplicates` is unknown.
            DuplicateId: an id occurs twice among `passages`.
            IndexLocked, IndexWriteFailed: another process is writing, or the disk refused.
        """
        passages = checked_passages(passages)
        _check_duplicates(duplicates)
        with self._writing():
            return self._add(passages, vectors, duplicates)

    def update(
        self,
        passages: Sequence[Passage],
        *,
        delete: Sequence[str] = (),
        on_missing: OnMissing = "raise",
        vectors: NDArray[np.float32] | None = None,
        duplicates: Duplicates = "skip",
    ) -> UpdateReport:
        """Replace documents whole, in one step: a document that had four passages and has one now has one afterwards.

        Passages that are in the index exactly as they are stay, and a text that was embedded already is not embedded again.
        To replace single passages of a document, use `add`.

        Args:
            passages: all passages of the documents (see `Passage.document_id`); a passage without a document is one.
            delete: ids of documents or passages to remove in the same step.
            on_missing: for documents that are not in the index, "raise" changes nothing, "skip" leaves them out and reports
                them, and "add" adds them.
            vectors, duplicates: as in `add`.

        Raises:
            UnknownId: a document is not in the index, or an id to delete; nothing is changed.
            EmptyCorpus, InvalidPassage, InvalidQuery, DuplicateId, IndexLocked, IndexWriteFailed: as `add`.
        """
        check_texts("delete", delete)
        if passages or not delete:
            passages = checked_passages(passages)
        _check_duplicates(duplicates)
        if on_missing not in get_args(OnMissing):
            raise InvalidQuery(f"on_missing is {on_missing!r}; pass 'raise', 'skip' or 'add'")
        with self._writing():
            state = self._state
            documents = list(dict.fromkeys(map(document_of, passages)))
            stored = state.places_of_documents(documents)
            missing = [name for name in documents if name not in stored]
            if missing and on_missing == "raise":
                named = ", ".join(map(repr, missing[:5]))
                raise UnknownId(f"{self.path} has no document {named}; pass on_missing='add' to add new documents")
            kept = [i for i, passage in enumerate(passages) if on_missing == "add" or document_of(passage) in stored]
            doomed = self._places(state, delete)
            old = dict.fromkeys([*(place for places in stored.values() for place in places), *doomed])
            deleted = {document_of(passage) for passage in state.passages_at(doomed)} - set(documents)
            if vectors is not None:
                vectors = checked_vectors(vectors, len(passages), state.manifest.dimension)[kept]
            change = self._change([passages[i] for i in kept], vectors, duplicates, list(old))
            left = self._state.places_of_documents(deleted)
        touched = change.documents
        return UpdateReport(
            new=tuple(name for name in documents if name in touched and name not in stored),
            changed=tuple(name for name in documents if name in touched and name in stored) + tuple(sorted(left)),
            deleted=tuple(sorted(deleted - set(left))),
            unchanged=sum(name in stored and name not in touched for name in documents),
            missing=() if on_missing == "add" else tuple(missing),
            added=len(change.new),
            removed=len(change.removed),
            duplicates=change.duplicates,
        )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove passages.

        Args:
            ids: of passages, or of documents, of which all passages are removed.

        Raises:
            UnknownId: an id is not in the index; nothing is changed.
            IndexLocked, IndexWriteFailed: another process is writing, or the disk refused.
        """
        check_texts("ids", ids)
        with self._writing():
            if places := self._places(self._state, ids):
                self._commit([], None, places)

    # -- private ---------------------------------------------------------------------------------------------------

    @property
    def _state(self) -> Snapshot:
        """The state to read or change, if this object may still be used."""
        snapshot = self._snapshot
        if snapshot is None:
            raise IndexClosed(f"the index {self.path} is closed; open it again with PassageIndex.open")
        stamp = manifests.manifest_stamp(self.path)
        if stamp is None or stamp != self._stamp:
            self._check_id(manifests.read_manifest(self.path))
            self._stamp = stamp
        return snapshot

    def _check_id(self, manifest: manifests.Manifest) -> None:
        if manifest.id != self._id:
            raise IndexReplaced(
                f"the index {self.path} was removed and another one created there; open that one with PassageIndex.open"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock on the present state."""
        # Checked before the lock, which would make a folder where the index was removed.
        _ = self._state
        with storage.writing(self.path):
            self.refresh()
            yield

    def _places(self, state: Snapshot, ids: Sequence[str]) -> list[Place]:
        """Find the passages with some ids, and those of the documents with some of them."""
        possible = [name for name in ids if _can_be_id(name)]
        passages, documents = state.places(possible), state.places_of_documents(possible)
        if missing := [name for name in ids if name not in passages and name not in documents]:
            named = ", ".join(map(repr, missing[:5]))
            raise UnknownId(f"{self.path} has no passage or document {named}; list the ids with 'for passage in index'")
        return list(dict.fromkeys([*passages.values(), *(place for places in documents.values() for place in places)]))

    def _add(self, passages: Sequence[Passage], vectors: NDArray[np.float32] | None, duplicates: Duplicates) -> AddReport:
        """Add checked passages to the present state, in place of those with the same ids."""
        change = self._change(passages, vectors, duplicates)
        return AddReport(len(change.new), change.duplicates, len(change.removed), change.unchanged)

    def _change(
        self,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32] | None,
        duplicates: Duplicates,
        replaced: Sequence[Place] = (),
    ) -> Change:
        """Write checked passages in place of those at `replaced` and those with the same ids, and move to the new state."""
        state = self._state
        if vectors is not None:
            vectors = checked_vectors(vectors, len(passages), state.manifest.dimension)
        change = plan_change(state, passages, replaced, duplicates)
        if change.new or change.removed:
            matrix = vectors_of(state, change, self._embed) if vectors is None else vectors[change.rows]
            self._commit(change.new, matrix if change.new else None, list(change.removed))
        return change

    def _commit(self, new: Sequence[Passage], vectors: NDArray[np.float32] | None, removed: Sequence[Place]) -> None:
        """Write a new state and move to it."""
        state = self._state
        manifest = storage.commit(self.path, state.manifest, state.segments, new, vectors, removed)
        self._snapshot = Snapshot(self.path, manifest, state)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        return checked_vectors(self.embedder.encode(texts), len(texts), self._state.manifest.dimension)


def _new(path: str | Path, embedder: Embedder | str | None, kind: Kind) -> tuple[Path, Embedder, manifests.Manifest]:
    """Check the arguments of a new index, and make its first manifest."""
    folder = _folder(path)
    if kind not in get_args(Kind):
        raise InvalidQuery(f"kind is {kind!r}; pass 'auto', 'flat', 'hnsw' or 'ivf'")
    storage.check_vacant(folder)
    model = _loaded(embedder)
    return folder, model, manifests.Manifest(model.name, model.fingerprint, model.dimension, kind)


def _folder(path: Any) -> Path:
    if not isinstance(path, str | Path) or path == "":
        raise InvalidQuery(f"path is {path!r}; name the folder of an index")
    return Path(path)


def _loaded(embedder: Any) -> Embedder:
    if embedder is None or isinstance(embedder, str):
        return load_embedder(embedder)
    if not hasattr(embedder, "encode"):
        raise InvalidQuery(f"embedder is {embedder!r}; pass an Embedder, or a name for load_embedder")
    model: Embedder = embedder
    return model


def _check_embedder(folder: Path, manifest: manifests.Manifest, embedder: Embedder) -> None:
    if (embedder.dimension, embedder.fingerprint) != (manifest.dimension, manifest.fingerprint):
        same_name = " (the same name, but other weights)" if embedder.name == manifest.embedder else ""
        raise IndexMismatch(
            f"{folder} was built with {manifest.embedder} ({manifest.dimension} dims), not {embedder.name} "
            f"({embedder.dimension} dims){same_name}; pass embedder=None to use the one it was built with, or build it again"
        )


def _checked_queries(query: str | Sequence[str]) -> list[str]:
    if isinstance(query, str):
        check_text("the query", query)
        return [query]
    check_texts("queries", query)
    return list(query)


def _check_k(k: Any, name: str = "k") -> None:
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise InvalidQuery(f"{name} is {k!r}; pass a whole number of at least 1")


def _check_duplicates(duplicates: str) -> None:
    if duplicates not in get_args(Duplicates):
        raise InvalidQuery(f"duplicates is {duplicates!r}; pass 'skip' or 'keep'")


def _can_be_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and lone_surrogate(value) is None
