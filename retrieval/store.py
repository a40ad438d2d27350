"""`PassageStore`: what every index of passages can do, wherever it keeps them.

A store is a folder of FAISS files (`PassageIndex`), a schema of a PostgreSQL database, or a collection of Qdrant.
Not covered: choosing one by its location (locations.py) and the code that the three share (checked_store.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, Self, overload, runtime_checkable

from retrieval.changes import Duplicates
from retrieval.embedders import Embedder
from retrieval.filters import Filter
from retrieval.passages import AddReport, Hit, IndexedDocument, IndexInfo, Passage, UpdateReport
from retrieval.ranking import Mode
from retrieval.rerank import Reranker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Duplicates", "Filter", "Mode", "OnMissing", "PassageStore"]

OnMissing = Literal["raise", "skip", "add"]


@runtime_checkable
class PassageStore(Protocol):
    """An index of passages that is open: search by meaning, by words and by both, and changes that are durable.

    Attributes:
        location: the folder, or the URL without the password.
    """

    location: str

    @property
    def embedder(self) -> Embedder:
        """The embedder of its vectors, loaded on first use."""

    @property
    def content_hash(self) -> str:
        """Equal for copies made by the store's own tools, and different after every change of its content."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Passage]: ...
    def __contains__(self, passage_id: object) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

    def close(self) -> None:
        """Release files and connections."""

    def reopen(self, *, embedder: Embedder | None = None) -> PassageStore:
        """Open the same index once more, for another thread or with another object of its embedder."""

    def refresh(self) -> None:
        """Move to the present state, if the store shows the one at which it was opened."""

    def get(self, passage_id: str) -> Passage:
        """Get a passage by its id."""

    def documents(self) -> list[IndexedDocument]:
        """List the documents, in the order of their first passages."""

    def info(self) -> IndexInfo:
        """Get facts about the index."""

    def batches(self, size: int = 1000) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time."""

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

    def search_vectors(self, vectors: NDArray[np.float32], k: int = 5, *, filter: Filter | None = None) -> list[list[Hit]]:
        """Find the passages nearest to each of (Q, d) unit vectors."""

    def add(
        self, passages: Sequence[Passage], *, vectors: NDArray[np.float32] | None = None, duplicates: Duplicates = "skip"
    ) -> AddReport:
        """Add passages; all of them are durable when this returns, and none is after an error."""

    def update(
        self,
        passages: Sequence[Passage],
        *,
        delete: Sequence[str] = (),
        on_missing: OnMissing = "raise",
        vectors: NDArray[np.float32] | None = None,
        duplicates: Duplicates = "skip",
    ) -> UpdateReport:
        """Replace documents whole, in one step."""

    def delete(self, ids: Sequence[str]) -> None:
        """Remove passages, or documents with all their passages."""
