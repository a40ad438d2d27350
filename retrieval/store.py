"""`PassageStore`: an index of passages, wherever it keeps them, and what is the same in all of them.

A store is a folder of FAISS files (`PassageIndex`), a schema of a PostgreSQL database, or a collection of Qdrant. All check
their arguments, plan changes and rank hits in this class. Each says how to read its contents, how to lock them, and how to
write a change. Not covered: choosing one by its location (locations.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, get_args, overload

from retrieval.arguments import can_be_id, check_duplicates, check_k, checked_queries
from retrieval.changes import Change, Duplicates, OnMissing, plan_change, vectors_of
from retrieval.contents import Contents
from retrieval.embedders import Embedder
from retrieval.errors import InvalidQuery, UnknownId, check_texts
from retrieval.filters import Filter, check_filter
from retrieval.origin import Origin, load_origin
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
from retrieval.ranking import Mode, hits_of, search_contents
from retrieval.rerank import Reranker, checked_reranker, reranked
from retrieval.tracing import span
from retrieval.vectors import checked_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PassageStore"]


class PassageStore(ABC):
    """An index of passages that is open: search by meaning, by words and by both, and changes that are durable.

    Made by `retrieval.open_store`, `create_store` or `build_store`.

    Attributes:
        location: the folder, or the URL.
    """

    def __init__(self, location: str, embedder: Embedder | None) -> None:
        self.location = location
        self._embedder = embedder

    # -- what each kind of store adds ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def content_hash(self) -> str:
        """Equal for copies made by the store's own tools, and different after every change of the content."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Passage]: ...

    @abstractmethod
    def batches(self, size: int = 1000) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time."""

    @abstractmethod
    def info(self) -> IndexInfo:
        """Get facts about the index."""

    @abstractmethod
    def reopen(self, *, embedder: Embedder | None = None) -> PassageStore:
        """Open the same index once more, for another thread or with another object of its embedder."""

    @abstractmethod
    def refresh(self) -> None:
        """Move to the present state, if the store shows the one at which it was opened."""

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. Using the store afterwards is an error, except for closing it again."""

    @property
    @abstractmethod
    def _origin(self) -> Origin:
        """The embedder of the store.

        Raises:
            IndexClosed, IndexNotFound, IndexReplaced: the store may no longer be used.
        """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Contents]:
        """Read one state while the block runs."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Contents]:
        """Hold the lock of the store while the block runs; the present state may then be changed.

        After an error in the block, the store is as it was before.
        """

    @abstractmethod
    def _commit(
        self, contents: Contents, new: Sequence[Passage], vectors: NDArray[np.float32] | None, removed: Sequence[Any]
    ) -> Contents:
        """Write passages and their (N, d) vectors, and remove those at some places; returns the new state."""

    def _is_empty(self) -> bool:
        """Whether no search can find anything; a store that would have to ask for it may say no."""
        return len(self) == 0

    def _check_storable(self, passages: Sequence[Passage]) -> None:  # noqa: B027  # most stores ask nothing
        """Check what this kind of store asks of passages beyond what every store does."""

    def _embedding(self, _passages: Sequence[Passage]) -> Callable[[list[str]], NDArray[np.float32]]:
        """Get the function that embeds texts while the lock is held."""
        return self._embed

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use.

        Raises:
            EmbedderUnavailable: it cannot be loaded, or is an endpoint that only the index names.
            IndexMismatch: its name now stands for another embedder than the index was built with.
        """
        origin = self._origin
        if self._embedder is None:
            self._embedder = load_origin(self.location, origin)
        return self._embedder

    def __contains__(self, passage_id: object) -> bool:
        with self._reading() as contents:
            return can_be_id(passage_id) and bool(contents.places([passage_id]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def get(self, passage_id: str) -> Passage:
        """Get a passage by its id.

        Raises:
            UnknownId: no passage has it.
        """
        with self._reading() as contents:
            return contents.passages_at(self._places(contents, [passage_id]))[0]

    def documents(self) -> list[IndexedDocument]:
        """List the documents of which the index has passages, in the order of their first passages."""
        with self._reading() as contents:
            return contents.documents()

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
            rerank: puts the first hits in a better order: "default" (comes with this package), another `Reranker`, or the
                folder or hub id of one, which is then loaded for this call alone.
            rerank_depth: number of hits that it reads, at least k.

        Returns:
            Hits, best first; for a list of queries a list of such lists. A sparse search leaves out passages that share no
            word with the query.

        Raises:
            InvalidQuery: a query is empty or not a text, or an option is out of range.
            EmbedderUnavailable, RerankerUnavailable: the embedder or the reranker is needed and cannot be loaded.
        """
        queries = checked_queries(query)
        check_k(k)
        if mode not in get_args(Mode):
            raise InvalidQuery(f"mode is {mode!r}; pass 'dense', 'sparse' or 'hybrid'")
        check_filter(filter)
        check_k(rerank_depth, "rerank_depth")
        reranker = None if rerank is None else checked_reranker(rerank)
        depth = int(k) if reranker is None else max(int(k), int(rerank_depth))
        if min_similarity is not None and not -1 <= min_similarity <= 1:
            raise InvalidQuery(f"min_similarity is {min_similarity}; pass a cosine similarity in [-1, 1]")
        with span("retrieval", {"retrieval.mode": mode, "retrieval.k": int(k), "retrieval.queries": len(queries)}):
            if not self._is_empty() and queries:
                # Before the store is read, which a long computation would hold.
                vectors = None if mode == "sparse" and min_similarity is None else self._embed(queries)
                with self._reading() as contents:
                    hits = search_contents(contents, queries, vectors, depth, mode, filter, min_similarity)
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
        check_k(k)
        check_filter(filter)
        vectors = checked_vectors(vectors, None, self._origin.dimension)
        if not len(vectors) or self._is_empty():
            return [[] for _ in vectors]
        with self._reading() as contents:
            return hits_of(contents, contents.dense(vectors, int(k), contents.allowed(filter)))

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
        check_duplicates(duplicates)
        self._check_storable(passages)
        embed = self._embed if vectors is not None else self._embedding(passages)
        with self._writing() as contents:
            change, _ = self._change(contents, passages, vectors, duplicates, embed)
        return AddReport(len(change.new), change.duplicates, len(change.removed), change.unchanged)

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
        check_duplicates(duplicates)
        if on_missing not in get_args(OnMissing):
            raise InvalidQuery(f"on_missing is {on_missing!r}; pass 'raise', 'skip' or 'add'")
        self._check_storable(passages)
        embed = self._embed if vectors is not None else self._embedding(passages)
        with self._writing() as contents:
            documents = list(dict.fromkeys(map(document_of, passages)))
            stored = contents.places_of_documents(documents)
            missing = [name for name in documents if name not in stored]
            if missing and on_missing == "raise":
                named = ", ".join(map(repr, missing[:5]))
                raise UnknownId(f"{self.location} has no document {named}; pass on_missing='add' to add new documents")
            kept = [i for i, passage in enumerate(passages) if on_missing == "add" or document_of(passage) in stored]
            doomed = self._places(contents, delete)
            old = dict.fromkeys([*(place for places in stored.values() for place in places), *doomed])
            deleted = {document_of(passage) for passage in contents.passages_at(doomed)} - set(documents)
            if vectors is not None:
                vectors = checked_vectors(vectors, len(passages), contents.dimension)[kept]
            change, contents = self._change(contents, [passages[i] for i in kept], vectors, duplicates, embed, list(old))
            left = contents.places_of_documents(deleted)
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
        with self._writing() as contents:
            if places := self._places(contents, ids):
                self._commit(contents, [], None, places)

    # -- private ---------------------------------------------------------------------------------------------------

    def _change(
        self,
        contents: Contents,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32] | None,
        duplicates: Duplicates,
        embed: Callable[[list[str]], NDArray[np.float32]],
        replaced: Sequence[Any] = (),
    ) -> tuple[Change, Contents]:
        """Write checked passages in place of those at `replaced` and those with the same ids; returns the new state too."""
        if vectors is not None:
            vectors = checked_vectors(vectors, len(passages), contents.dimension)
        change = plan_change(contents, passages, replaced, duplicates)
        if change.new or change.removed:
            matrix = vectors_of(contents, change, embed) if vectors is None else change.select(vectors)
            contents = self._commit(contents, change.new, matrix if change.new else None, list(change.removed))
        return change, contents

    def _places(self, contents: Contents, ids: Sequence[str]) -> list[Any]:
        """Find the passages with some ids, and those of the documents with some of them."""
        possible = [name for name in ids if can_be_id(name)]
        passages, documents = contents.places(possible), contents.places_of_documents(possible)
        if missing := [name for name in ids if name not in passages and name not in documents]:
            named = ", ".join(map(repr, missing[:5]))
            raise UnknownId(f"{self.location} has no passage or document {named}; list the ids with 'for passage in index'")
        return list(dict.fromkeys([*passages.values(), *(place for places in documents.values() for place in places)]))

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        return checked_vectors(self.embedder.encode(texts), len(texts), self._origin.dimension)
